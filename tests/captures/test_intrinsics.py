"""Transforms files without w and h: numbers in pixels fit the photos that they were written for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from support.real_captures import CAPTURES, needs
from support.transforms_files import cameras, frame, save_photo, write

from leansplat.captures import Capture, load
from leansplat.errors import CaptureError

WIDTH, HEIGHT = 400, 304
FOCAL, MIDDLE = 500.0, (205.0, 148.0)
SIZE = {"w": WIDTH, "h": HEIGHT}
MIDDLE_GIVEN = {"cx": MIDDLE[0], "cy": MIDDLE[1]}
ANGLE = 2 * math.atan(0.5 * WIDTH / FOCAL)
Camera = tuple[float, float, float, float]


def capture(
    folder: Path, photos: str, divided: int, values: dict[str, Any], *, listed: str = "images", each: bool = False
) -> Path:
    """Photos `divided` times smaller than WIDTH x HEIGHT in one folder, listed in a folder that may be another."""
    frames = [frame(camera, f"{listed}/{n}.png", **(values if each else {})) for n, camera in enumerate(cameras(2))]
    for n in range(2):
        save_photo(folder / photos / f"{n}.png", n, round(WIDTH / divided), round(HEIGHT / divided))
    write(folder / "transforms.json", frames, **({} if each else values))
    return folder


def intrinsics(loaded: Capture) -> Camera:
    camera = loaded.train[0].camera
    return camera.fx, camera.fy, camera.cx, camera.cy


def scaled(times: float, middle: tuple[float, float] = (WIDTH / 2, HEIGHT / 2)) -> Camera:
    return times * FOCAL, times * FOCAL, times * middle[0], times * middle[1]


def times(scale: float, values: dict[str, float]) -> dict[str, float]:
    """Numbers in pixels for photos of another size."""
    return {key: value if "angle" in key else scale * value for key, value in values.items()}


EVIDENCE: dict[str, tuple[dict[str, float], tuple[float, float]]] = {
    "focal length and middle": ({"fl_x": FOCAL, **MIDDLE_GIVEN}, MIDDLE),
    "focal length and half a middle": ({"fl_x": FOCAL, "cx": MIDDLE[0]}, (MIDDLE[0], HEIGHT / 2)),
    "focal length and angle": ({"fl_x": FOCAL, "camera_angle_x": ANGLE}, (WIDTH / 2, HEIGHT / 2)),
    "both focal lengths, middle and angle": (
        {"fl_x": FOCAL, "fl_y": FOCAL, **MIDDLE_GIVEN, "camera_angle_x": ANGLE},
        MIDDLE,
    ),
    "middle and angle": ({**MIDDLE_GIVEN, "camera_angle_x": ANGLE}, MIDDLE),
}


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("written_for", [1, 4, 1 / 2, 1 / 4])
@pytest.mark.parametrize("what", EVIDENCE)
def test_numbers_are_fitted_to_the_photos_there_by_what_they_show(
    tmp_path: Path, what: str, written_for: float, each: bool
) -> None:
    """The same numbers for photos of other sizes, with the photos that the file names or only a quarter of them."""
    values, middle = EVIDENCE[what]
    written = times(written_for, values)
    loaded = load(capture(tmp_path / "whole", "images", 1, written, each=each))
    assert intrinsics(loaded) == pytest.approx(scaled(1, middle))
    assert [" no w and h for 2 photos" in warning for warning in loaded.warnings] == (
        [] if written_for == 1 else [True]
    )

    loaded = load(capture(tmp_path / "copies", "images_4", 4, written, each=each), downscale=4)
    assert loaded.train[0].photo.shape == (HEIGHT / 4, WIDTH / 4, 3)
    assert intrinsics(loaded) == pytest.approx(scaled(1 / 4, middle))
    size = {1: "4 times the size of", 4: "16 times the size of", 1 / 2: "2 times the size of", 1 / 4: "of the size of"}
    (sentence,) = loaded.warnings
    assert f"to be for photos {size[written_for]} those in {tmp_path / 'copies/images_4'}" in sentence


@pytest.mark.parametrize("values", [{"fl_x": FOCAL}, {"fl_y": FOCAL}])
def test_a_focal_length_alone_is_for_the_photo_that_the_file_names(tmp_path: Path, values: dict[str, float]) -> None:
    loaded = load(capture(tmp_path / "whole", "images", 1, values))
    assert intrinsics(loaded) == pytest.approx(scaled(1))
    assert "to be for photos of the size of those in" in loaded.warnings[0]
    loaded = load(capture(tmp_path / "copies", "images_4", 4, values), downscale=4)
    assert intrinsics(loaded) == pytest.approx(scaled(1 / 4))
    assert "to be for photos 4 times the size of those in" in loaded.warnings[0]


@pytest.mark.parametrize(
    "values",
    [{"camera_angle_x": ANGLE}, {"camera_angle_x": ANGLE, "camera_angle_y": 2 * math.atan(0.5 * HEIGHT / FOCAL)}],
)
def test_an_angle_of_view_is_right_for_photos_of_any_size(tmp_path: Path, values: dict[str, float]) -> None:
    for name, downscale in (("images", 1), ("images_4", 4)):
        loaded = load(capture(tmp_path / name, name, downscale, values), downscale=downscale)
        assert intrinsics(loaded) == pytest.approx(scaled(1 / downscale))
        assert loaded.warnings == ()


@pytest.mark.parametrize("values", [{"fl_x": FOCAL, **MIDDLE_GIVEN}, {"fl_x": FOCAL}, {"camera_angle_x": ANGLE}])
@pytest.mark.parametrize("size", [{"w": WIDTH, "h": HEIGHT}, {"w": WIDTH}, {"h": HEIGHT}])
def test_with_a_size_or_a_side_of_it_numbers_are_for_that_whatever_the_photos(
    tmp_path: Path, size: dict[str, float], values: dict[str, float]
) -> None:
    middle = MIDDLE if "cx" in values else (WIDTH / 2, HEIGHT / 2)
    for number, (name, divided, downscale) in enumerate((("images", 1, 1), ("images", 4, 1), ("images_4", 4, 4))):
        folder = capture(tmp_path / str(number), name, divided, {**values, **size})
        loaded = load(folder, downscale=downscale)
        assert intrinsics(loaded) == pytest.approx(scaled(1 / divided, middle))
        assert loaded.warnings == ()


def test_photos_that_the_file_names_may_be_a_reduced_folder(tmp_path: Path) -> None:
    loaded = load(capture(tmp_path, "images_4", 4, {"fl_x": FOCAL, **MIDDLE_GIVEN}, listed="images_4"))
    assert intrinsics(loaded) == pytest.approx(scaled(1 / 4, MIDDLE))
    assert "4 times the size of those in" in loaded.warnings[0]


def test_the_size_is_known_to_the_pixel_by_a_principal_point_in_the_middle(tmp_path: Path) -> None:
    """A quarter of 1078 pixels is 269 or 270."""
    for number, width in enumerate((269, 270)):
        folder = tmp_path / str(number)
        for n in range(2):
            save_photo(folder / f"images_4/{n}.png", n, width, 480)
        frames = [frame(camera, f"images/{n}.png") for n, camera in enumerate(cameras(2))]
        write(folder / "transforms.json", frames, fl_x=FOCAL, cx=539.0, cy=960.0)
        assert load(folder, downscale=4).train[0].camera.fx == pytest.approx(FOCAL * width / 1078, rel=1e-12)


def test_numbers_that_go_with_no_size_are_refused_or_said(tmp_path: Path) -> None:
    odd = {"fl_x": FOCAL, "cx": 1.8 * WIDTH, "cy": 0.1 * HEIGHT}
    with pytest.raises(
        CaptureError, match=r"no w and h for 0\.png, and its principal point fits no size .*add w and h"
    ):
        load(capture(tmp_path / "copies", "images_4", 4, odd), downscale=4)
    loaded = load(capture(tmp_path / "whole", "images", 1, odd))
    assert intrinsics(loaded)[0] == FOCAL
    assert "to be for photos of the size of those in" in loaded.warnings[0]
    assert "principal point far from the middle" in loaded.warnings[1]


@needs("fox")
def test_the_fox_without_a_size_and_with_reduced_photos_alone_has_its_cameras(tmp_path: Path) -> None:
    import json

    content = json.loads((CAPTURES / "fox/transforms.json").read_text())
    (tmp_path / "images_4").symlink_to((CAPTURES / "fox/images_4").resolve())
    for removed in (("w", "h"), ("w", "h", "cx", "cy")):
        (tmp_path / "transforms.json").write_text(
            json.dumps({key: value for key, value in content.items() if key not in removed})
        )
        loaded, whole = load(tmp_path, downscale=4), load(CAPTURES / "fox/transforms.json", downscale=4)
        for a, b in zip((*loaded.train, *loaded.test), (*whole.train, *whole.test), strict=True):
            assert a.name == b.name
            assert (a.camera.K == b.camera.K).all()
            assert (a.photo == b.photo).all()
