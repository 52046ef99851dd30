"""A scene in a folder, block by block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.arrangements import place

from leansplat import formats
from leansplat.arrays import TENSOR_NAMES, GaussianArrays, concatenate
from leansplat.blocks import Blocks
from leansplat.blocks.cutting import distances_to
from leansplat.blocks.sliced import SlicedScene, digest_of, slice_scene
from leansplat.errors import InputError, RunError
from leansplat.gaussians import Gaussians

SCENE = replace(
    place(600),
    shN=0.05 * torch.randn(1320, 8, 3, generator=torch.Generator().manual_seed(2)),
    extras={"number": torch.arange(1320).float()},
    antialiased=True,
)


def sliced(scene: Gaussians, folder: Path, name: str = "scene.ply", blocks: int = 4) -> SlicedScene:
    formats.write(scene, folder / name)
    (folder / "blocks").mkdir()
    return slice_scene(folder / name, folder / "blocks", Blocks(count=blocks))


def whole(scene: SlicedScene) -> GaussianArrays:
    return concatenate([scene.given(number) for number in range(scene.blocks)])


@pytest.mark.parametrize("batch", [100, 1 << 18])
def test_every_gaussian_is_in_one_block_with_all_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("leansplat.blocks.sliced._BATCH", batch)
    found = whole(sliced(SCENE, tmp_path))
    assert found.antialiased
    order = np.argsort(found.extras["number"])
    assert np.array_equal(found.extras["number"][order], np.arange(1320))
    for name in TENSOR_NAMES:
        assert np.array_equal(getattr(found, name)[order], getattr(SCENE.arrays(), name))


def test_kinds_of_files_that_are_read_whole_are_cut_alike(tmp_path: Path) -> None:
    scene = sliced(replace(SCENE, extras={}), tmp_path, "scene.spz")
    read = formats.read_arrays(tmp_path / "scene.spz")
    found = whole(scene)
    assert sorted(map(tuple, found.means.tolist())) == sorted(map(tuple, read.means.tolist()))


def test_a_margin_is_what_neighbours_have_within_reach(tmp_path: Path) -> None:
    scene = sliced(SCENE, tmp_path)
    given = [scene.given(number) for number in range(4)]
    margin = scene.margin(1)
    near = np.concatenate([distances_to(scene.boxes[1], given[other].means) for other in (0, 2, 3)])
    assert margin.reach == pytest.approx(0.1 * float((scene.boxes[1][1] - scene.boxes[1][0]).max()))
    assert len(margin.gaussians) == int((near <= margin.reach).sum()) > 0


def test_a_margin_has_no_more_gaussians_than_its_block_and_they_are_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leansplat.blocks.sliced._REACH", 10.0)
    scene = sliced(SCENE, tmp_path)
    margin = scene.margin(0)
    assert len(margin.gaussians) == scene.facts.counts[0] == 330
    every = np.concatenate([distances_to(scene.boxes[0], scene.given(other).means) for other in (1, 2, 3)])
    assert margin.reach == np.sort(every)[329]
    assert np.array_equal(np.sort(distances_to(scene.boxes[0], margin.gaussians.means)), np.sort(every)[:330])


def test_a_scene_far_from_zero_keeps_its_origin_in_all_blocks(tmp_path: Path) -> None:
    far = replace(SCENE, origin=(552_000.0, 4_182_000.0, 100.0))
    scene = sliced(far, tmp_path)
    found = whole(scene)
    assert scene.origin != (0.0, 0.0, 0.0)
    order = np.argsort(found.extras["number"])
    assert np.allclose(found.world_means()[order], far.arrays().world_means(), rtol=0, atol=1e-6)
    assert np.abs(scene.boxes).max() < 50


def test_what_cannot_be_drawn_and_what_is_not_finite_is_counted(tmp_path: Path) -> None:
    opacities = SCENE.opacities.clone()
    opacities[:100] = -9.0
    opacities[100] = float("nan")
    scene = sliced(replace(SCENE, opacities=opacities), tmp_path)
    assert sum(scene.facts.drawable) == 1320 - 101
    assert scene.facts.nonfinite == 1


def test_a_scene_is_known_again_by_its_digest(tmp_path: Path) -> None:
    formats.write(SCENE, tmp_path / "one.ply")
    formats.write(SCENE, tmp_path / "same.ply")
    formats.write(replace(SCENE, opacities=SCENE.opacities + 1), tmp_path / "other.ply")
    digests = [digest_of(tmp_path / f"{name}.ply") for name in ("one", "same", "other")]
    assert digests[0] == digests[1] != digests[2]


def test_a_full_disk_is_one_sentence_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="free space"):
        sliced(SCENE, tmp_path)
    assert not list((tmp_path / "blocks" / "cut").iterdir())


def test_a_folder_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no scene in blocks"):
        SlicedScene(tmp_path)
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        SlicedScene(tmp_path)
