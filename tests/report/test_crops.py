"""Crops show the window where pruning hurts most, pixel for pixel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report.made_up import made_up_results, write_pictures

from leansplat.experiments.results import job_folder, photo_path, picture_path
from leansplat.report.crops import crops, largest_window
from leansplat.report.results import Results

SHOWN = ("base", "7k", "gradient-0.6")


@pytest.mark.parametrize(("shape", "side"), [((7, 9), 3), ((4, 4), 4), ((5, 6), 1)])
def test_the_largest_window_is_that_of_trying_all(shape: tuple[int, int], side: int) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    tried = {
        (row, column): values[row : row + side, column : column + side].sum()
        for row in range(shape[0] - side + 1)
        for column in range(shape[1] - side + 1)
    }
    assert largest_window(values, side) == max(tried, key=lambda corner: tried[corner])


def gallery(folder: Path, shown: tuple[str, ...] = SHOWN):
    values = made_up_results(experiments=["figure 4"])
    write_pictures(values, folder)
    results = Results(folder, values)
    return crops(results, "fox", results.some("fox", shown), {name: name for name in ("photo", *shown)}), results


def test_crops_are_the_pixels_of_the_window_with_the_damage(tmp_path: Path) -> None:
    found, results = gallery(tmp_path)
    assert [picture.caption for picture in found.pictures] == ["photo", *SHOWN]
    files = [photo_path(tmp_path, "fox")]
    files += [picture_path(job_folder(tmp_path, results.find("fox", name).values["name"])) for name in SHOWN]
    for picture, file in zip(found.pictures, files, strict=True):
        # The damage is 16 pixels wide, as wide as a window is: 0.4 * 40.
        expected = np.asarray(Image.open(file).convert("RGB"))[20:36, 5:21]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.webp)).convert("RGB")), expected)


def test_what_a_mask_hides_of_the_photo_is_no_damage(tmp_path: Path) -> None:
    _, results = gallery(tmp_path)
    photo = photo_path(tmp_path, "fox")
    pixels = np.asarray(Image.open(photo).convert("RGBA")).copy()
    pixels[20:36, 6:21, 3] = 0  # all of the damage but its first column
    Image.fromarray(pixels).save(photo)
    found = crops(results, "fox", results.some("fox", SHOWN), dict.fromkeys(("photo", *SHOWN), ""))
    last = picture_path(job_folder(tmp_path, results.find("fox", SHOWN[-1]).values["name"]))
    # The first window with that column, where the one with all of the damage starts at column 5.
    expected = np.asarray(Image.open(last).convert("RGB"))[20:36, :16]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.pictures[-1].webp)).convert("RGB")), expected)


def test_without_the_pictures_there_are_no_crops(tmp_path: Path) -> None:
    _, results = gallery(tmp_path)
    photo_path(tmp_path, "fox").unlink()
    assert crops(results, "fox", results.some("fox", SHOWN), {}) is None


def test_one_scene_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    assert gallery(tmp_path, ("base",))[0] is None
