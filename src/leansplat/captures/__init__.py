"""Captures: photos with known cameras, loaded from whichever layout a folder has.

`load` picks the layout by what the folder holds, and what every layout shares happens here: missing photos, the test
split, decoding. A new layout is a module with a `find` and a `read` that makes a `Listing`, and a line in `_list`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from leansplat.cameras import Camera
from leansplat.captures import blender, colmap, nerfstudio
from leansplat.captures.capture import Capture, Points, View, describe_lone_cameras, every_eighth
from leansplat.captures.common_point import near_enough
from leansplat.captures.listing import Listing
from leansplat.captures.mask_search import with_masks
from leansplat.captures.photo_search import whereabouts
from leansplat.captures.photos import load_views
from leansplat.captures.synthetic import synthetic_capture
from leansplat.errors import CaptureError
from leansplat.gaussians import WORLD
from leansplat.origin import origin_of_capture

__all__ = ["Capture", "Points", "View", "cameras_of", "every_eighth", "is_capture", "load", "synthetic_capture"]

_BLACK = (0.0, 0.0, 0.0)


def load(
    path: str | os.PathLike[str],
    *,
    downscale: int = 1,
    background: tuple[float, float, float] | None = None,
    max_memory: int | None = None,
    points: bool = True,
    share: tuple[int, int] | None = None,
) -> Capture:
    """Load a capture: a folder made by COLMAP, nerfstudio, instant-ngp or for NeRF's Blender scenes.

    Layouts are tried in this order: a COLMAP model (`sparse/0`, `sparse` or the folder itself) with photos in
    `images`; `transforms_train.json`; `transforms.json`. Photos whose camera has distortion are undistorted and
    cropped to what they cover. Test views are those of the capture's own list, else every 8th by name. Masks are those
    that a transforms file names (`mask_path`) or that lie in a folder `masks`, named after their photos: what is black
    in them does not count.

    Args:
        path: a folder, or a transforms file of any name in one.
        downscale: make photos this many times smaller on each side (a whole number, at least 1): from the copies in
            the folder `images_{downscale}` that are what they say, else by area resampling.
        background: (r, g, b) in [0, 1] that photos with alpha are composed on; black unless given.
        max_memory: bytes that the photos may take; by default 80 % of the physical memory available.
        points: whether to read the sparse points, which only training needs.
        share: (r, n) to decode only every n-th training photo from the r-th on, and photos held out only where r is 0.
            The others are tensors of their shape on the device "meta", which hold nothing.

    Raises:
        CaptureError: the folder is no capture, one of its files is malformed, a photo or mask cannot be read, does not
            match its camera or could be several files, fewer than two views are left, or the photos do not fit in
            memory.
    """
    path = Path(path).absolute()
    if ".." in path.parts:  # which photos' paths are compared without
        path = path.resolve()
    background = _BLACK if background is None else background
    if isinstance(downscale, bool) or not isinstance(downscale, int) or downscale < 1:
        raise CaptureError(f"downscale is {downscale}; give a whole number of at least 1.")
    if len(background) != 3 or not all(math.isfinite(value) and 0 <= value <= 1 for value in background):
        raise CaptureError(f"background is {background}; give red, green and blue between 0 and 1.")
    folder = path if path.is_dir() else path.parent
    listing = with_masks(_list(path, downscale, points), folder, downscale)
    warnings = list(listing.warnings)
    if not listing.shots and not listing.missing:
        raise CaptureError(f"{listing.source} lists no photos; make the capture again.")
    if listing.missing:
        first = min(listing.missing)
        where = whereabouts(listing.missing[first])
        if not listing.shots:
            raise CaptureError(
                f"{listing.source} lists {len(listing.missing)} photos and none exists (first: {first}) {where}; put "
                "the photos where it says, or use the --downscale whose folder of photos is there."
            )
        warnings.append(
            f"{listing.source} lists {len(listing.missing)} photos that do not exist (first: {first}) {where}; "
            "they are skipped."
        )
    train, test = _split(listing, warnings)
    shots = sorted((shot for shot in listing.shots if shot.name in train | test), key=lambda shot: shot.name)
    wanted = None if share is None else {*sorted(train)[share[0] :: share[1]], *(test if share[0] == 0 else ())}
    views, assumed = load_views(shots, downscale=downscale, background=background, max_memory=max_memory, only=wanted)
    cameras = near_enough({view.name: view.camera for view in views})
    views = [replace(view, camera=cameras[view.name]) for view in views]
    left = {view.name for view in views}
    if len(left) < 2 or not left & train:
        raise CaptureError(
            f"{listing.source} leaves {len(left & train)} views for training and {len(left & test)} for testing, as "
            "masks hide every pixel of the others; black hides and white counts, so invert the masks if you meant the "
            "opposite."
        )
    trained_on = tuple(view for view in views if view.name in train)
    return Capture(
        name=(path if path.is_dir() else path.parent).resolve().name,
        train=trained_on,
        test=tuple(view for view in views if view.name in test),
        points=_as_exact_as_needed(listing.points, [view.camera for view in views if view.name in train]),
        background=background,
        warnings=(*warnings, *assumed, *describe_lone_cameras(trained_on)),
    )


def is_capture(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds what a capture begins with, in any of the layouts; its files may be damaged."""
    path = Path(folder)
    return any(layout.find(path) is not None for layout in (colmap, blender, nerfstudio))


