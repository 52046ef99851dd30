"""Crops of one held-out view, as in the paper's Figs. 4 to 6: the photo, the baselines, and more and more pruned.

The window is not chosen by eye: it is where the strongest pruning shown loses most against the baseline. What is
transparent in the photo, because a mask hides it, is no loss.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leansplat.experiments.results import job_folder, photo_path, picture_path
from leansplat.report.document import Gallery, Picture
from leansplat.report.results import Result, Results

_SIDE = 0.4
"""Side of the window in units of the photo's shorter side."""


def crops(results: Results, capture: str, shown: Mapping[str, Result], captions: Mapping[str, str]) -> Gallery | None:
    """The photo and some scenes of a capture in the window where the last of them differs most from the first.

    Args:
        shown: finished jobs by variant, the baseline first, the strongest pruning last.
        captions: by variant; "photo" is the photo's.

    Returns:
        None where the pictures are not in the folder of the results, or there are not two scenes to compare.
    """
    files = {"photo": photo_path(results.folder, capture)}
    for variant, result in shown.items():
        files[variant] = picture_path(job_folder(results.folder, result.values["name"]))
    if len(shown) < 2 or not all(path.is_file() for path in files.values()):
        return None
    images = {name: _read(path) for name, path in files.items()}
    names = list(shown)
    side = max(1, round(_SIDE * min(images["photo"].shape[:2])))
    errors = [_squared_error(images[name], images["photo"]) for name in (names[-1], names[0])]
    row, column = largest_window((errors[0] - errors[1]) * _counts(files["photo"]), side)
    pictures = []
    for name, image in images.items():
        window = image[row : row + side, column : column + side]
        pictures.append(Picture(f"{capture}-{name}", captions[name], _webp(window), side))
    return Gallery(pictures)


def largest_window(values: NDArray[np.float64], side: int) -> tuple[int, int]:
    """Row and column of the corner of the `side` x `side` window with the largest sum; the first of equals."""
    sums = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, column = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(row), int(column)


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _counts(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))[..., 3] > 0


def _squared_error(image: NDArray[np.uint8], photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = (image.astype(np.float64) - photo.astype(np.float64)) ** 2
    return difference.sum(axis=2)


def _webp(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="WEBP", lossless=True)
    return file.getvalue()
