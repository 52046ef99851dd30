"""cameras.json: the cameras are where the training had them, and nothing malformed gets in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support.inria_files import camera_entry
from support.real_captures import CAPTURES, needs

from leansplat.cameras import Camera, look_at
from leansplat.captures import nerfstudio
from leansplat.captures.inria_cameras import read_cameras
from leansplat.errors import CaptureError

OPENSPLAT = CAPTURES.parent / "scenes" / "fox_opensplat.cameras.json"


def some_cameras() -> list[Camera]:
    return [look_at((3.0, 0.5 * k, -1.0), (0, 0.2, 0), (0.1, -1, 0), 0.8, 64, 48) for k in range(3)]


def write(folder: Path, content: Any) -> Path:
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder / "cameras.json"


def test_cameras_project_as_those_that_were_written(tmp_path: Path) -> None:
    cameras = some_cameras()
    path = write(tmp_path, [camera_entry(camera, f"photo_{k}") for k, camera in enumerate(cameras)])
    found = read_cameras(path)
    assert list(found) == ["photo_0", "photo_1", "photo_2"]
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for camera, expected in zip(found.values(), cameras, strict=True):
        assert (camera.width, camera.height) == (64, 48)
        for got, wanted in zip(camera.project(points), expected.project(points), strict=True):
            torch.testing.assert_close(got, wanted)


def test_downscaled_cameras_see_the_same_in_fewer_pixels(tmp_path: Path) -> None:
    camera = some_cameras()[0]
    (found,) = read_cameras(write(tmp_path, [camera_entry(camera, "a")]), downscale=4).values()
    assert (found.width, found.height) == (16, 12)
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(found.project(points)[0], camera.project(points)[0] / 4)
    with pytest.raises(CaptureError, match="downscale is 0"):
        read_cameras(tmp_path / "cameras.json", downscale=0)


def test_names_that_repeat_are_told_apart(tmp_path: Path) -> None:
    """Blender scenes have an r_0 for training and one for testing."""
    entries = [camera_entry(camera, name) for camera, name in zip(some_cameras(), ("r_0", "r_1", "r_0"), strict=True)]
    assert list(read_cameras(write(tmp_path, entries))) == ["00000_r_0", "00001_r_1", "00002_r_0"]


@needs("fox_ngp")
@pytest.mark.skipif(not OPENSPLAT.is_file(), reason="the scene fox_opensplat is not on this machine")
def test_another_tools_cameras_turn_against_each_other_as_in_the_capture_they_come_from() -> None:
    """OpenSplat moves, turns and scales the world, which leaves relative rotations and ratios of distances."""
    found = read_cameras(OPENSPLAT)
    listing = nerfstudio.read(CAPTURES / "fox_ngp" / "transforms.json", downscale=1, points=False)
    shots = {shot.name: torch.from_numpy(shot.world_to_camera) for shot in listing.shots}
    names = sorted(found)
    assert len(names) > 40
    assert set(names) <= set(shots)
    first, second = names[0], names[20]
    centres = {name: -shots[name][:3, :3].T @ shots[name][:3, 3] for name in names}
    scale = (found[first].position - found[second].position).norm() / (centres[first] - centres[second]).norm()
    for name in names[1:]:
        turn = found[name].world_to_camera[:3, :3] @ found[first].world_to_camera[:3, :3].T
        torch.testing.assert_close(turn, shots[name][:3, :3] @ shots[first][:3, :3].T, atol=1e-5, rtol=0)
        distance = (found[name].position - found[first].position).norm()
        torch.testing.assert_close(distance, scale * (centres[name] - centres[first]).norm(), atol=0, rtol=1e-4)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("img_name", None, "no img_name"),
        ("img_name", "a\0b", "no img_name"),
        ("width", 0, "a photo size of 0x48"),
        ("width", 64.5, "a photo size of 64.5x48"),
        ("width", 10**9, "a photo size of 1e+09x48"),
        ("height", "tall", "no height of 1 finite numbers"),
        ("fx", -3.0, "focal lengths"),
        ("fx", math.nan, "no fx"),
        ("fy", None, "no fy"),
        ("position", [1.0, 2.0], "no position of 3 finite numbers"),
        ("position", [1.0, 2.0, math.inf], "no position"),
        ("rotation", [[1.0, 0.0], [0.0, 1.0]], "no rotation of 9 finite numbers"),
        ("rotation", [[1, 0, 0], [0, 1], [0, 0, 1]], "no rotation"),
        ("rotation", [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "a rotation that is none"),
        ("rotation", [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "a rotation that is none"),
    ],
)
def test_a_camera_with_a_value_that_makes_no_sense_is_named(tmp_path: Path, key: str, value: Any, words: str) -> None:
    good, bad = (camera_entry(camera, name) for camera, name in zip(some_cameras(), "ab", strict=False))
    with pytest.raises(CaptureError) as raised:
        read_cameras(write(tmp_path, [good, {**bad, key: value}]))
    assert f"cameras.json: camera 1 has {words}" in str(raised.value)


def test_a_list_without_cameras_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="has no cameras"):
        read_cameras(write(tmp_path, []))


@pytest.mark.parametrize("content", [{}, 3, None, "text"])
def test_json_that_is_no_list_of_cameras_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CaptureError, match="not a list of cameras"):
        read_cameras(write(tmp_path, content))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text("[{]")
    with pytest.raises(CaptureError, match="not valid JSON"):
        read_cameras(tmp_path / "cameras.json")
    with pytest.raises(CaptureError, match=r"none\.json cannot be read"):
        read_cameras(tmp_path / "none.json")
    with pytest.raises(CaptureError, match="camera 0 has no img_name"):
        read_cameras(write(tmp_path, [3]))
