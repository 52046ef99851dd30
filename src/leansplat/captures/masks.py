"""Reading masks: which pixels of a photo are hidden, and of the view that is made of it.

Black hides and every other colour counts, as for COLMAP and nerfstudio, whatever kind of image it is; what is
transparent hides too. A pixel of a view counts only if all pixels of the photo that it is made of count, so that
nothing of what is hidden is in what counts, however the photo is undistorted and reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from leansplat.captures.lens import Lens, Undistortion
from leansplat.captures.listing import Mask
from leansplat.captures.photo_header import FORMATS, ORIENTATION, UNREADABLE, read_photo_header
from leansplat.errors import CaptureError

_LOSSY = ("JPEG", "WEBP")  # of which black is only nearly black
_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each EXIF orientation that swaps width and height asks for."""
INVERTED = 0.95
"""Masks that hide more than this share of the photos, on average, are probably meant the other way round."""


def check_masks(masks: Sequence[Mask], photo: Path, lens: Lens, *, turned: bool) -> None:
    """See from their headers that masks are of their photo's shape.

    Args:
        lens: of the photo, at its size as the camera sees it.
        turned: whether the photo is turned by its EXIF orientation; masks may be stored like it then.

    Raises:
        CaptureError: a mask cannot be read, or has another shape.
    """
    for mask in masks:
        width, height, *_ = read_photo_header(mask.path)
        if not lens.fits(width, height) and not (turned and lens.fits(height, width)):
            raise CaptureError(
                f"{mask.path} is {width}x{height} but its photo {photo} is {lens.width}x{lens.height}, another shape; "
                "make the mask from that photo, or take it out."
            )


def hidden_in_photo(masks: Sequence[Mask], photo: Path, lens: Lens, *, turned: bool) -> np.ndarray:
    """(H, W) uint8, 1 where one of the masks hides a pixel of the photo and 0 elsewhere.

    Masks of another size are brought to the photo's: a pixel is hidden where anything in it is.

    Args:
        photo, lens, turned: as `check_masks` takes them.

    Raises:
        CaptureError: a mask cannot be read.
    """
    hidden = np.zeros((lens.height, lens.width), np.uint8)
    for mask in masks:
        hides = read_hidden(mask)
        if turned and not lens.fits(*hides.shape[::-1]):
            hides = np.asarray(Image.fromarray(hides).transpose(_TURNS[_orientation(photo)]))
        hidden |= reduced(hides, (lens.width, lens.height))
    return hidden


def hidden_in_view(hidden: np.ndarray, undistortion: Undistortion | None, size: tuple[int, int]) -> np.ndarray:
    """(H', W') uint8, 1 where a pixel of a view is partly made of hidden pixels (H, W) of its photo.

    Args:
        undistortion: that of the photo, if there is one.
        size: width and height of the view.
    """
    return reduced(hidden if undistortion is None else undistortion.touched(hidden), size)


def read_hidden(mask: Mask) -> np.ndarray:
    """(H, W) uint8, 1 where a mask hides and 0 where it does not.

    Raises:
        CaptureError: the file cannot be decoded.
    """
    try:
        with Image.open(mask.path, formats=FORMATS) as image:
            image.load()
            if image.mode.startswith(("I", "F")):  # one channel of 16 or 32 bits
                bright = np.asarray(image) != 0
            else:
                rgba = np.asarray(image.convert("RGBA"))
                darkest = 128 if image.format in _LOSSY else 1
                bright = (rgba[..., :3].max(axis=2) >= darkest) & (rgba[..., 3] > 0)
    except UNREADABLE as error:
        raise CaptureError(f"{mask.path} cannot be decoded ({error}); replace the mask or take it out.") from error
    return (bright if mask.hides == "white" else ~bright).astype(np.uint8)


def reduced(hidden: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resampled to `size` as photos are: 1 wherever any hidden pixel has a part in the result."""
    if hidden.shape[::-1] == size:
        return hidden
    shares = cv2.resize(hidden.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return (shares > 0).astype(np.uint8)


def masks_said(names: Sequence[str], shares: Sequence[float | None]) -> list[str]:
    """How many photos have masks and how much these hide, in sentences; nothing where none has.

    Args:
        names: of all photos.
        shares: of each photo's pixels that its masks hide; None for photos without a mask.
    """
    hidden = [share for share in shares if share is not None]
    if not hidden:
        return []
    mean = sum(hidden) / len(hidden)
    bare = [name for name, share in zip(names, shares, strict=True) if share is None]
    rest = f", and {len(bare)} have none and count whole (first: {bare[0]})" if bare else ""
    said = [f"{len(hidden)} of {len(names)} photos have masks, which hide {100 * mean:.1f} % of them on average{rest}."]
    if mean > INVERTED:
        said.append(
            f"The masks hide {100 * mean:.1f} % of the photos; black hides and white counts, so they may have to be "
            "inverted."
        )
    return said


def _orientation(photo: Path) -> int:
    with Image.open(photo, formats=FORMATS) as image:
        return int(image.getexif()[ORIENTATION])
