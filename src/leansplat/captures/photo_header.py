"""What the first bytes of a photo's file say, without decoding it: its size, its orientation, its transparency."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from leansplat.errors import CaptureError

# Named, because Pillow would otherwise also try formats that run other programs (EPS).
FORMATS = [
    str(file.format) for file in (JpegImageFile, PngImageFile, WebPImageFile, TiffImageFile, BmpImageFile, PpmImageFile)
]
"""Pillow's names of the formats that photos may have."""
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for files that are none of these, or damaged."""

ORIENTATION = 0x0112  # the EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values that swap width and height


class Header(NamedTuple):
    """Size in pixels as stored, whether the EXIF orientation swaps width and height, and whether there is alpha."""

    width: int
    height: int
    sideways: bool
    alpha: bool


def read_photo_header(path: Path) -> Header:
    """The header of a photo.

    Raises:
        CaptureError: the file is not a photo that can be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            sideways = image.getexif().get(ORIENTATION) in _SIDEWAYS
            return Header(image.width, image.height, sideways, has_alpha(image))
    except UNREADABLE as error:
        raise CaptureError(f"{path} cannot be read as a photo ({error}); replace it or take it out.") from error


def has_alpha(image: Image.Image) -> bool:
    """Whether some pixels of an image may be transparent."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
