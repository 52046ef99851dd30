"""Infinities in files: an opacity of infinity is opaque, a scale of minus infinity flat, all others mean nothing."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest
from support import plain_ply
from support.inria_files import Training
from support.inria_files import random_scene as small_scene
from support.reference_renderer import in_double, render_reference
from support.rendered_scenes import camera, surfaces
from support.scene_comparison import random_scene

from leansplat import formats
from leansplat.engines.cpu import render
from leansplat.errors import InputError
from leansplat.formats import inria_checkpoint, ply
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.summary import summarize
from leansplat.training.start import start_from

WRITTEN = (".ply", ".compressed.ply", ".spz", ".sog", ".splat", ".glb", ".npz")


def with_limits(count: int = 120) -> Gaussians:
    """Surfaces of degree 0 of which a third are opaque and a fifth transparent, by logits of infinity."""
    scene = surfaces(count, seed=51, sh_degree=0)
    scene.sh0.clamp_(-1, 1)
    scene.opacities[::3] = math.inf
    scene.opacities[1::5] = -math.inf
    return scene


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_scene_with_infinite_opacities_is_drawn_the_same_from_every_format(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = with_limits()
    formats.write(scene, tmp_path / f"scene{suffix}")
    found = formats.read(tmp_path / f"scene{suffix}", drop_nonfinite=True)
    assert len(found) == len(scene)
    assert found.finite().all()
    assert "infinite" not in caplog.text
    if suffix != ".npz":  # whose bytes reach from the least opacity to the largest
        ours, theirs = (each.opacities.aminmax() for each in (found, scene.finite_equivalent()))
        assert list(map(float, ours)) == pytest.approx(
            list(map(float, theirs)), rel=1e-6
        )  # a byte of 255 and an infinity are the same number
    expected = render_reference(in_double(scene), camera())
    absent = replace(scene, opacities=scene.opacities.nan_to_num(posinf=-20.0))
    ours, without = ((render(each, camera()).image - expected.image).abs().mean() for each in (found, absent))
    assert ours < without * (1e-4 if suffix in (".ply", ".glb") else 0.2)  # the others round all numbers


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize(("name", "number"), [("opacity", "inf"), ("opacity", "-inf"), ("scale_1", "-inf")])
def test_files_of_other_tools_keep_the_meaning_of_their_infinities(
    tmp_path: Path, encoding: str, name: str, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    properties = plain_ply.floats(plain_ply.names(1))
    values = lambda each, row: float(number) if (each, row) == (name, 1) else plain_ply.value(each, row)  # noqa: E731
    content = plain_ply.header(properties, 3, encoding) + plain_ply.body(properties, 3, encoding, values)
    (tmp_path / "scene.ply").write_bytes(content)
    found = formats.read(tmp_path / "scene.ply", drop_nonfinite=True)
    assert len(found) == 3
    assert not caplog.records
    if name == "opacity":
        assert found.opacities.sigmoid().tolist()[1] == pytest.approx(float(number == "inf"), abs=1e-7)
    else:
        assert 0 < found.scales[1, 1].exp() < 1e-37
    others = [row for row in range(3) if row != 1]
    assert found.opacities[others].tolist() == [plain_ply.value("opacity", row) for row in others]


@pytest.mark.parametrize("name", TENSOR_NAMES)
def test_an_infinity_that_means_nothing_is_still_counted_and_dropped(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = random_scene(20)
    getattr(scene, name).view(20, -1)[3, -1] = math.nan if name == "opacities" else math.inf
    scene.opacities[4] = math.inf
    ply.write(scene, tmp_path / "scene.ply")
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        found = formats.read(tmp_path / "scene.ply", drop_nonfinite=True)
    assert len(found) == 19
    assert "1 of 20 Gaussians have NaN or infinite parameters; they were dropped" in caplog.text


def test_a_checkpoint_of_3dgs_keeps_its_opaque_gaussians(tmp_path: Path) -> None:
    scene = small_scene()
    scene.opacities[2] = math.inf
    path = Training(scene, steps=0).save(tmp_path / "chkpnt1.pth", optimizer=Training(steps=1).optimizer.state_dict())
    for found in (formats.read(path), inria_checkpoint.load(path).gaussians):
        assert found.finite().all()
        assert found.opacities[2].sigmoid() > 1 - 1e-6


def test_fine_tuning_starts_from_opaque_gaussians_and_refuses_meaningless_ones() -> None:
    started = start_from(with_limits(), 1.0, 0).state.gaussians()
    assert started.finite().all()
    assert int((started.opacities.sigmoid() > 1 - 1e-6).sum()) == int((with_limits().opacities == math.inf).sum())
    broken = with_limits()
    broken.scales[7, 0] = math.inf
    with pytest.raises(InputError, match="1 Gaussians that are not finite"):
        start_from(broken, 1.0, 0)


def test_a_summary_counts_opaque_gaussians_among_the_opacities() -> None:
    scene = random_scene(10)
    scene.opacities[:] = 0
    scene.opacities[2:5] = math.inf
    scene.opacities[6] = -math.inf
    scene.means[9, 0] = math.inf
    summary = summarize(scene)
    assert (summary.nonfinite, summary.opacity_histogram[-1], summary.opacity_histogram[0]) == (1, 3, 1)


def test_a_scene_that_became_meaningless_is_not_written_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As training leaves one whose learning rates are too high; it has no other last look at the numbers."""
    scene = random_scene(20)
    scene.sh0[3] = math.nan
    formats.write(scene, tmp_path / "scene.ply")
    assert "1 of 20 Gaussians are NaN or infinite; nothing draws them" in caplog.text
