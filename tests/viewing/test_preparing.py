"""What a page gets: files as they are or converted, what is known of them, and where it opens."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.camera_files import write_cameras
from support.photographed_scenes import photographed_table, ring
from support.rendered_scenes import camera, surfaces
from support.small_worlds import smaller_scene

from leansplat import formats
from leansplat.captures import synthetic_capture
from leansplat.errors import InputError, SceneFileError
from leansplat.viewing.description import describe
from leansplat.viewing.opening import focus_of, opening_of
from leansplat.viewing.prepared import prepare_scene


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".sog"])
def test_what_the_engine_reads_is_served_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"what ever{suffix}"
    formats.write(surfaces(), path)
    prepared = prepare_scene(path, tmp_path)
    assert not prepared.converted
    assert list(prepared.files.values()) == [path]
    assert prepared.bytes == path.stat().st_size
    assert prepared.gaussians == len(formats.read_arrays(path))


@pytest.mark.parametrize("suffix", [".spz", ".splat", ".glb", ".npz"])
def test_what_it_does_not_read_is_converted_and_that_is_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"scene{suffix}"
    formats.write(surfaces(), path)
    (tmp_path / "converted").mkdir()
    with caplog.at_level(logging.WARNING, "leansplat"):
        prepared = prepare_scene(path, tmp_path / "converted")
    assert prepared.converted
    assert f"{path}: viewers in browsers cannot read it; it is shown through a temporary .ply" in caplog.messages
    assert prepared.bytes == path.stat().st_size
    again = formats.read_arrays(prepared.files["scene.ply"])
    assert np.array_equal(again.means, formats.read_arrays(path).means)


def test_a_ply_with_more_in_it_than_the_engine_expects_is_converted(tmp_path: Path) -> None:
    scene = surfaces(50)
    extra = replace(scene, extras={"label": torch.arange(50, dtype=torch.uint8)})
    formats.write(extra, tmp_path / "extra.ply")
    (tmp_path / "converted").mkdir()
    prepared = prepare_scene(tmp_path / "extra.ply", tmp_path / "converted")
    assert prepared.converted
    assert np.array_equal(formats.read_arrays(prepared.files["scene.ply"]).means, scene.arrays().means)


def test_a_run_folder_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "garden").mkdir()
    formats.write(surfaces(), tmp_path / "garden" / "scene.ply")
    assert prepare_scene(tmp_path / "garden", tmp_path).name == "garden"


def test_a_scene_of_nothing_finite_is_refused_in_one_sentence(tmp_path: Path) -> None:
    scene = surfaces(9)
    formats.write(replace(scene, means=scene.means * float("nan")), tmp_path / "nan.ply")
    with pytest.raises(InputError, match=r"nan\.ply has no Gaussians with finite numbers"):
        prepare_scene(tmp_path / "nan.ply", tmp_path)
    (tmp_path / "no.ply").write_bytes(b"ply\nnonsense")
    with pytest.raises(SceneFileError):
        prepare_scene(tmp_path / "no.ply", tmp_path)


def test_levels_of_detail_are_served_with_all_their_files(tmp_path: Path) -> None:
    scene = surfaces(400)
    path = formats.write_levels([scene, scene[::4]], tmp_path / "levels")
    prepared = prepare_scene(path, tmp_path)
    assert next(iter(prepared.files)) == "lod-meta.json"
    assert set(prepared.files.values()) == {file for file in path.parent.rglob("*") if file.is_file()}
    assert (prepared.gaussians, len(prepared.arrays)) == (400, 100)


def test_two_scenes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        formats.write(surfaces(), tmp_path / folder / "scene.ply")
    both = [prepare_scene(tmp_path / folder / "scene.ply", tmp_path) for folder in ("a", "b")]
    described = describe(both, {})
    assert [scene["name"] for scene in described["scenes"]] == ["scene.ply (1)", "scene.ply (2)"]


def test_up_is_what_the_cameras_have_in_common() -> None:
    capture = synthetic_capture(views=8, size=16)
    cameras = [view.camera for view in (*capture.train, *capture.test)]
    opening = opening_of(surfaces().arrays(), cameras)
    assert opening.camera is None
    assert np.dot(opening.up, (0, -1, 0)) > 0.95
    assert opening_of(surfaces().arrays(), cameras, "z").up == (0.0, 0.0, 1.0)


def test_without_cameras_a_page_opens_on_the_scene(tmp_path: Path) -> None:
    scene = surfaces(3000)
    opening = opening_of(scene.arrays(), [])
    assert opening.camera is not None
    assert np.linalg.norm(opening.up) == pytest.approx(1)
    pixels, depths = opening.camera.project(scene.means)
    size = torch.tensor([opening.camera.width, opening.camera.height])
    seen = (depths > 0.2) & (pixels >= 0).all(dim=1) & (pixels < size).all(dim=1)
    assert float(seen.double().mean()) > 0.5


def test_a_scene_of_a_fraction_of_a_unit_is_opened_as_a_large_one_is() -> None:
    scene = photographed_table(ring())
    large, small = (opening_of(each.arrays(), []).camera for each in (scene, smaller_scene(scene, 2.0**-8)))
    assert large is not None
    assert small is not None
    assert small.near < 0.02 < large.near
    distances = focus_of(large, scene.arrays()), focus_of(small, smaller_scene(scene, 2.0**-8).arrays())
    assert distances[1] == pytest.approx(2.0**-8 * distances[0], rel=0.1)


def test_dragging_turns_around_what_is_in_the_middle_of_the_picture() -> None:
    scene = surfaces(2000)
    view = camera()
    distance = float(view.project(scene.means)[1].median())
    shell = replace(scene, means=scene.means.clone())
    bearings = torch.nn.functional.normalize(scene.means - view.position, dim=1)
    shell.means[:] = view.position + 3.0 * bearings
    assert focus_of(view, shell.arrays()) == pytest.approx(3.0, rel=0.05)
    assert 0.3 * distance < focus_of(view, scene.arrays()) < 1.5 * distance


def test_names_and_comments_cannot_end_the_script_that_describes_a_page(tmp_path: Path) -> None:
    from leansplat.viewing import standalone

    name = "x<script>alert(1)<!--.ply"
    formats.write(surfaces(), tmp_path / name)
    write_cameras(tmp_path / "cameras.json", [camera()])
    page = standalone(tmp_path / name, cameras={"</script><b>": camera()})
    assert page.count("<script") == 3
    assert "alert(1)<" not in page
