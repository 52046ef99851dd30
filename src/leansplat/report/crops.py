"""`cut_crops`: a photo and renders of it, in the window where the last of them loses most against the first.

The window is not chosen by eye, so nobody can choose a kind one. What is transparent in the photo, because a mask hides
it, is no loss.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leansplat.report.document import Gallery, Picture

_SIDE = 0.4
"""Side of the window in units of the photo's shorter side."""


@dataclass(frozen=True)
class Shot:
    """A picture to cut from.

    Args:
        name: the name of the file that the crop becomes, without a suffix; unique in the report.
        path: the image file; all images of one gallery have the same size.
        caption: what stands under the crop.
    """

    name: str
    path: Path
    caption: str


def cut_crops(photo: Shot, renders: Sequence[Shot]) -> Gallery | None:
    """The photo and renders of its camera, cut where the last render is further from the photo than the first.

    Returns:
        None where a file is missing, or there are not two renders to compare.
    """
    shots = [photo, *renders]
    if len(renders) < 2 or not all(shot.path.is_file() for shot in shots):
        return None
    images = [_read(shot.path) for shot in shots]
    truth, first, last = images[0], images[1], images[-1]
    side = max(1, round(_SIDE * min(truth.shape[:2])))
    loss = _squared_error(last, truth) - _squared_error(first, truth)
    row, column = largest_window(loss * _counts(photo.path), side)
    windows = [image[row : row + side, column : column + side] for image in images]
    return Gallery(
        [Picture(shot.name, shot.caption, _webp(window), side) for shot, window in zip(shots, windows, strict=True)]
    )


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