def cameras_of(path: str | os.PathLike[str]) -> dict[str, Camera]:
    """The cameras of a capture by the names of their photos, in that order, without a look at the photos.

    They are those that `load` gives its views, at the size of the capture's own files.

    Args:
        path: as for `load`.

    Raises:
        CaptureError: the folder is no capture, one of its files is malformed, or it lists no photo that exists.
    """
    listing = _list(Path(path).absolute(), 1, False)
    if not listing.shots:
        raise CaptureError(f"{listing.source} lists no photo that exists; check where the photos are.")
    found = {}
    for shot in sorted(listing.shots, key=lambda shot: shot.name):
        try:
            found[shot.name] = shot.lens.pinhole().camera(shot.world_to_camera)
        except ValueError as error:
            raise CaptureError(
                f"{listing.source}: {shot.name} has a camera with {error}; calibrate it again."
            ) from error
    return near_enough(found)


def _list(path: Path, downscale: int, points: bool) -> Listing:
    """What the capture's files list, by the layout that its content shows."""
    if not path.exists():
        raise CaptureError(f"{path} does not exist; give the folder of a capture.")
    if path.is_file():
        if path.suffix != ".json":
            raise CaptureError(f"{path} is not a capture; give a capture's folder or its transforms.json.")
        if path.name == blender.FILE:
            return blender.read(path, downscale=downscale, points=points)
        return nerfstudio.read(path, downscale=downscale, points=points)
    if colmap.find(path):
        return colmap.read(path, downscale=downscale, points=points)
    if file := blender.find(path):
        return blender.read(file, downscale=downscale, points=points)
    if file := nerfstudio.find(path):
        return nerfstudio.read(file, downscale=downscale, points=points)
    raise CaptureError(
        f"{path} is not a capture; give a folder with sparse/0 and images (COLMAP), transforms.json (nerfstudio, "
        "instant-ngp) or transforms_train.json (Blender)."
    )


def _as_exact_as_needed(points: Points | None, cameras: Sequence[Camera]) -> Points | None:
    """Points as float32, unless the capture lies too far from zero for that."""
    if points is None or origin_of_capture(cameras, points.positions) != WORLD:
        return points
    return replace(points, positions=points.positions.float())


def _split(listing: Listing, warnings: list[str]) -> tuple[set[str], set[str]]:
    """Names of the training and of the test views among the photos that exist."""
    names = {shot.name for shot in listing.shots}
    unknown = ((listing.train or frozenset()) | (listing.test or frozenset())) - names - set(listing.missing)
    if unknown:
        warnings.append(
            f"{listing.source.parent} has lists of training or test photos with {len(unknown)} names that it has no "
            f"camera for (first: {min(unknown)}); they are skipped."
        )
    if listing.train is None and listing.test is None:
        test = every_eighth(sorted(names))
        train = names - test
    else:
        train = names - (listing.test or frozenset()) if listing.train is None else names & listing.train
        test = names - train if listing.test is None else names & listing.test
        if listing.test is not None and not test:
            raise CaptureError(
                f"{listing.source.parent} has a list of test photos but none of them is there; correct the list or "
                "delete it."
            )
    if train & test:
        raise CaptureError(f"{listing.source} lists {min(train & test)} for training and for testing; choose one.")
    unused = names - train - test
    if unused:
        warnings.append(
            f"{listing.source} lists {len(unused)} photos for neither training nor testing (first: {min(unused)})."
        )
    if len(train) + len(test) < 2 or not train:
        raise CaptureError(
            f"{listing.source} leaves {len(train)} views for training and {len(test)} for testing; at least one for "
            "training and two in all are needed."
        )
    return train, test
