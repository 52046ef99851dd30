"""nerfstudio and instant-ngp captures: poses, intrinsics, lists and points of `transforms.json` come through."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.real_captures import CAPTURES, needs
from support.spots import centroid, distorted, draw
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import load
from leansplat.errors import CaptureError

FOCAL = 0.5 * WIDTH / math.tan(0.4)
SHARED: dict[str, Any] = {"fl_x": 60.0, "fl_y": 61.0, "cx": 25.0, "cy": 17.5, "w": WIDTH, "h": HEIGHT}


def capture(folder: Path, count: int = 4, **values: Any) -> Path:
    """Photos images/0.png ... with the cameras of `cameras(count)`."""
    frames = [frame(camera, f"images/{index}.png") for index, camera in enumerate(cameras(count))]
    for index in range(count):
        save_photo(folder / f"images/{index}.png", seed=index)
    write(folder / "transforms.json", frames, **(values or SHARED))
    return folder


def edit(folder: Path, **values: Any) -> None:
    """Change top-level values of a capture's file; None removes one."""
    path = folder / "transforms.json"
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_opengl_camera_to_world_becomes_opencv_world_to_camera(tmp_path: Path) -> None:
    loaded = load(capture(tmp_path))
    views = {view.name: view for view in (*loaded.train, *loaded.test)}
    assert sorted(views) == ["0.png", "1.png", "2.png", "3.png"]
    for index, camera in enumerate(cameras(4)):
        seen = views[f"{index}.png"].camera
        torch.testing.assert_close(seen.world_to_camera, camera.world_to_camera, atol=1e-12, rtol=0)
        # The origin, which every camera looks at, is in front and on the principal point.
        pixel, depth = seen.project(torch.zeros(1, 3, dtype=torch.float64))
        torch.testing.assert_close(pixel, torch.tensor([[25.0, 17.5]], dtype=torch.float64))
        assert float(depth) > 3


