"""`Listing`: what the files of a capture layout say, before any photo is decoded.

A layout module (colmap, nerfstudio, blender) only turns its own files into a `Listing`; decoding, undistortion,
resizing and the test split are the same for all of them and happen once, after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leansplat.captures.capture import Points
from leansplat.captures.lens import Lens


@dataclass(frozen=True)
class Shot:
    """A photo on disk and the camera that a file gives it.

    Args:
        name: path of the photo relative to the photo folder, with forward slashes.
        photo: the file to decode.
        reduced: whether that file is already a downscaled copy (from `images_4` and the like).
        lens: intrinsics, at the resolution of the capture's files, which need not be the photo's.
        world_to_camera: (4, 4) float64, rigid, OpenCV axes.
    """

    name: str
    photo: Path
    reduced: bool
    lens: Lens
    world_to_camera: np.ndarray


@dataclass(frozen=True)
class Listing:
    """A capture as its files list it.

    Args:
        source: the file that lists the photos, for messages.
        shots: those whose photo exists, in any order.
        missing: names of those whose photo does not exist.
        train, test: names that the capture's own lists give to each side; None where it has no list. Names outside
            a given list are on the other side, or on none when both are given.
        points: where training starts.
        warnings: one sentence each.
    """

    source: Path
    shots: tuple[Shot, ...]
    missing: tuple[str, ...] = ()
    train: frozenset[str] | None = None
    test: frozenset[str] | None = None
    points: Points | None = None
    warnings: tuple[str, ...] = ()


def find_photo(folder: Path, name: str, downscale: int) -> tuple[Path, bool] | None:
    """The file to decode for photo `name` of `folder`, and whether it is an already downscaled copy.

    A copy in the sibling folder that ends in `_{downscale}` (`images_4` beside `images`) goes first, then the photo
    itself; None when neither exists.
    """
    if downscale > 1:
        reduced = folder.parent / f"{folder.name}_{downscale}" / name
        if reduced.is_file():
            return reduced, True
    photo = folder / name
    return (photo, False) if photo.is_file() else None
