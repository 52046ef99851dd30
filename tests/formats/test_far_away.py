"""Something far away in a scene: in no format does it cost the others their places, nor does it go without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scene_comparison import angles, random_scene, shared_scene
from support.splat_transform import convert
from support.stray_scenes import STRAYS, crowd, gaussian, sky, two_places, worst_move
from test_compressed_ply import by_gsply

from leansplat import formats
from leansplat.errors import SceneFileError
from leansplat.formats import c3dgs_coding, chunks, compressed_ply, reach, sog, spz
from leansplat.gaussians import Gaussians, concatenate
from leansplat.ordering import morton_order

SUFFIXES = (".ply", ".compressed.ply", ".spz", ".sog", ".npz", ".splat", ".glb")
LEAVING_OUT = (".spz", ".npz")
PRECISION = {".compressed.ply": 2e-3, ".spz": 1.8e-3, ".sog": 1e-3, ".npz": 5e-4, ".splat": 0, ".ply": 0, ".glb": 0}
"""How far Gaussians of a box 2 wide and 0.05 in size may move; less without strays in a .sog only."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("strays", STRAYS)
def test_strays_cost_the_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, strays: str
) -> None:
    scene = concatenate([crowd(), *STRAYS[strays]])
    count = formats.write(scene, tmp_path / f"scene{suffix}")
    found = formats.read(tmp_path / f"scene{suffix}")
    assert len(found) == count
    assert worst_move(found, crowd()) <= PRECISION[suffix]
    shown = found[found.opacities.sigmoid() > 1e-4]
    if suffix in LEAVING_OUT:
        far = scene.means.abs().amax(dim=1) > (65504 if suffix == ".npz" else 2048)
        assert len(shown) == count == len(scene) - int(far.sum())
        distance = scene.means[far].norm(dim=1).max()
        said = (
            f"left out {int(far.sum())} of {len(scene):,} Gaussians, {'up to ' if far.sum() > 1 else ''}{distance:.3g}"
        )
        assert said in caplog.text
        assert "less than 0.01 % of the picture" in caplog.text
        assert "--drop-far" in caplog.text
    else:
        assert len(shown) == len(scene)
        assert "left out" not in caplog.text
    assert "rounding" not in caplog.text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_sky_stays_where_it_is_and_so_does_what_is_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    for scene, distance in ((sky(1900), 1900), (sky(140), 140), (gaussian((0, 2000, 0), 1, 200), 2000)):
        formats.write(concatenate([crowd(), scene]), tmp_path / f"scene{suffix}", overwrite=True)
        found = formats.read(tmp_path / f"scene{suffix}")
        assert worst_move(found, crowd()) <= PRECISION[suffix]
        assert worst_move(found, scene) <= distance / 500  # a fiftieth of its size
    assert "left out" not in caplog.text
    assert "rounding" not in caplog.text


@pytest.mark.parametrize(
    ("suffix", "distance"),
    [(".compressed.ply", 1e3), (".compressed.ply", 1e6), (".compressed.ply", 1e9), (".spz", 1e3), (".spz", 1e5)],
)
def test_two_places_far_apart_are_both_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, distance: float
) -> None:
    formats.write(two_places(distance), tmp_path / f"scene{suffix}")
    assert worst_move(formats.read(tmp_path / f"scene{suffix}"), two_places(distance)) < 0.02
    assert "left out" not in caplog.text
    assert "rounding" not in caplog.text


@pytest.mark.parametrize("suffix", [".spz", ".sog", ".npz"])
def test_what_matters_and_is_too_far_to_be_held_is_told_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    """Two places 10^6 apart: no step suits both, and neither is left out."""
    if suffix == ".npz":
        with pytest.raises(SceneFileError, match="further than 65504"):
            formats.write(two_places(1e6), tmp_path / f"scene{suffix}")
        return
    assert formats.write(two_places(1e6), tmp_path / f"scene{suffix}") == 1000
    assert "of 1,000 Gaussians, rounding moves " in caplog.text
    assert "left out" not in caplog.text


