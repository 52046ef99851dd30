"""Sparse points are found where tools leave them, and are in the frame of the cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.colmap_files import CameraRow, ImageRow, PointRow, write_binary, write_text
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import Capture, load
from leansplat.errors import CaptureError

ROW = CameraRow(1, "PINHOLE", WIDTH, HEIGHT, (50.0, 50.0, 24.0, 18.0))
IMAGES = [ImageRow(f"{n}.png", 1, (1.0, 0, 0, 0), (0.0, 0, float(n))) for n in range(2)]
FIRST, SECOND, THIRD = (0.5, -1.0, 2.0), (1.0, 2.0, 3.0), (-4.0, 5.0, 6.0)
Writer = Callable[..., None]


def write_ply(path: Path, *positions: tuple[float, float, float]) -> None:
    """A plain point cloud, all points red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["ply", "format ascii 1.0", f"element vertex {len(positions)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")] + ["end_header"]
    lines += [f"{x} {y} {z} 255 0 0" for x, y, z in positions]
    path.write_text("\n".join(lines) + "\n")


def found(capture: Capture) -> list[tuple[float, ...]] | None:
    return None if capture.points is None else [tuple(row) for row in capture.points.positions.tolist()]


def save_photos(folder: Path) -> None:
    for n in range(2):
        save_photo(folder / f"images/{n}.png", n)


@pytest.mark.parametrize(("writer", "own", "other"), [(write_binary, ".bin", ".txt"), (write_text, ".txt", ".bin")])
def test_a_model_takes_its_own_points_then_the_other_encodings_then_those_of_a_ply(
    tmp_path: Path, writer: Writer, own: str, other: str
) -> None:
    save_photos(tmp_path)
    model = tmp_path / "sparse/0"
    ply_here, ply_there = model / "points3D.ply", tmp_path / "points3d.PLY"
    write_ply(ply_there, FIRST, THIRD)
    write_ply(ply_here, THIRD)
    writer(tmp_path / "elsewhere", (ROW,), IMAGES, [PointRow(FIRST, (0, 0, 0))])
    (write_text if writer is write_binary else write_binary)(
        tmp_path / "elsewhere", (ROW,), IMAGES, [PointRow(SECOND, (0, 0, 0))]
    )
    writer(model, (ROW,), IMAGES, [PointRow(FIRST, (0, 0, 0))])
    (tmp_path / f"elsewhere/points3D{other}").rename(model / f"points3D{other}")

    expected = [
        (model / f"points3D{own}", [FIRST]),
        (model / f"points3D{other}", [SECOND]),
        (ply_here, [THIRD]),
        (ply_there, [FIRST, THIRD]),
    ]
    for path, positions in expected:
        capture = load(tmp_path)
        assert found(capture) == positions
        sentence = f"{model / f'points3D{own}'} has no points; training starts from those in {path}."
        assert list(capture.warnings) == ([] if path == expected[0][0] else [sentence])
        path.unlink()
    capture = load(tmp_path)
    assert capture.points is None
    assert "has no points; training starts from random ones" in capture.warnings[0]


@pytest.mark.parametrize("writer", [write_binary, write_text])
def test_a_model_whose_own_points_are_none_takes_those_beside_it(tmp_path: Path, writer: Writer) -> None:
    """Models made for known poses have an empty file of points."""
    save_photos(tmp_path)
    writer(tmp_path / "sparse/0", (ROW,), IMAGES, ())
    write_ply(tmp_path / "sparse/0/points3D.ply", FIRST)
    assert found(load(tmp_path)) == [FIRST]
    assert load(tmp_path, points=False).warnings == ()
    (tmp_path / "sparse/0/points3D.ply").write_text("not a point cloud")
    with pytest.raises(CaptureError, match=r"points3D\.ply"):
        load(tmp_path)


def transforms(folder: Path, name: str = "transforms.json", **values: Any) -> Path:
    save_photos(folder)
    frames = [frame(camera, f"images/{n}.png") for n, camera in enumerate(cameras(2))]
    write(folder / name, frames, camera_angle_x=0.8, **values)
    return folder