def test_a_third_row_alone_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    content = json.loads((folder / "transforms.json").read_text())
    for entry in content["frames"]:
        entry["transform_matrix"] = entry["transform_matrix"][:3]
    (folder / "transforms.json").write_text(json.dumps(content), encoding="utf-8-sig")
    torch.testing.assert_close(load(folder).test[0].camera.world_to_camera, cameras(4)[0].world_to_camera)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (SHARED, (60, 61, 25, 17.5)),
        ({"camera_angle_x": 0.8}, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)),
        (
            {"camera_angle_x": 0.8, "camera_angle_y": 0.5, "w": 48.0, "h": 36.0},
            (FOCAL, 18 / math.tan(0.25), WIDTH / 2, HEIGHT / 2),
        ),
        ({"fl_x": 70.0, "camera_angle_x": 0.8, "camera_angle_y": 0.1}, (70, 70, WIDTH / 2, HEIGHT / 2)),
        ({**SHARED, "w": 2 * WIDTH, "h": 2 * HEIGHT}, (30, 30.5, 12.5, 8.75)),
    ],
)
def test_intrinsics_come_from_focal_lengths_else_angles_and_fit_the_actual_photo(
    tmp_path: Path, values: dict[str, Any], expected: tuple[float, ...]
) -> None:
    camera = load(capture(tmp_path, **values)).test[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(expected)
    assert (camera.width, camera.height) == (WIDTH, HEIGHT)


def test_a_frames_own_intrinsics_go_before_the_shared_ones(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    frames = [frame(camera, f"images/{index}.png") for index, camera in enumerate(cameras(4))]
    frames[0] = {**frames[0], "fl_x": 99.0, "cy": 20.0}
    write(folder / "transforms.json", frames, **SHARED)
    loaded = load(folder)
    first, second = loaded.test[0].camera, loaded.train[0].camera
    assert (first.fx, first.fy, first.cy) == (99, 61, 20)
    assert (second.fx, second.fy, second.cy) == (60, 61, 17.5)


def test_distortion_is_undone_for_a_frame_with_its_own_coefficients(tmp_path: Path) -> None:
    width, height, f, coefficients = 200, 160, 150.0, (-0.18, 0.04, 0.004, -0.006, 0.01)
    camera = cameras(1)[0]
    x, y = np.meshgrid(np.linspace(-0.4, 0.4, 7), np.linspace(-0.3, 0.3, 5))
    x, y = x.ravel(), y.ravel()
    u, v = distorted(x, y, coefficients)
    (tmp_path / "images").mkdir()
    dots = draw(width, height, np.stack([f * u + 100, f * v + 80], axis=1))
    for name in ("a.png", "b.png"):
        Image.fromarray(dots).save(tmp_path / "images" / name)
    own = dict(zip(("k1", "k2", "p1", "p2", "k3"), coefficients, strict=True))
    frames = [frame(camera, "images/a.png", **own), frame(camera, "images/b.png")]
    write(tmp_path / "transforms.json", frames, fl_x=f, cx=100, cy=80, w=width, h=height, camera_model="OPENCV")
    loaded = load(tmp_path)
    view, plain = loaded.test[0], loaded.train[0]
    pixels = np.stack([f * x + view.camera.cx, f * y + view.camera.cy], axis=1)
    misses = [np.linalg.norm(centroid(view.photo.numpy(), pixel) - pixel) for pixel in pixels]
    assert max(misses) < 0.12
    assert (plain.photo.numpy() == dots).all(), "the other frame has no distortion and must not be touched"


def test_own_lists_decide_the_split(tmp_path: Path) -> None:
    folder = capture(tmp_path, count=5)

    def sides(**lists: Any) -> tuple[list[str], list[str], tuple[str, ...]]:
        edit(folder, **{"train_filenames": None, "test_filenames": None, "val_filenames": None, **lists})
        loaded = load(folder)
        return [v.name for v in loaded.train], [v.name for v in loaded.test], loaded.warnings

    assert sides()[:2] == (["1.png", "2.png", "3.png", "4.png"], ["0.png"])
    test = ["images/1.png", "./images/3.png"]
    assert sides(test_filenames=test) == (["0.png", "2.png", "4.png"], ["1.png", "3.png"], ())
    assert sides(val_filenames=test) == (["0.png", "2.png", "4.png"], ["1.png", "3.png"], ())
    assert sides(train_filenames=test) == (["1.png", "3.png"], ["0.png", "2.png", "4.png"], ())
    train, tested, warnings = sides(train_filenames=["images/0.png"], test_filenames=["images/4.png", "images/9.png"])
    assert (train, tested) == (["0.png"], ["4.png"])
    assert any("images/9.png" in warning for warning in warnings)
    assert any("3 photos for neither training nor testing" in warning for warning in warnings)
    with pytest.raises(CaptureError, match=r"lists 1\.png for training and for testing"):
        sides(train_filenames=["images/1.png"], test_filenames=["images/1.png"])


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_the_named_point_cloud_is_used_in_the_files_own_frame(tmp_path: Path, encoding: str) -> None:
    folder = capture(tmp_path)
    rows = [(0.5, -1.0, 2.0, 255, 0, 51), (1.0, 2.0, 3.0, 0, 102, 255)]
    kind = "ascii" if encoding == "ascii" else "binary_little_endian"
    header = f"ply\nformat {kind} 1.0\nelement vertex 2\n"
    header += "".join(f"property float {name}\n" for name in "xyz")
    header += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) + "end_header\n"
    if encoding == "ascii":
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    else:
        body = np.array(rows, dtype="<f4,<f4,<f4,u1,u1,u1").tobytes()
    (folder / "sparse_pc.ply").write_bytes(header.encode() + body)
    turned = [[0.0, 1.0, 0.0, 5.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]]
    edit(folder, ply_file_path="sparse_pc.ply", applied_transform=turned)
    points = load(folder).points
    assert points is not None
    torch.testing.assert_close(points.positions, torch.tensor([[0.5, -1, 2], [1, 2, 3]]))
    torch.testing.assert_close(points.colors, torch.tensor([[1, 0, 0.2], [0, 0.4, 1]]))
    assert load(folder, points=False).points is None
    (folder / "sparse_pc.ply").write_bytes(header.encode() + body[:-9])
    with pytest.raises(CaptureError, match=r"sparse_pc\.ply"):
        load(folder)
    (folder / "sparse_pc.ply").write_bytes(header.replace(" x\n", " q\n").encode() + body)
    with pytest.raises(CaptureError, match="no vertices with x, y, z"):
        load(folder)
    (folder / "sparse_pc.ply").unlink()
    loaded = load(folder)
    assert loaded.points is None
    assert "sparse_pc.ply, which does not exist" in loaded.warnings[0]


def test_missing_photos_are_skipped_and_reported(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    (folder / "images/2.png").unlink()
    loaded = load(folder)
    assert [view.name for view in (*loaded.test, *loaded.train)] == ["0.png", "1.png", "3.png"]
    assert len(loaded.warnings) == 1
    assert "lists 1 photos that do not exist (first: 2.png)" in loaded.warnings[0]


def test_frames_may_leave_out_the_suffix_and_lie_in_several_folders(tmp_path: Path) -> None:
    frames = [frame(camera, name) for camera, name in zip(cameras(2), ("photos/left/a", "photos/right/a"), strict=True)]
    save_photo(tmp_path / "photos/left/a.jpg")
    save_photo(tmp_path / "photos/right/a.png")
    write(tmp_path / "transforms.json", frames, camera_angle_x=0.8)
    loaded = load(tmp_path)
    assert [view.name for view in (*loaded.test, *loaded.train)] == ["left/a.jpg", "right/a.png"]


MATRIX = frame(cameras(1)[0], "x")["transform_matrix"]
SCALED = [[2 * value for value in row[:3]] + row[3:] for row in MATRIX[:3]] + MATRIX[3:]
MIRRORED = [[-row[0], *row[1:]] for row in MATRIX[:3]] + MATRIX[3:]
BAD_FRAMES: dict[str, tuple[dict[str, Any], str]] = {
    "no photo": ({"file_path": None}, "frame 1 has no file_path"),
    "a photo that is a number": ({"file_path": 3}, "frame 1 has no file_path"),
    "a name with a zero byte": ({"file_path": "a\0b"}, "photo name with a zero byte"),
    "a name with a line break": ({"file_path": "a\nb"}, "photo name with a zero byte or a line break"),
    "a size without bounds": ({"w": 1e308, "h": None}, "a size without bounds|photo size"),
    "no pose": ({"transform_matrix": None}, "no 4x4 transform_matrix"),
    "a pose of words": ({"transform_matrix": [["a"] * 4] * 4}, "no 4x4 transform_matrix"),
    "a ragged pose": ({"transform_matrix": [[1, 2], [3]]}, "no 4x4 transform_matrix"),
    "a small pose": ({"transform_matrix": [[1, 0], [0, 1]]}, "no 4x4 transform_matrix"),
    "a NaN pose": ({"transform_matrix": [[math.nan] * 4] * 4}, "pose that is not finite"),
    "a scaled pose": ({"transform_matrix": SCALED}, "not a rotation and a translation"),
    "a mirrored pose": ({"transform_matrix": MIRRORED}, "not a rotation and a translation"),
    "a projective pose": ({"transform_matrix": [*MATRIX[:3], [0, 0, 1, 1]]}, "not a rotation and a translation"),
    "a focal length of words": ({"fl_x": "wide"}, "fl_x of 1.png is not a finite number"),
    "an infinite focal length": ({"fl_x": math.inf}, "fl_x of 1.png is not a finite number"),
    "a huge focal length": ({"fl_x": 10**400}, "fl_x of 1.png is not a finite number"),
    "a negative focal length": ({"fl_x": -5.0}, "focal lengths of -5"),
    "a negative size": ({"w": -5, "h": 4}, "photo size of -5x4"),
    "another shape": ({"w": 10, "h": 40}, r"1\.png is 48x36 but its camera is 10x40"),
    "a fisheye": ({"camera_model": "OPENCV_FISHEYE"}, "camera model that is not one of"),
    "instant-ngp's fisheye": ({"is_fisheye": True}, "camera model that is not one of"),
    "a fourth coefficient": ({"k4": 0.1}, "camera model that is not one of"),
    "the same photo": ({"file_path": "./images/0.png"}, "lists the photo ./images/0.png twice"),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_a_malformed_frame_is_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    change, message = BAD_FRAMES[what]
    folder = capture(tmp_path)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][1].update(change)
    (folder / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(CaptureError, match=message) as raised:
        load(folder)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"frames": [', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "has no list of frames"),
        (b'{"frames": {"a": 1}}', "has no list of frames"),
        (b'{"frames": []}', "lists no photos"),
        (b'{"frames": [7]}', "frame 0 has no file_path"),
    ],
)
def test_a_file_that_is_no_transforms_file_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "transforms.json").write_bytes(text)
    with pytest.raises(CaptureError, match=f"{message}.*;"):
        load(tmp_path)


def test_missing_intrinsics_and_a_list_of_wrong_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="neither fl_x nor a usable camera_angle_x"):
        load(capture(tmp_path, w=WIDTH, h=HEIGHT))
    with pytest.raises(CaptureError, match="neither fl_x nor a usable camera_angle_x"):
        load(capture(tmp_path, camera_angle_x=4.0))
    with pytest.raises(CaptureError, match="test_filenames is not a list"):
        load(capture(tmp_path, **SHARED, test_filenames="images/0.png"))


@needs("fox")
def test_the_foxs_transforms_file_and_its_colmap_model_give_the_same_cameras() -> None:
    theirs, ours = load(CAPTURES / "fox", downscale=4), load(CAPTURES / "fox/transforms.json", downscale=4)
    for a, b in zip((*theirs.train, *theirs.test), (*ours.train, *ours.test), strict=True):
        assert a.name == b.name
        torch.testing.assert_close(a.camera.world_to_camera, b.camera.world_to_camera, atol=1e-9, rtol=0)
        torch.testing.assert_close(a.camera.K, b.camera.K)
        assert bool((a.photo == b.photo).all())


@needs("fox_ngp")
def test_photos_that_instant_ngps_file_lists_in_vain_change_nothing_but_a_warning() -> None:
    whole = load(CAPTURES / "fox_ngp")
    capture = load(CAPTURES / "fox_ngp/transforms_67frames.json")
    assert (len(whole.train), len(whole.test), whole.warnings) == (43, 7, ())
    assert [view.name for view in capture.test] == [view.name for view in whole.test]
    assert [view.name for view in capture.train] == [view.name for view in whole.train]
    assert len(capture.warnings) == 1
    assert "lists 17 photos that do not exist" in capture.warnings[0]