def test_a_sky_that_costs_the_others_their_places_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At 10^6, ten times as far as steps reach that would suit the others."""
    scene = concatenate([crowd(), gaussian((1e6, 0, 0), 1, 1e5)])
    assert formats.write(scene, tmp_path / "scene.spz") == 1001
    assert "Gaussians, rounding moves 6" in caplog.text
    assert ", for the sake of 1 of 1,001 Gaussians, 1e+06 from the middle of a scene of radius 1.38" in caplog.text


def test_a_small_scene_keeps_its_precision_in_a_sog() -> None:
    """Where a unit is far more than the scene, the logarithm of its positions is no help."""
    small = replace(crowd(), means=crowd().means * 1e-3, scales=crowd().scales + np.log(1e-3))
    scene = concatenate([small, gaussian((5e8, 0, 0), size=5e-5)])
    encoded = sog.encode(scene)
    assert sorted(encoded.order.tolist()) == [*range(1000)]
    assert worst_move(Gaussians.from_arrays(sog.decode(encoded)), small) < 5e-8


def test_only_strays_beyond_reach_are_left_out_and_only_where_they_cost_something() -> None:
    near, far = gaussian((1500, 0, 0)), gaussian((1e6, 0, 0))
    encoded = spz.encode(concatenate([crowd(), near, far]))
    assert encoded.fractional_bits == 12
    assert sorted(encoded.order.tolist()) == [*range(1001)]
    # Of large ones, none is moved by a sixteenth of its width in steps of 2^-3, so all are kept.
    large = replace(crowd(), scales=crowd().scales + np.log(100))
    assert sorted(spz.encode(concatenate([large, far])).order.tolist()) == [*range(1001)]


def test_rows_out_of_reach_are_found_by_bisection_as_one_by_one() -> None:
    places = [10.0**k for k in range(3, 9)]
    scene = concatenate([crowd(300), *(gaussian((x, 0, 0)) for x in places)])
    for limit in (1e2, 2e3, 2e5, 2e7, 1e9):
        kept = reach.held(scene.arrays(), lambda means, limit=limit: np.full(len(means), 0.1 * (means.max() > limit)))
        assert kept.sum() == 300 + sum(x <= limit for x in places)


@pytest.mark.parametrize("name", ["random", "fox_opensplat.ply", "plant.splat"])
def test_ordinary_scenes_are_held_whole_and_in_morton_order(name: str) -> None:
    scene = (random_scene(900) if name == "random" else formats.read(shared_scene(name))).arrays()
    order = morton_order(scene.means).tolist()
    for coding in (compressed_ply, spz, sog, c3dgs_coding):
        held, found = coding.arranged(scene)  # type: ignore[attr-defined]
        assert held is scene
        assert found.tolist() == order


# chunks of a compressed PLY


def by_chunk(scene: Gaussians) -> tuple[compressed_ply.Encoded, list[np.ndarray]]:
    encoded = compressed_ply.encode(scene)
    return encoded, [encoded.order[start : start + 256] for start in range(0, len(encoded), 256)]


def test_far_ones_share_chunks_with_none_but_invisible_ones() -> None:
    scene = concatenate([crowd(), gaussian((2000, 0, 0), 1, 200)])
    encoded, rows = by_chunk(scene)
    assert [len(chunk) for chunk in rows] == [256, 256, 256, 256, 1]
    assert rows[-1].tolist() == [1000]
    assert sorted(encoded.order.tolist()) == [*range(1025)]
    decoded = Gaussians.from_arrays(compressed_ply.decode(encoded))
    invisible = decoded[encoded.order > 1000]
    assert float(invisible.opacities.sigmoid().max()) < 1e-7
    assert (invisible.means.abs() <= 1).all()


def test_many_strays_need_few_invisible_ones() -> None:
    random = torch.Generator().manual_seed(2)
    directions = torch.nn.functional.normalize(torch.randn(300, 3, generator=random), dim=1)
    places = directions * 10 ** (3 + 6 * torch.rand(300, 1, generator=random))
    strays = replace(crowd(300, seed=3), means=places, opacities=torch.full((300,), -6.0))
    scene = concatenate([crowd(4000), strays])
    encoded, _ = by_chunk(scene)
    assert len(encoded) - len(scene) < 256
    assert worst_move(Gaussians.from_arrays(compressed_ply.decode(encoded)), crowd(4000)) < 2e-3


def test_a_chunk_is_cut_where_that_spares_most() -> None:
    scene = concatenate([crowd(40), sky(1900, 12), crowd(5, seed=2)])
    rows = torch.randperm(57, generator=torch.Generator().manual_seed(0)).numpy()
    crowd_of = chunks._Crowd(scene.arrays())

    def slowly(order: np.ndarray) -> int:
        def harm(part: np.ndarray) -> float:
            means = scene.means[part].double()
            steps = (means.amax(dim=0) - means.amin(dim=0)) / torch.tensor([2047.0, 1023, 2047])
            harmed = steps.norm() > scene.scales[part].sort(dim=1).values[:, 1].exp()
            return float(crowd_of._weights[part][harmed.numpy()].sum())

        sums = [harm(order[:cut]) + harm(order[cut:]) for cut in range(1, len(order))]
        return int(np.argmin(sums)) + 1 if min(sums) <= 0.1 * harm(order) else 0

    for order in (np.arange(57), np.arange(52), np.arange(52)[::-1].copy(), rows, np.arange(40)):
        assert crowd_of._best_cut(order) == slowly(order)
    assert slowly(np.arange(52)) == 40


def test_a_colour_out_of_all_proportion_leaves_its_neighbours_theirs() -> None:
    scene = crowd(256)
    scene.sh0[7] = 1e4
    encoded = compressed_ply.encode(scene)
    error = (Gaussians.from_arrays(compressed_ply.decode(encoded)).sh0 - scene.sh0[encoded.order]).abs().amax(
        dim=(1, 2)
    ) * 0.2821
    assert error[torch.from_numpy(encoded.order != 7)].max() <= 6 / 255 / 2


# other tools


@pytest.mark.parametrize("suffix", [".compressed.ply", ".spz", ".sog"])
def test_splat_transform_reads_what_has_strays_as_we_do(tmp_path: Path, suffix: str) -> None:
    scene = concatenate([crowd(), sky(1900), *STRAYS["all around"]])
    formats.write(scene, tmp_path / f"scene{suffix}")
    convert(tmp_path / f"scene{suffix}", tmp_path / "theirs.ply")
    found, theirs = formats.read(tmp_path / f"scene{suffix}"), formats.read(tmp_path / "theirs.ply")
    assert len(found) == len(theirs)
    torch.testing.assert_close(theirs.means, found.means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(theirs.scales, found.scales, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(theirs.opacities.sigmoid(), found.opacities.sigmoid(), rtol=0, atol=1e-5)
    assert float(angles(theirs.quats, found.quats).max()) < 0.1


def test_gsply_reads_chunks_that_were_filled_as_we_do(tmp_path: Path) -> None:
    path = tmp_path / "scene.compressed.ply"
    formats.write(concatenate([crowd(), *STRAYS["one faint"]]), path)
    found, theirs = formats.read(path), by_gsply(path)
    torch.testing.assert_close(theirs.means, found.means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(theirs.opacities.sigmoid(), found.opacities.sigmoid(), rtol=0, atol=1e-4)
