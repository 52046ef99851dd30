"""Crops show the window where the last render loses most, pixel for pixel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leansplat.report import Picture, Shot, cut_crops
from leansplat.report.crops import largest_window

RENDERS = ("first", "between", "last")


@pytest.mark.parametrize(("shape", "side"), [((7, 9), 3), ((4, 4), 4), ((5, 6), 1)])
def test_the_largest_window_is_that_of_trying_all(shape: tuple[int, int], side: int) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    tried = {
        (row, column): values[row : row + side, column : column + side].sum()
        for row in range(shape[0] - side + 1)
        for column in range(shape[1] - side + 1)
    }
    assert largest_window(values, side) == max(tried, key=lambda corner: tried[corner])


@pytest.fixture
def shots(tmp_path: Path) -> dict[str, Shot]:
    """A photo of noise and renders like it; the last is inverted in 16 x 16 pixels from row 20 and column 5.

    As wide is a window of a photo whose shorter side is 40.
    """
    photo = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    damaged = photo.copy()
    damaged[20:36, 5:21] = 255 - damaged[20:36, 5:21]
    shots = {}
    for name in ("photo", *RENDERS):
        path = tmp_path / f"{name}.png"
        Image.fromarray(damaged if name == "last" else photo).save(path)
        shots[name] = Shot(f"crop-{name}", path, f"this is the {name}")
    return shots


def cut(shots: dict[str, Shot]):
    return cut_crops(shots["photo"], [shots[name] for name in RENDERS])


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.webp)).convert("RGB"))


def test_crops_are_the_pixels_of_the_window_with_the_damage(shots) -> None:
    gallery = cut(shots)
    assert gallery is not None
    for picture, shot in zip(gallery.pictures, shots.values(), strict=True):
        assert (picture.name, picture.caption, picture.width) == (shot.name, shot.caption, 16)
        assert np.array_equal(pixels(picture), np.asarray(Image.open(shot.path).convert("RGB"))[20:36, 5:21])


def test_what_a_mask_hides_of_the_photo_is_no_damage(shots) -> None:
    path = shots["photo"].path
    photo = np.asarray(Image.open(path).convert("RGBA")).copy()
    photo[20:36, 6:21, 3] = 0  # all of the damage but its first column
    Image.fromarray(photo).save(path)
    gallery = cut(shots)
    assert gallery is not None
    # The first window with that column, where the one with all of the damage starts at column 5.
    assert np.array_equal(pixels(gallery.pictures[-1]), np.asarray(Image.open(shots["last"].path))[20:36, :16])


@pytest.mark.parametrize("missing", ["photo", "between"])
def test_without_the_pictures_there_are_no_crops(shots, missing: str) -> None:
    shots[missing].path.unlink()
    assert cut(shots) is None


def test_one_render_alone_has_nothing_to_be_compared_with(shots) -> None:
    assert cut_crops(shots["photo"], [shots["last"]]) is None
