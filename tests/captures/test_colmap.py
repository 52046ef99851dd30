"""COLMAP captures: what the model says is what the views have, in either encoding, and nothing malformed gets in."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.colmap_files import CameraRow, ImageRow, PointRow, write_binary, write_text
from support.real_captures import CAPTURES, needs
from support.spots import centroid, distorted, draw

from leansplat.captures import load
from leansplat.captures.colmap_model import read_images, read_lenses, read_points
from leansplat.captures.lens import Lens
from leansplat.errors import CaptureError
from leansplat.runs import hash_capture

WIDTH, HEIGHT = 40, 30
PINHOLE = CameraRow(1, "PINHOLE", WIDTH, HEIGHT, (50.0, 52.0, 19.5, 16.25))
HALF = 0.5**0.5
IMAGES = (
    ImageRow("a.png", 1, (1.0, 0.0, 0.0, 0.0), (0.1, 0.2, 3.0), ((1.5, 2.5, 1), (3.25, 4.0, -1))),
    ImageRow("b c.png", 1, (HALF, 0.0, 0.0, HALF), (0.0, 0.0, 4.0)),
    ImageRow("d.png", 1, (2.0, 0.0, 2.0, 0.0), (0.3, -0.1, 2.0)),
)
POINTS = (
    PointRow((0.1, -0.2, 0.3), (255, 0, 51), ((1, 0), (2, 1))),
    PointRow((1.0, 2.0, -3.0), (0, 102, 255)),
)
Writer = Callable[[Path, Sequence[CameraRow], Sequence[ImageRow], Sequence[PointRow]], None]


def save_photos(folder: Path, images: Sequence[ImageRow], width: int = WIDTH, height: int = HEIGHT) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for image in images:
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / image.name)


def capture(
    folder: Path,
    writer: Writer = write_binary,
    place: str = "sparse/0",
    cameras: Sequence[CameraRow] = (PINHOLE,),
    images: Sequence[ImageRow] = IMAGES,
    points: Sequence[PointRow] = POINTS,
) -> Path:
    writer(folder / place, cameras, images, points)
    save_photos(folder / "images", images)
    return folder


def views(folder: Path, **settings: object) -> dict[str, object]:
    loaded = load(folder, **settings)  # type: ignore[arg-type]
    return {view.name: view for view in (*loaded.train, *loaded.test)}


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "."])
@pytest.mark.parametrize("writer", [write_binary, write_text])
def test_every_encoding_and_place_gives_the_same_capture(tmp_path: Path, writer: Writer, place: str) -> None:
    folder = capture(tmp_path / "capture", writer, place)
    (folder / place / f"rigs{'.bin' if writer is write_binary else '.txt'}").write_bytes(b"not read")
    (folder / place / f"frames{'.bin' if writer is write_binary else '.txt'}").write_bytes(b"not read")
    loaded = load(folder)
    assert loaded.name == "capture"
    assert [view.name for view in loaded.test] == ["a.png"]
    assert [view.name for view in loaded.train] == ["b c.png", "d.png"]
    # The second pose is a quarter turn about z: x of the camera is -y of the world.
    turn = loaded.train[0].camera.world_to_camera
    expected = [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]]
    torch.testing.assert_close(turn, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
    # The third quaternion has length sqrt(8) and means a quarter turn about y.
    expected = [[0, 0, 1, 0.3], [0, 1, 0, -0.1], [-1, 0, 0, 2], [0, 0, 0, 1]]
    pose = loaded.train[1].camera.world_to_camera
    torch.testing.assert_close(pose, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
    assert loaded.points is not None
    torch.testing.assert_close(loaded.points.positions, torch.tensor([[0.1, -0.2, 0.3], [1, 2, -3]]))
    torch.testing.assert_close(loaded.points.colors, torch.tensor([[1, 0, 0.2], [0, 0.4, 1]]))
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("row", "K"),
    [
        (PINHOLE, [[50, 0, 19.5], [0, 52, 16.25], [0, 0, 1]]),
        (
            CameraRow(7, "SIMPLE_PINHOLE", WIDTH, HEIGHT, (50.0, 19.5, 16.25)),
            [[50, 0, 19.5], [0, 50, 16.25], [0, 0, 1]],
        ),
        (
            CameraRow(7, "OPENCV", WIDTH, HEIGHT, (50.0, 52.0, 19.5, 16.25, 0.0, 0.0, 0.0, 0.0)),
            [[50, 0, 19.5], [0, 52, 16.25], [0, 0, 1]],
        ),
    ],
)
def test_photos_without_distortion_keep_their_pixels_and_intrinsics(
    tmp_path: Path, row: CameraRow, K: list[list[float]]
) -> None:
    images = [ImageRow(image.name, row.number, image.quaternion, image.translation) for image in IMAGES]
    folder = capture(tmp_path, cameras=(row,), images=images)
    for name, view in views(folder).items():
        torch.testing.assert_close(view.camera.K, torch.tensor(K, dtype=torch.float64), atol=0, rtol=0)
        assert (view.photo.numpy() == np.asarray(Image.open(folder / "images" / name))).all()


LENSES = {
    "SIMPLE_RADIAL outward": ("SIMPLE_RADIAL", (0.12,), (0.12, 0, 0, 0)),
    "SIMPLE_RADIAL inward": ("SIMPLE_RADIAL", (-0.15,), (-0.15, 0, 0, 0)),
    "RADIAL": ("RADIAL", (-0.2, 0.05), (-0.2, 0.05, 0, 0)),
    "OPENCV": ("OPENCV", (0.06, -0.08, 0.006, -0.009), (0.06, -0.08, 0.006, -0.009)),
    "FULL_OPENCV": (
        "FULL_OPENCV",
        (-0.1, 0.03, 0.002, 0.003, 0.01, 0.02, -0.01, 0.005),
        (-0.1, 0.03, 0.002, 0.003, 0.01, 0.02, -0.01, 0.005),
    ),
}


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("writer", [write_binary, write_text])
def test_dots_drawn_through_a_distorting_lens_land_where_the_pinhole_camera_projects_them(
    tmp_path: Path, lens: str, writer: Writer
) -> None:
    model, parameters, coefficients = LENSES[lens]
    width, height, f, cx, cy = 320, 240, 250.0, 166.0, 113.5
    two = model in ("OPENCV", "FULL_OPENCV")
    fy = 240.0 if two else f
    row = CameraRow(1, model, width, height, (f, fy, cx, cy, *parameters) if two else (f, cx, cy, *parameters))
    shift = np.array([0.2, -0.1, 2.0])
    grid_x, grid_y = np.meshgrid(np.linspace(-1.4, 1.2, 15), np.linspace(-0.9, 1.1, 11))
    world = np.stack([grid_x.ravel(), grid_y.ravel(), 0.1 * np.cos(3 * grid_x.ravel())], axis=1)
    seen = world + shift
    x, y = distorted(seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2], coefficients)
    drawn = np.stack([f * x + cx, fy * y + cy], axis=1)
    images = [ImageRow(name, 1, (1.0, 0.0, 0.0, 0.0), tuple(shift)) for name in ("a.png", "b.png")]
    writer(tmp_path / "sparse/0", (row,), images, POINTS)
    (tmp_path / "images").mkdir()
    for image in images:
        Image.fromarray(draw(width, height, drawn)).save(tmp_path / "images" / image.name)

    view = load(tmp_path).train[0]
    assert view.photo.min() >= 50, "a border that no part of the photo covers"
    assert view.photo.shape == (view.camera.height, view.camera.width, 3)
    projected = view.camera.project(torch.from_numpy(world))[0].numpy()
    size = np.array([view.camera.width, view.camera.height])
    inside = ((projected > 12) & (projected < size - 12)).all(axis=1)
    inside &= ((drawn > 8) & (drawn < np.array([width, height]) - 8)).all(axis=1)
    assert inside.sum() > 80
    photo = view.photo.numpy()
    misses = [np.linalg.norm(centroid(photo, pixel) - pixel) for pixel in projected[inside]]
    # 8-bit dots and their stretching move a centroid by under 0.1 px; a forgotten half pixel would move it by 0.5.
    assert max(misses) < 0.12
    straight = np.stack([f * seen[:, 0] / seen[:, 2] + cx, fy * seen[:, 1] / seen[:, 2] + cy], axis=1)
    assert np.linalg.norm(straight - drawn, axis=1)[inside].max() > 2, "the lens must distort for this to test anything"


@pytest.mark.parametrize("coefficients", [value[2] for value in LENSES.values()])
def test_the_undistorted_frame_is_the_largest_that_the_photo_covers(coefficients: tuple[float, ...]) -> None:
    lens = Lens(250.0, 240.0, 166.0, 113.5, 320, 240, coefficients)
    pinhole = lens.pinhole()
    assert (pinhole.fx, pinhole.fy) == (lens.fx, lens.fy)

    def covered(left: float, top: float, right: float, bottom: float) -> bool:
        """Whether the edges of a frame, in pixels of the undistorted photo, fall on the distorted one."""
        across, down = np.linspace(left, right, 400), np.linspace(top, bottom, 400)
        x = np.concatenate([across, across, np.full(400, left), np.full(400, right)])
        y = np.concatenate([np.full(400, top), np.full(400, bottom), down, down])
        x, y = distorted((x - pinhole.cx) / lens.fx, (y - pinhole.cy) / lens.fy, coefficients)
        u, v = lens.fx * x + lens.cx, lens.fy * y + lens.cy
        return bool((u >= -1e-3).all() and (u <= 320.001).all() and (v >= -1e-3).all() and (v <= 240.001).all())

    frame = np.array([0, 0, pinhole.width, pinhole.height], dtype=np.float64)
    assert covered(*frame)
    for side, outward in enumerate((-1, -1, 1, 1)):
        larger = frame.copy()
        larger[side] += outward
        assert not covered(*larger)


def test_a_lens_that_folds_the_photo_is_refused(tmp_path: Path) -> None:
    row = CameraRow(1, "SIMPLE_RADIAL", WIDTH, HEIGHT, (20.0, 20.0, 15.0, -1.5))
    folder = capture(tmp_path, cameras=(row,))
    with pytest.raises(CaptureError, match=r"a\.png has a camera with distortion coefficients that cannot be undone"):
        load(folder)


@pytest.mark.parametrize("writer", [write_binary, write_text])
def test_a_fisheye_camera_is_refused_by_name(tmp_path: Path, writer: Writer) -> None:
    row = CameraRow(1, "OPENCV_FISHEYE", WIDTH, HEIGHT, (50.0, 50.0, 20.0, 15.0, 0.1, 0.0, 0.0, 0.0))
    with pytest.raises(CaptureError, match=r"cameras\.(bin|txt): camera 1 has the model OPENCV_FISHEYE"):
        load(capture(tmp_path, writer, cameras=(row,)))


def test_a_test_list_beside_the_model_decides_the_split(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    (folder / "sparse/0/test.txt").write_text("d.png\nunknown.png\n\n")
    loaded = load(folder)
    assert [view.name for view in loaded.test] == ["d.png"]
    assert [view.name for view in loaded.train] == ["a.png", "b c.png"]
    assert len(loaded.warnings) == 1
    assert "unknown.png" in loaded.warnings[0]
    (folder / "sparse/0/test.txt").write_text("unknown.png\n")
    with pytest.raises(CaptureError, match="list of test photos but none of them"):
        load(folder)


def test_missing_photos_are_skipped_and_reported_and_too_few_are_refused(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    (folder / "images/b c.png").unlink()
    loaded = load(folder)
    assert [view.name for view in (*loaded.test, *loaded.train)] == ["a.png", "d.png"]
    assert len(loaded.warnings) == 1
    assert "lists 1 photos that do not exist (first: b c.png)" in loaded.warnings[0]
    (folder / "images/d.png").unlink()
    with pytest.raises(CaptureError, match="two in all are needed"):
        load(folder)
    (folder / "images/a.png").unlink()
    with pytest.raises(CaptureError, match=r"images\.bin lists 3 photos and none exists"):
        load(folder)


def test_a_model_without_points_loads_without_them(tmp_path: Path) -> None:
    folder = capture(tmp_path, points=())
    loaded = load(folder)
    assert loaded.points is None
    assert "no points" in loaded.warnings[0]
    assert load(folder, points=False).warnings == ()


def test_several_models_are_reported(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    write_binary(folder / "sparse/1", (PINHOLE,), IMAGES[:1], POINTS)
    assert "holds several models" in load(folder).warnings[0]


@pytest.mark.parametrize(
    ("file", "read"), [("cameras.bin", read_lenses), ("images.bin", read_images), ("points3D.bin", read_points)]
)
def test_a_binary_file_cut_anywhere_or_grown_is_refused(
    tmp_path: Path, file: str, read: Callable[[Path], object]
) -> None:
    write_binary(tmp_path, (PINHOLE,), IMAGES, POINTS)
    path = tmp_path / file
    whole = path.read_bytes()
    read(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CaptureError, match=file):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CaptureError, match="goes on for 1 bytes"):
        read(path)
    for count in (10**12, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", count) + whole[8:])
        with pytest.raises(CaptureError, match=f"claims {count} .*more than its {len(whole)} bytes can hold"):
            read(path)


@pytest.mark.parametrize("name", ["a\nb.png", "a\rb.png"])
def test_a_name_with_a_line_break_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    write_binary(tmp_path, (PINHOLE,), [ImageRow(name, 1, (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0))], POINTS)
    with pytest.raises(
        CaptureError, match=r"images\.bin has a photo name with a zero byte or a line break; "
    ) as raised:
        read_images(tmp_path / "images.bin")
    assert "\n" not in str(raised.value)


def test_a_lying_count_inside_a_record_is_refused(tmp_path: Path) -> None:
    write_binary(tmp_path, (PINHOLE,), IMAGES[1:2], POINTS[1:])
    for file, read, what in (("images.bin", read_images, "keypoints"), ("points3D.bin", read_points, "track entries")):
        path = tmp_path / file
        path.write_bytes(path.read_bytes()[:-8] + struct.pack("<Q", 10**15))
        with pytest.raises(CaptureError, match=f"claims {10**15} {what}"):
            read(path)


NAN = float("nan")
BAD_MODELS = {
    "a NaN translation": ({"images": (ImageRow("a.png", 1, (1.0, 0, 0, 0), (0.0, NAN, 0.0)),)}, "not finite for a.png"),
    "a NaN rotation": ({"images": (ImageRow("a.png", 1, (NAN, 0, 0, 0), (0.0, 0, 0)),)}, "no valid rotation for a.png"),
    "a zero rotation": ({"images": (ImageRow("a.png", 1, (0.0, 0, 0, 0), (0.0, 0, 0)),)}, "no valid rotation"),
    "an unknown camera": ({"images": (*IMAGES, ImageRow("e.png", 9, (1.0, 0, 0, 0), (0, 0, 0)))}, "e.png has camera 9"),
    "a name twice": ({"images": (*IMAGES, IMAGES[0])}, "lists the photo a.png twice"),
    "a camera twice": ({"cameras": (PINHOLE, PINHOLE)}, "lists camera 1 twice"),
    "a NaN focal length": ({"cameras": (CameraRow(1, "PINHOLE", 40, 30, (NAN, 1, 1, 1)),)}, "not finite"),
    "a negative focal length": ({"cameras": (CameraRow(1, "PINHOLE", 40, 30, (-9.0, 9, 1, 1)),)}, "focal lengths"),
    "a width of zero": ({"cameras": (CameraRow(1, "PINHOLE", 0, 30, (9.0, 9, 1, 1)),)}, "photo size of 0x30"),
    "an infinite point": ({"points": (PointRow((1.0, float("inf"), 0.0), (1, 2, 3)),)}, "point that is not finite"),
    "another shape": ({"cameras": (CameraRow(1, "PINHOLE", 30, 40, (9.0, 9, 1, 1)),)}, "but its camera is 30x40"),
}


@pytest.mark.parametrize("writer", [write_binary, write_text])
@pytest.mark.parametrize("what", BAD_MODELS)
def test_a_malformed_model_is_refused_in_one_sentence(tmp_path: Path, what: str, writer: Writer) -> None:
    change, message = BAD_MODELS[what]
    rows = {"cameras": (PINHOLE,), "images": IMAGES, "points": POINTS, **change}
    writer(tmp_path / "sparse/0", rows["cameras"], rows["images"], rows["points"])
    save_photos(tmp_path / "images", rows["images"])
    with pytest.raises(CaptureError, match=message) as raised:
        load(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../../e.png", "{outside}/e.png", "x/../../../e.png"])
def test_a_photo_name_that_leaves_the_capture_is_not_followed(tmp_path: Path, name: str) -> None:
    name = name.format(outside=tmp_path)
    folder = capture(tmp_path / "capture", images=IMAGES)
    images = (*IMAGES, ImageRow(name, 1, (1.0, 0, 0, 0), (0, 0, 0)))
    write_binary(folder / "sparse/0", (PINHOLE,), images, POINTS)
    save_photos(tmp_path, [ImageRow("e.png", 1, (), ())])
    assert os.path.isfile(os.path.normpath(folder / "images" / name))
    loaded = load(folder)
    assert sorted(view.name for view in (*loaded.train, *loaded.test)) == ["a.png", "b c.png", "d.png"]
    assert f"lists 1 photos that do not exist (first: {name})" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("cameras.txt", "1 PINHOLE 40\n", "line 1, is not a camera"),
        ("cameras.txt", "# x\n1 PINHOLE -40 30 9 9 1 1\n", "photo size of -40x30"),
        ("cameras.txt", "1 PINHOLE 40 30 9 9 1\n", "has 3 parameters where PINHOLE has 4"),
        ("cameras.txt", "1 WIDE 40 30 9 9 1 1\n", "has the model WIDE"),
        ("images.txt", "1 1 0 0 0 0 0 0 1\n\n", "line 1, is not an image"),
        ("images.txt", "1 1 0 0 x 0 0 0 1 a.png\n\n", "line 1, is not an image"),
        ("images.txt", "1 1 0 0 0 0 0 0 1 a.png\n1 2\n", "line 2, is not a list of keypoints"),
        ("images.txt", "1 1 0 0 0 0 0 0 1 a.png\n1 2 3\n4 5 6\n", "line 3, is not an image, nor the first list"),
        (
            "images.txt",
            "1 1 0 0 0 0 0 0 1 a.png\n2 1 0 0 0 0 3 4 1 5 6 7\n",
            "line 2, is not surely a list of keypoints",
        ),
        ("images.txt", "1 2 3\n1 1 0 0 0 0 0 0 1 a.png\n", "line 1, is not an image, nor the first list"),
        ("images.txt", "1 1 0 0 0 0 0 0 1 a.png\n1.5 1 0 0 0 0 0 0 1 b.png\n", "line 2, is not an image"),
        ("cameras.txt", "1 PINHOLE 40.5 30 9 9 1 1\n", "line 1, is not a camera"),
        ("points3D.txt", "1 0 0 0 1 2\n", "line 1, is not a point"),
        ("points3D.txt", "1 0 0 0 1 2 3.x 0.5\n", "line 1, is not a point"),
        ("points3D.txt", "1 0 0 0 1 2 300 0.5\n", "colour outside 0 to 255"),
    ],
)
def test_a_malformed_text_line_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = capture(tmp_path, write_text)
    (folder / "sparse/0" / file).write_text(text)
    with pytest.raises(CaptureError, match=f"{file}.*{message}"):
        load(folder)


SPACED = ("a.png", "b  c.png", "one two three.png", "1 2 3 4 5 6.png", "x 1 2", "7.png")


def spaced_capture(folder: Path, keypoints: Sequence[Sequence[tuple[float, float, int]]] | None = None) -> list[str]:
    """Writes a text model whose names have spaces, and its photos; returns the lines of images.txt that are photos."""
    images = [
        ImageRow(name, 1, (1.0, 0.0, 0.0, 0.0), (0.5 * index, 0.0, 3.0), keypoints[index] if keypoints else ())
        for index, name in enumerate(SPACED)
    ]
    write_text(folder / "sparse/0", (PINHOLE,), images, POINTS)
    (folder / "images").mkdir(parents=True)
    for index, name in enumerate(SPACED):
        pixels = np.full((HEIGHT, WIDTH, 3), 40 * index, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name, format="PNG")
    return [line for line in (folder / "sparse/0/images.txt").read_text().splitlines()[1::2] if line]


def assert_all_spaced_photos_are_there(folder: Path) -> None:
    found = views(folder)
    assert sorted(found) == sorted(SPACED)
    for index, name in enumerate(SPACED):  # each with its own pose and pixels
        view = found[name]
        assert float(view.camera.world_to_camera[0, 3]) == 0.5 * index
        assert (view.photo == 40 * index).all()


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\n\n", " \t\n", "\n# a comment\n", "\n\n# a comment\n\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_a_text_model_may_leave_out_the_lines_of_keypoints_whatever_the_names(
    tmp_path: Path, separator: str, end: str
) -> None:
    lines = spaced_capture(tmp_path)
    assert len(lines) == len(SPACED)
    text = "\ufeff# Image list\n" + separator.join(lines) + end
    (tmp_path / "sparse/0/images.txt").write_bytes(text.encode())
    assert_all_spaced_photos_are_there(tmp_path)


def test_lines_of_keypoints_are_told_from_photos_by_what_they_are_made_of(tmp_path: Path) -> None:
    """Among them are lines that would also pass for photos whose names are numbers."""
    keypoints = [
        [(10.0, 20.0, 1), (3.5, 4.0, -1), (1.0, 1.0, 2), (7.25, 8.0, 5)],
        [],
        [(100.0, 0.0, 0), (0.0, 0.0, -1), (0.0, 0.0, 1), (1e-05, 3.0, 18446744073709551615)],
        [(1.0, 2.0, 3)],
        [],
        [(2.0, 10.0, 0), (0.0, 0.0, 0), (3.0, 4.0, 1), (5.0, 6.0, 7)],
    ]
    spaced_capture(tmp_path, keypoints)
    path = tmp_path / "sparse/0/images.txt"
    text = path.read_text().replace(".0 ", " ")  # whole numbers, as some tools shorten them
    for ending in (text, text.rstrip("\n"), text.replace("\n", "\r\n"), text.replace("\n\n", "\n")):
        path.write_bytes(ending.encode())
        assert_all_spaced_photos_are_there(tmp_path)


def test_cameras_and_points_may_have_windows_line_ends_marks_comments_and_sizes_with_a_point(tmp_path: Path) -> None:
    spaced_capture(tmp_path)
    expected = load(tmp_path)
    for name, old, new in (("cameras.txt", "40 30", "40.0 30.0"), ("points3D.txt", "255 0 51", "255.0 0.0 51.0")):
        path = tmp_path / "sparse/0" / name
        text = path.read_text()
        assert old in text
        changed = "\ufeff" + text.replace(old, new).rstrip("\n").replace("\n", "  \r\n\r\n  # more\r\n")
        path.write_bytes(changed.encode())
    assert hash_capture(load(tmp_path)) == hash_capture(expected)


def test_photos_that_share_a_number_are_all_used(tmp_path: Path) -> None:
    lines = spaced_capture(tmp_path)
    text = "\n\n".join("5 " + line.split(" ", 1)[1] for line in lines)
    (tmp_path / "sparse/0/images.txt").write_text(text)
    assert_all_spaced_photos_are_there(tmp_path)


@needs("fox")
def test_the_fox_capture_loads_with_its_own_split_points_and_reduced_photos() -> None:
    capture = load(CAPTURES / "fox", downscale=4)
    assert (len(capture.train), len(capture.test)) == (43, 7)
    listed = (CAPTURES / "fox/sparse/0/test.txt").read_text().split()
    assert [view.name for view in capture.test] == sorted(listed)
    assert capture.points is not None
    assert capture.points.positions.shape == (12420, 3)
    view = capture.train[0]
    assert tuple(view.photo.shape) == (480, 270, 3)
    stored = np.asarray(Image.open(CAPTURES / "fox/images_4" / view.name))
    assert (view.photo.numpy() == stored).all()
    assert view.camera.fx == pytest.approx(1400.6190861644463 / 4)
    assert (view.camera.cx, view.camera.cy) == (135.0, 240.0)
    assert capture.warnings == ()
