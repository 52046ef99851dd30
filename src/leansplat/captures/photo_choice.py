"""Which file is decoded for a photo at a smaller size: the photo, or the reduced copy that some tool made of it.

A copy is taken only where it is what its folder says: its photo's size divided, give or take the rounding to whole
pixels, and with the photo's transparency. Otherwise the photo is reduced here, and why is said. Headers tell all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leansplat.captures.lens import Lens
from leansplat.captures.listing import Shot
from leansplat.captures.photo_header import read_photo_header
from leansplat.errors import CaptureError


@dataclass(frozen=True)
class Source:
    """A photo's file, its size as its camera sees it, and whether it has transparency.

    `turned` says to follow the EXIF orientation, because only so it has the shape of its camera.
    """

    file: Path
    turned: bool
    width: int
    height: int
    alpha: bool


@dataclass(frozen=True)
class Choice:
    """What to decode, how many times smaller it has to be made then, and what was wrong with the reduced copy."""

    source: Source
    reduction: float
    fault: str | None = None


def choose(shot: Shot, downscale: int) -> Choice:
    """What to decode for a shot whose view is to be `downscale` times smaller than its photo.

    Raises:
        CaptureError: what there is cannot be read, has not the shape of the shot's camera, or is too small.
    """
    lens = shot.lens
    photo = _source(shot.photo, lens, needed=shot.copy is None)
    copy = _source(shot.copy, lens, needed=photo is None)
    source = photo or copy
    assert source is not None
    whole = (lens.width, lens.height)
    if photo is not None and lens.fits(photo.width, photo.height):
        whole = (photo.width, photo.height)
    fault = None if shot.copy is None else f"{shot.copy} cannot be read"
    if copy is not None:
        fault = _fault(copy, photo, whole, downscale)
        if fault is None:
            return Choice(copy, 1)
    if not lens.fits(source.width, source.height):
        raise CaptureError(
            f"{source.file} is {source.width}x{source.height} but its camera is {lens.width}x{lens.height}, another "
            "shape; use the photos that the cameras were computed from."
        )
    reduction = downscale if source is photo else downscale * source.width / whole[0]
    if reduction < 1:
        raise CaptureError(f"{fault}, and its photo is not there; make the reduced copies again.")
    return Choice(source, reduction, fault)


def _source(path: Path | None, lens: Lens, *, needed: bool) -> Source | None:
    """A file as it would be decoded; None where there is none, or where it cannot be read and is not needed."""
    if path is None:
        return None
    try:
        width, height, sideways, alpha = read_photo_header(path)
    except CaptureError:
        if needed:
            raise
        return None
    turned = sideways and not lens.fits(width, height) and lens.fits(height, width)
    return Source(path, turned, *((height, width) if turned else (width, height)), alpha)


def _fault(copy: Source, photo: Source | None, whole: tuple[int, int], downscale: int) -> str | None:
    """Why a copy is not a photo of size `whole` reduced, if so."""
    exact = (whole[0] / downscale, whole[1] / downscale)
    if abs(copy.width - exact[0]) >= 1 or abs(copy.height - exact[1]) >= 1:
        return (
            f"{copy.file} is {copy.width}x{copy.height}, where 1/{downscale} of {whole[0]}x{whole[1]} is "
            f"{max(1, round(exact[0]))}x{max(1, round(exact[1]))}"
        )
    if photo is not None and photo.alpha and not copy.alpha:
        return f"{copy.file} has not the transparency of {photo.file}"
    return None
