"""Reduced copies: used where they are their photo at that size to the pixel, and otherwise the photo is reduced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.colmap_files import CameraRow, ImageRow, write_binary
from support.transforms_files import cameras, frame, save_photo, write

from leansplat.captures import Capture, View, load
from leansplat.errors import CaptureError

WIDTH, HEIGHT = 50, 38
FOCAL = 60.0


def in_colmap(folder: Path, width: int = WIDTH, height: int = HEIGHT, *distortion: float) -> None:
    parameters = (FOCAL, FOCAL, width / 2, height / 2, *distortion)
    row = CameraRow(1, "OPENCV" if distortion else "PINHOLE", width, height, parameters)
    images = [ImageRow(f"{n}.png", 1, (1.0, 0, 0, 0), (0.0, 0, float(n))) for n in range(3)]
    write_binary(folder / "sparse/0", (row,), images, ())


def in_transforms(folder: Path, width: int = WIDTH, height: int = HEIGHT, *distortion: float) -> None:
    frames = [frame(camera, f"images/{n}.png") for n, camera in enumerate(cameras(3))]
    terms = dict(zip(("k1", "k2", "p1", "p2"), distortion, strict=False))
    write(folder / "transforms.json", frames, fl_x=FOCAL, w=width, h=height, **terms)


def save(folder: Path, width: int = WIDTH, height: int = HEIGHT, channels: int = 3) -> list[np.ndarray]:
    return [save_photo(folder / f"{n}.png", 10 + n, width, height, channels) for n in range(3)]


def views(capture: Capture) -> list[View]:
    return sorted((*capture.train, *capture.test), key=lambda view: view.name)


def said(capture: Capture) -> list[str]:
    return [warning for warning in capture.warnings if "no points" not in warning]


LAYOUTS = pytest.mark.parametrize("layout", [in_colmap, in_transforms])
Layout = Callable[..., None]


@LAYOUTS
@pytest.mark.parametrize("width", [12, 13])
@pytest.mark.parametrize("height", [9, 10])
def test_a_copy_rounded_either_way_is_used(tmp_path: Path, layout: Layout, width: int, height: int) -> None:
    """A quarter of 50x38 is 12.5x9.5."""
    layout(tmp_path)
    save(tmp_path / "images")
    copies = save(tmp_path / "images_4", width, height)
    capture = load(tmp_path, downscale=4)
    assert said(capture) == []
    for view, copy in zip(views(capture), copies, strict=True):
        assert (view.photo.numpy() == copy).all()
        assert view.camera.fx == pytest.approx(FOCAL * width / WIDTH)


@LAYOUTS
@pytest.mark.parametrize(
    "size", [(WIDTH, HEIGHT), (11, 9), (14, 9), (12, 8), (12, 11), (25, 19), (9, 12), (6, 5), (100, 76)]
)
def test_a_copy_of_another_size_is_not_used_and_its_photo_is_reduced(
    tmp_path: Path, layout: Layout, size: tuple[int, int]
) -> None:
    layout(tmp_path)
    save(tmp_path / "images")
    expected = load(tmp_path, downscale=4)
    save(tmp_path / "images_4", *size)
    capture = load(tmp_path, downscale=4)
    for view, other in zip(views(capture), views(expected), strict=True):
        assert (view.photo == other.photo).all()
        assert (view.camera.K == other.camera.K).all()
    assert len(said(capture)) == 1
    assert "3 reduced copies of photos are not what they should be" in said(capture)[0]
    assert f"images_4/0.png is {size[0]}x{size[1]}, where 1/4 of 50x38 is 12x10" in said(capture)[0]


def test_each_copy_is_judged_by_itself(tmp_path: Path) -> None:
    in_colmap(tmp_path)
    save(tmp_path / "images")
    reduced = load(tmp_path, downscale=2)
    copies = save(tmp_path / "images_2", 25, 19)
    save_photo(tmp_path / "images_2/1.png", 1, WIDTH, HEIGHT)
    (tmp_path / "images_2/2.png").unlink()
    capture = load(tmp_path, downscale=2)
    assert (views(capture)[0].photo.numpy() == copies[0]).all()
    for number in (1, 2):
        assert (views(capture)[number].photo == views(reduced)[number].photo).all()
    assert "1 reduced copies of photos are not" in said(capture)[0]
    assert "1 of 3 photos have no reduced copy (first: 2.png)" in said(capture)[1]


def test_a_copy_is_measured_by_its_photo_which_may_be_smaller_than_the_camera(tmp_path: Path) -> None:
    in_colmap(tmp_path, 4 * WIDTH, 4 * HEIGHT)
    save(tmp_path / "images")
    save(tmp_path / "images_4")  # a quarter of the camera's size, and the photos' own
    capture = load(tmp_path, downscale=4)
    assert views(capture)[0].photo.shape == (10, 12, 3)
    assert "images_4/0.png is 50x38, where 1/4 of 50x38 is 12x10" in said(capture)[0]
    copies = save(tmp_path / "images_4", 12, 9)
    assert (views(load(tmp_path, downscale=4))[0].photo.numpy() == copies[0]).all()


@LAYOUTS
def test_copies_without_their_photos_are_measured_by_the_camera(tmp_path: Path, layout: Layout) -> None:
    layout(tmp_path)
    copies = save(tmp_path / "images_4", 12, 10)
    capture = load(tmp_path, downscale=4)
    assert (views(capture)[0].photo.numpy() == copies[0]).all()
    assert said(capture) == []

    save(tmp_path / "images_4", WIDTH, HEIGHT)
    capture = load(tmp_path, downscale=4)
    camera = views(capture)[0].camera
    assert (camera.width, camera.height, camera.fx) == (12, 10, pytest.approx(FOCAL * 12 / WIDTH))
    assert "images_4/0.png is 50x38, where 1/4 of 50x38 is 12x10" in said(capture)[0]

    save(tmp_path / "images_4", 6, 5)
    with pytest.raises(
        CaptureError, match=r"images_4/0\.png is 6x5, where 1/4 of 50x38 is 12x10, and its photo is not"
    ):
        load(tmp_path, downscale=4)


@LAYOUTS
def test_a_copy_without_its_photos_transparency_is_not_used(tmp_path: Path, layout: Layout) -> None:
    layout(tmp_path)
    save(tmp_path / "images", channels=4)
    expected = load(tmp_path, downscale=2, background=(1, 0, 0))
    copies = save(tmp_path / "images_2", 25, 19, channels=3)
    capture = load(tmp_path, downscale=2, background=(1, 0, 0))
    assert (views(capture)[0].photo == views(expected)[0].photo).all()
    assert "images_2/0.png has not the transparency of" in said(capture)[0]
    copies = save(tmp_path / "images_2", 25, 19, channels=4)
    capture = load(tmp_path, downscale=2, background=(1, 0, 0))
    alpha = copies[0][..., 3:] / 255
    composed = copies[0][..., :3] * alpha + np.array([255, 0, 0]) * (1 - alpha)
    assert np.abs(views(capture)[0].photo.numpy() - composed).max() <= 0.51
    assert said(capture) == []


@pytest.mark.parametrize("turned_copy", [False, True])
def test_copies_of_photos_that_an_orientation_turns_may_be_upright_or_turned_alike(
    tmp_path: Path, turned_copy: bool
) -> None:
    in_colmap(tmp_path)
    tag = Image.Exif()
    tag[0x0112] = 6  # turn clockwise to show
    for n, photo in enumerate(save(tmp_path / "images")):
        Image.fromarray(np.rot90(photo).copy()).save(tmp_path / f"images/{n}.png", exif=tag)
    copies = save(tmp_path / "images_2", WIDTH // 2, HEIGHT // 2)
    for n, copy in enumerate(copies):
        if turned_copy:
            Image.fromarray(np.rot90(copy).copy()).save(tmp_path / f"images_2/{n}.png", exif=tag)
    capture = load(tmp_path, downscale=2)
    assert (views(capture)[0].photo.numpy() == copies[0]).all()
    assert len(said(capture)) == turned_copy


@LAYOUTS
def test_copies_of_distorted_photos_are_undistorted_as_the_photos_are(tmp_path: Path, layout: Layout) -> None:
    width, height = 200, 152
    layout(tmp_path, width, height, -0.08, 0.01, 0.001, 0.0)
    y, x = np.mgrid[:height, :width]
    smooth = (127 + 60 * np.sin(x / 19) + 60 * np.cos(y / 23)).astype(np.uint8)
    for n in range(3):
        for name, times in (("images", 1), ("images_2", 2)):
            (tmp_path / name).mkdir(exist_ok=True)
            small = smooth.reshape(height // times, times, width // times, times).mean(axis=(1, 3))
            Image.fromarray(np.rint(np.repeat(small[..., None], 3, axis=2)).astype(np.uint8)).save(
                tmp_path / name / f"{n}.png"
            )
    copied = load(tmp_path, downscale=2)
    for path in (tmp_path / "images_2").iterdir():
        path.unlink()
    reduced = load(tmp_path, downscale=2)
    a, b = views(copied)[0], views(reduced)[0]
    assert np.abs(np.subtract((a.camera.width, a.camera.height), (b.camera.width, b.camera.height))).max() <= 1
    assert a.camera.fx == pytest.approx(b.camera.fx, rel=0.02)
    # The same place of the world has the same brightness in both.
    for u, v in ((-0.2, -0.1), (0.0, 0.0), (0.25, 0.2)):
        values = []
        for view in (a, b):
            column, row = view.camera.fx * u + view.camera.cx - 0.5, view.camera.fy * v + view.camera.cy - 0.5
            values.append(float(view.photo[round(row), round(column), 0]))
        assert abs(values[0] - values[1]) < 6


@LAYOUTS
def test_damaged_photos_do_not_matter_where_the_other_file_will_do(tmp_path: Path, layout: Layout) -> None:
    """Captures under version control have pointers instead of the large files."""
    layout(tmp_path)
    save(tmp_path / "images")
    copies = save(tmp_path / "images_4", 12, 10)
    (tmp_path / "images/0.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    capture = load(tmp_path, downscale=4)
    assert (views(capture)[0].photo.numpy() == copies[0]).all()
    (tmp_path / "images_4/1.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    capture = load(tmp_path, downscale=4)
    assert views(capture)[1].photo.shape == (10, 12, 3)
    assert "images_4/1.png cannot be read" in said(capture)[0]
    (tmp_path / "images_4/0.png").write_text("")
    with pytest.raises(CaptureError, match=r"images_4/0\.png cannot be read as a photo"):
        load(tmp_path, downscale=4)


def test_a_folder_that_is_already_reduced_can_be_what_the_file_names(tmp_path: Path) -> None:
    frames = [frame(camera, f"images_2/{n}.png") for n, camera in enumerate(cameras(3))]
    write(tmp_path / "transforms.json", frames, fl_x=FOCAL, w=WIDTH, h=HEIGHT)
    photos = save(tmp_path / "images_2", WIDTH // 2, HEIGHT // 2)
    save(tmp_path / "images", WIDTH, HEIGHT)
    whole = load(tmp_path)
    assert (views(whole)[0].photo.numpy() == photos[0]).all()
    assert views(whole)[0].camera.fx == FOCAL / 2
    assert said(whole) == []
    half = load(tmp_path, downscale=2)
    assert views(half)[0].photo.shape == (10, 12, 3)
    assert "images_2, reduced ones, and they are reduced 2 times more" in said(half)[0]


@pytest.mark.parametrize("place", ["images_2/left", "images/left_2"])
def test_copies_may_lie_beside_any_folder_that_holds_the_photos(tmp_path: Path, place: str) -> None:
    frames = [frame(camera, f"images/left/{n}.png") for n, camera in enumerate(cameras(3))]
    write(tmp_path / "transforms.json", frames, fl_x=FOCAL, w=WIDTH, h=HEIGHT)
    save(tmp_path / "images/left")
    copies = save(tmp_path / place, WIDTH // 2, HEIGHT // 2)
    assert (views(load(tmp_path, downscale=2))[0].photo.numpy() == copies[0]).all()


def test_copies_may_have_another_suffix(tmp_path: Path) -> None:
    in_colmap(tmp_path)
    save(tmp_path / "images")
    copies = save(tmp_path / "images_2", 25, 19)
    for n in range(3):
        (tmp_path / f"images_2/{n}.png").rename(tmp_path / f"images_2/{n}.PNG")
    capture = load(tmp_path, downscale=2)
    assert [view.name for view in views(capture)] == ["0.png", "1.png", "2.png"]
    assert (views(capture)[0].photo.numpy() == copies[0]).all()


def test_cameras_whose_middle_is_far_from_that_of_their_photo_are_said(tmp_path: Path) -> None:
    def warnings(**values: Any) -> list[str]:
        frames = [frame(camera, f"images/{n}.png") for n, camera in enumerate(cameras(3))]
        write(tmp_path / "transforms.json", frames, fl_x=FOCAL, w=WIDTH, h=HEIGHT, **values)
        return said(load(tmp_path))

    save(tmp_path / "images")
    assert warnings(cx=30, cy=15) == []
    (sentence,) = warnings(cx=100, cy=76)  # of a photo four times the size
    assert "3 cameras have their principal point far from the middle" in sentence
    assert "0.png at 100, 76 of 50x38" in sentence
    (sentence,) = warnings(cx=6.25, cy=4.75)  # of a photo a quarter of the size
    assert "0.png at 6, 5 of 50x38" in sentence