@pytest.mark.parametrize("name", ["sparse_pc.ply", "points3D.ply", "points3d.ply"])
def test_a_transforms_file_takes_the_points_beside_it_that_it_does_not_name(tmp_path: Path, name: str) -> None:
    capture = load(transforms(tmp_path))
    assert (capture.points, capture.warnings) == (None, ())
    write_ply(tmp_path / name, FIRST)
    capture = load(tmp_path)
    assert found(capture) == [FIRST]
    assert capture.warnings == (
        f"{tmp_path / 'transforms.json'} names no point cloud; training starts from {tmp_path / name}.",
    )
    assert load(tmp_path, points=False).warnings == ()


def test_a_blender_capture_takes_the_points_beside_it(tmp_path: Path) -> None:
    transforms(tmp_path, "transforms_train.json")
    write_ply(tmp_path / "points3d.ply", FIRST)
    capture = load(tmp_path)
    assert found(capture) == [FIRST]
    assert any("training starts from" in warning for warning in capture.warnings)


@pytest.mark.parametrize(
    "name", ["/home/someone/garden/points/cloud.ply", "points\\cloud.ply", "C:\\garden\\Points\\Cloud.PLY", "cloud.ply"]
)
def test_the_point_cloud_that_is_named_may_be_on_another_machine(tmp_path: Path, name: str) -> None:
    transforms(tmp_path, ply_file_path=name)
    write_ply(tmp_path / ("cloud.ply" if name == "cloud.ply" else "points/cloud.ply"), FIRST)
    write_ply(tmp_path / "sparse_pc.ply", SECOND)
    capture = load(tmp_path)
    assert found(capture) == [FIRST]
    if name != "cloud.ply":
        assert "which does not exist; training starts from" in capture.warnings[0]


def test_a_named_point_cloud_that_is_missing_or_empty_is_said(tmp_path: Path) -> None:
    transforms(tmp_path, ply_file_path="cloud.ply")
    save_photo(tmp_path / "cloud.png")
    assert load(tmp_path).warnings[0].endswith("cloud.ply, which does not exist; training starts from random points.")
    write_ply(tmp_path / "sparse_pc.ply", SECOND)
    capture = load(tmp_path)
    assert found(capture) == [SECOND]
    assert f"which does not exist; training starts from {tmp_path / 'sparse_pc.ply'}." in capture.warnings[0]
    write_ply(tmp_path / "cloud.ply")
    capture = load(tmp_path)
    assert capture.points is None
    assert "cloud.ply has no points" in capture.warnings[0]


TURN = [[1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 1.0, -1.0], [0.0, -1.0, 0.0, 2.0]]  # from COLMAP's frame to the poses'


@pytest.mark.parametrize("rows", [3, 4])
def test_points_are_put_into_the_frame_of_the_poses(tmp_path: Path, rows: int) -> None:
    """The cameras look at the origin, and the points of the scene are around it, in one frame or the other."""
    generator = np.random.default_rng(3)
    seen = generator.normal((0.0, 0.0, 0.2), 0.1, (200, 3))
    matrix = np.array(TURN)
    before = (seen - matrix[:, 3]) @ matrix[:, :3]
    transforms(tmp_path, applied_transform=[*TURN, [0.0, 0.0, 0.0, 1.0]][:rows])
    for name, stored, expected in (
        ("sparse_pc.ply", seen, seen),
        ("sparse_pc.ply", before, before),  # nerfstudio writes it beside the poses: what it says is taken
        ("points3D.ply", seen, seen),
        ("points3D.ply", before, seen),
    ):
        write_ply(tmp_path / name, *stored)
        capture = load(tmp_path)
        assert capture.points is not None
        np.testing.assert_allclose(capture.points.positions.numpy(), expected, atol=1e-6)
        assert ("turned by applied_transform" in capture.warnings[0]) == (expected is not stored)
        (tmp_path / name).unlink()


def test_an_applied_transform_that_is_none_is_refused(tmp_path: Path) -> None:
    write_ply(tmp_path / "points3D.ply", FIRST)
    for matrix in ("turned", [[1, 0, 0]], [[float("nan")] * 4] * 3):
        transforms(tmp_path, applied_transform=matrix)
        with pytest.raises(CaptureError, match="applied_transform is not a 3x4 matrix of numbers"):
            load(tmp_path)
