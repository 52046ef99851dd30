"""`Listing`: what the files of a capture layout say, before any photo is decoded.

A layout module (colmap, nerfstudio, blender) only turns its own files into a `Listing`; decoding, undistortion,
resizing and the test split are the same for all of them and happen once, after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np

from leansplat.captures.capture import Points
from leansplat.captures.lens import Lens
from leansplat.captures.photo_search import Located, called, locate


@dataclass(frozen=True)
class Mask:
    """An image of a photo's shape that says which of the photo's pixels do not count: those that are `hides` in it."""

    path: Path
    hides: Literal["black", "white"] = "black"


@dataclass(frozen=True)
class Shot:
    """A photo on disk and the camera that a file gives it.

    Args:
        name: path of the photo relative to the photo folder, with forward slashes.
        photo: the file itself, or None where only a reduced copy of it is there.
        copy: the file in the folder of reduced copies for this downscale (`images_4` and the like), if it has one.
        lens: intrinsics, at the resolution of the capture's files, which need not be the photo's.
        world_to_camera: (4, 4) float64, rigid, OpenCV axes.
        masks: a pixel of the photo counts only where all of them let it.
    """

    name: str
    photo: Path | None
    copy: Path | None
    lens: Lens
    world_to_camera: np.ndarray
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A capture as its files list it.

    Args:
        source: the file that lists the photos, for messages.
        shots: those whose photo exists, in any order.
        missing: where the photo of each other should be, by its name.
        train, test: names that the capture's own lists give to each side; None where it has no list. Names outside
            a given list are on the other side, or on none when both are given.
        points: where training starts.
        warnings: one sentence each.
    """

    source: Path
    shots: tuple[Shot, ...]
    missing: Mapping[str, Path] = field(default_factory=dict)
    train: frozenset[str] | None = None
    test: frozenset[str] | None = None
    points: Points | None = None
    warnings: tuple[str, ...] = ()


def find_copies(source: Path, capture: Path, folder: Path, names: Sequence[str], downscale: int) -> Located:
    """The reduced copies of photos: those of `images/left` in `images/left_4`, or else in `images_4/left`.

    Args:
        source: the file that lists the photos, for messages.
        capture: the capture's folder; copies are not looked for beside it, where other captures are.
        folder: the folder that photos are named from, which may be gone.
        names: paths of photos from there.

    Raises:
        CaptureError: a name could mean several copies, or a copy several names.
    """
    tops = [folder, *folder.parents] if folder.is_relative_to(capture) else [folder]
    for top in takewhile(lambda top: downscale > 1 and top != capture, tops):
        copies = next(filter(Path.is_dir, called(top.parent, f"{top.name}_{downscale}")), None)
        if copies is not None:
            below = folder.relative_to(top).parts
            located = locate(source, ["/".join((*below, name)) for name in names], [copies])
            files = {name: located.files.get("/".join((*below, name))) for name in names}
            return Located(copies, {name: file for name, file in files.items() if file is not None}, located.renamed)
    return Located(folder, {})
