"""`leansplat render`: the held-out views of a capture, all sides of a scene, and cameras that 3DGS wrote."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.command_line import fails, run_json
from support.inria_files import camera_entry
from support.tiny import blobs, ring_of_cameras

from leansplat import formats
from leansplat.cameras import look_at
from leansplat.cli import main
from leansplat.engines.cpu import render
from leansplat.errors import InputError
from leansplat.pictures import render_views, to_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output folder of 3DGS."""
    cloud = tmp_path / "out" / "point_cloud" / "iteration_30" / "point_cloud.ply"
    cloud.parent.mkdir(parents=True)
    formats.write(blobs(), cloud)
    cameras = [camera_entry(camera, f"photo_{k}") for k, camera in enumerate(ring_of_cameras(3))]
    (tmp_path / "out" / "cameras.json").write_text(json.dumps(cameras))
    return tmp_path / "out"


def test_render_writes_a_picture_for_each_held_out_view(scene, capture, tmp_path, capsys) -> None:
    values = run_json(capsys, "render", scene, "--capture", capture, "-o", tmp_path / "out")
    assert [Path(file).name for file in values["files"]] == ["view_000.png", "view_008.png"]
    with Image.open(values["files"][0]) as picture:
        assert picture.size == (32, 32)
        assert np.asarray(picture).max() > 0


def test_render_around_a_scene_sees_it_from_every_side(scene, tmp_path, capsys) -> None:
    values = run_json(capsys, "render", scene, "--orbit", "3", "-o", tmp_path / "out")
    pictures = [np.asarray(Image.open(file)) for file in values["files"]]
    assert len(pictures) == 3
    for picture in pictures:
        lit = picture.max(axis=2) > 8
        # The cloud fills the middle of the picture and leaves its corners dark.
        assert lit[250:350, 350:450].mean() > 0.3
        assert not lit[:20, :20].any()
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("options", [[], ["--orbit", "2", "--capture", "."]])
def test_render_wants_one_way_to_place_cameras(options, scene, tmp_path, capsys) -> None:
    assert "--orbit" in fails(capsys, "render", scene, "-o", tmp_path / "out", *options)


def test_an_output_folder_is_rendered_from_its_own_cameras(folder: Path, tmp_path: Path) -> None:
    assert main(["render", str(folder), "-o", str(tmp_path / "views")]) == 0
    files = sorted((tmp_path / "views").iterdir())
    assert [file.name for file in files] == ["photo_0.png", "photo_1.png", "photo_2.png"]
    for file, camera in zip(files, ring_of_cameras(3), strict=True):
        expected = to_bytes(render(blobs(), camera).image)
        difference = np.asarray(Image.open(file)).astype(int) - expected.numpy()
        assert expected.to(torch.float32).std() > 10
        assert np.abs(difference).max() <= 1  # the pose went through a matrix inversion


def test_any_scene_may_be_rendered_from_a_cameras_file(folder: Path, tmp_path: Path) -> None:
    formats.write(blobs(), tmp_path / "scene.ply")
    cameras = str(folder / "cameras.json")
    arguments = ["render", str(tmp_path / "scene.ply"), "-o", str(tmp_path / "views"), "--cameras", cameras]
    assert main([*arguments, "--downscale", "2"]) == 0
    with Image.open(tmp_path / "views" / "photo_1.png") as picture:
        assert picture.size == (20, 20)


def test_cameras_that_are_asked_for_go_before_the_folders(folder: Path, tmp_path: Path, capsys) -> None:
    assert main(["render", str(folder), "-o", str(tmp_path / "views"), "--orbit", "1"]) == 0
    assert [file.name for file in (tmp_path / "views").iterdir()] == ["orbit_000.png"]
    both = ["--orbit", "1", "--cameras", str(folder / "cameras.json")]
    assert main(["render", str(folder), "-o", str(tmp_path / "more"), *both]) == 2
    assert "give one of --capture CAPTURE, --cameras FILE and --orbit N" in capsys.readouterr().err


def test_a_scene_is_rendered_on_the_background_of_its_training(folder: Path, tmp_path: Path, capsys) -> None:
    (folder / "cfg_args").write_text("Namespace(white_background=True)")
    corners = {}
    for given in ([], ["--background", "white"], ["--background", "black"]):
        arguments = ["render", str(folder), "--orbit", "1", "--overwrite", "-o", str(tmp_path / "views"), *given]
        assert main(arguments) == 0
        corner = np.asarray(Image.open(tmp_path / "views" / "orbit_000.png"))[0, 0].tolist()
        corners[" ".join(given)] = corner, capsys.readouterr().err
    assert corners[""][0] == corners["--background white"][0] == [255, 255, 255]
    assert corners["--background black"][0] == [0, 0, 0]
    assert "was trained with background white" in corners[""][1]
    assert "trained on" not in corners["--background white"][1]
    assert "trained on a white background, not on black" in corners["--background black"][1]


def test_pictures_without_anything_of_the_scene_are_pointed_out(folder: Path, tmp_path: Path, capsys) -> None:
    cameras = json.loads((folder / "cameras.json").read_text())
    cameras[1]["position"][2] += 500
    (folder / "cameras.json").write_text(json.dumps(cameras))
    assert main(["render", str(folder), "-o", str(tmp_path / "views")]) == 0
    assert "1 of 3 views show nothing of the scene (first: photo_1" in capsys.readouterr().err


def test_depth_is_written_beside_each_view_in_thousandths_and_zero_where_there_is_none(
    folder: Path, tmp_path: Path
) -> None:
    assert main(["render", str(folder), "-o", str(tmp_path / "views"), "--depth", "median"]) == 0
    names = sorted(file.name for file in (tmp_path / "views").iterdir())
    assert names == [f"photo_{k}{end}.png" for k in range(3) for end in (".depth", "")]
    for k, camera in enumerate(ring_of_cameras(3)):
        with Image.open(tmp_path / "views" / f"photo_{k}.depth.png") as picture:
            assert picture.mode == "I;16"
            found = np.asarray(picture).astype(int)
        depth = render(blobs(), camera, depth="median").depth
        assert depth is not None
        expected = (1000 * depth).round().numpy()
        agrees = np.abs(found - expected) <= 1
        assert agrees.mean() > 0.99  # the pose went through a matrix inversion, which may turn a pixel at an edge
        assert found[expected == 0].mean() < 10
        assert 3000 < np.median(found[found > 0]) < 5000


def test_depths_beyond_16_bits_are_cut_off_and_told(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far = replace(blobs(), means=blobs().means * 30, scales=blobs().scales + math.log(30.0))
    view = look_at((0, 0, -120), (0, 0, 0), (0, -1, 0), 0.7, 20, 20)
    paths = render_views(far, {"a.jpg": view}, tmp_path / "views", depth="expected")
    assert [path.name for path in paths] == ["a.png", "a.depth.png"]
    assert np.asarray(Image.open(paths[1])).max() == 65_535
    assert "those beyond 65.53 are written as that" in caplog.text


def test_a_depth_picture_never_takes_the_place_of_a_view(tmp_path: Path) -> None:
    cameras = dict(zip(("a.jpg", "a.depth.jpg"), ring_of_cameras(2), strict=True))
    with pytest.raises(InputError, match="another one's depth"):
        render_views(blobs(), cameras, tmp_path / "views", depth="median")
    assert not (tmp_path / "views").exists()
