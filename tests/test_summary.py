"""What a scene holds, summed up whole or in parts: the same, against NumPy on all of it at once."""

from __future__ import annotations

import tracemalloc
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from leansplat import formats
from leansplat.arrays import GaussianArrays
from leansplat.gaussians import Gaussians
from leansplat.summary import Tally, summarize


def scene(count: int, degree: int = 2, **others: object) -> GaussianArrays:
    random = np.random.default_rng(0)
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 1, 3), (count, (degree + 1) ** 2 - 1, 3))
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    return GaussianArrays(*values, **others)  # type: ignore[arg-type]


def difficult() -> GaussianArrays:
    """With all that is counted, at places where parts end."""
    found = scene(3_000, 1, extras={"label": np.arange(3_000, dtype=np.int32)}, comments=("by hand",))
    found.means[17, 0] = np.nan
    found.opacities[[0, 1_056]] = np.inf, -np.inf
    found.quats[[2, 2_999]] = 0
    for name in ("means", "quats", "scales", "opacities", "sh0", "shN"):
        getattr(found, name)[1_050:1_064] = getattr(found, name)[1_050]
        getattr(found, name)[2_100:2_105] = 0
    return found


def test_numbers_are_those_of_the_whole_scene_at_once() -> None:
    found = scene(2_001)
    summary = summarize(found)
    ordered = np.sort(found.means.astype(np.float64), axis=0)
    assert summary.bounds_min == tuple(ordered[0])
    assert summary.bounds_max == tuple(ordered[-1])
    assert summary.middle_min == tuple(ordered[100])
    assert summary.middle_max == tuple(ordered[1_900])
    sizes = np.exp(found.scales.astype(np.float64).mean(axis=1))
    assert summary.median_size == pytest.approx(np.median(sizes), rel=1e-12)
    opacities = 1 / (1 + np.exp(-found.opacities.astype(np.float64)))
    assert summary.opacity_histogram == tuple(np.histogram(opacities, bins=10, range=(0, 1))[0])
    assert (summary.gaussians, summary.sh_degree, summary.parameters) == (2_001, 2, 2_001 * 38)
    assert asdict(summary) == asdict(summarize(Gaussians.from_arrays(found)))


@pytest.mark.parametrize("size", [1, 7, 1_000, 1_057, 5_000])
def test_parts_of_any_size_sum_up_alike(size: int) -> None:
    found = difficult()
    tally = Tally()
    for start in range(0, len(found), size):
        tally.add(found[start : start + size])
    assert tally.summary() == summarize(found)
    assert tally.summary().padding == 13 + 5
    assert tally.summary().nonfinite == 1
    assert tally.summary().without_rotation == 2


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_a_streamed_file_is_summed_up_as_one_that_was_read(tmp_path: Path, caplog, degree: int) -> None:
    path = tmp_path / "scene.ply"
    formats.write(difficult().with_sh_degree(degree), path)
    caplog.clear()
    whole = summarize(formats.read(path), file_size=path.stat().st_size)
    said = caplog.messages
    caplog.clear()
    assert formats.summarize_file(path) == whole
    assert caplog.messages == said
    assert len(said) == 3  # NaN, padding, rotations


def test_a_streamed_file_far_from_zero_is_told(tmp_path: Path, caplog) -> None:
    found = scene(500)
    found.means[:] = found.means + np.float32([5.5e5, 4.2e6, 0])
    found.scales[:] -= 4
    formats.write(found, tmp_path / "scene.ply")
    caplog.clear()
    whole = summarize(formats.read_arrays(tmp_path / "scene.ply"))
    said = caplog.messages
    caplog.clear()
    assert formats.summarize_file(tmp_path / "scene.ply").bounds_max == whole.bounds_max
    assert caplog.messages == said
    assert "positions are float32 around" in said[0]


def test_normals_that_begin_late_are_named_where_the_file_has_them(tmp_path: Path) -> None:
    normals = {name: np.zeros(3_000, np.float32) for name in ("nx", "ny", "nz")}
    normals["ny"][2_500] = 1
    found = scene(3_000, extras={"label": np.arange(3_000, dtype=np.int32), **normals})
    formats.write(found, tmp_path / "scene.ply")
    assert formats.summarize_file(tmp_path / "scene.ply").extras == tuple(formats.read(tmp_path / "scene.ply").extras)


def test_an_empty_scene_has_nothing_to_measure(tmp_path: Path) -> None:
    formats.write(scene(0), tmp_path / "scene.ply")
    summary = formats.summarize_file(tmp_path / "scene.ply")
    assert (summary.gaussians, summary.bounds_min, summary.median_size) == (0, None, None)
    assert summary.opacity_histogram == (0,) * 10
    assert summary.sh_degree == 2


def test_a_large_file_is_summed_up_in_little_memory(tmp_path: Path) -> None:
    formats.write(scene(60_000, 3), tmp_path / "scene.ply")
    size = (tmp_path / "scene.ply").stat().st_size
    formats.summarize_file(tmp_path / "scene.ply")
    tracemalloc.start()
    formats.summarize_file(tmp_path / "scene.ply")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 3
