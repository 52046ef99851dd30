"""Images as tables of bytes: lossless WebP, in which a pixel is a row and a channel a column.

An image's size is read from its first bytes and compared with what the scene needs, before a decoder takes memory.
Pillow is imported where there is an image, so that other formats do not wait for it.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from leansplat.errors import SceneFileError
from leansplat.formats.sog.files import Files

LARGEST_SIDE = 16383
"""The longest side that WebP can have."""

_MOST_PIXELS = 4
"""How many times the pixels that are needed an image may have, as one with sides of powers of two does ..."""

_ALWAYS_PIXELS = 1 << 16
"""... and what it may have on top."""

_BYTES_IN_PIXEL = 5
"""More than a lossless WebP takes for a pixel."""

_ROWS_IN_BYTE = 16
_ALWAYS_ROWS = 1 << 20

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def side_lengths(count: int) -> tuple[int, int]:
    """Width and height of a nearly square image for `count` pixels, multiples of four.

    Raises:
        ValueError: WebP has no image as large as that.
    """
    width = 4 * max(1, math.ceil(math.sqrt(count) / 4))
    height = 4 * max(1, math.ceil(count / width / 4))
    if width > LARGEST_SIDE:
        raise ValueError(f"{count:,} Gaussians do not fit into an image")
    return width, height


def to_webp(pixels: np.ndarray) -> bytes:
    """(H, W, 3 or 4) uint8 as a lossless WebP file; the same pixels give the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    # Method 2 makes images of numbers no larger than more effort does. `exact` keeps the colours where alpha is 0,
    # which are codes here and not invisible.
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, exact=True, method=2, quality=80)
    return buffer.getvalue()


def read_tables(files: Files, names: list[str], count: int, path: Path) -> list[np.ndarray]:
    """The images of a scene that have a pixel per Gaussian, each as (count, 4) uint8.

    Memory is taken for no more Gaussians than images of these sizes may hold: 2^20, or 16 a byte, more than a hundred
    times what real scenes have.

    Raises:
        SceneFileError: an image is missing, not a lossless WebP, damaged or of the wrong size.
    """
    most = _MOST_PIXELS * count + _ALWAYS_PIXELS
    contents = [files(name, _BYTES_IN_PIXEL * most) for name in names]
    size = sum(map(len, contents))
    if count > max(_ALWAYS_ROWS, _ROWS_IN_BYTE * size):
        raise SceneFileError(
            f"{path} claims {count:,} Gaussians, more than its images of {size:,} bytes can hold; export it again."
        )
    tables = []
    for name, content in zip(names, contents, strict=True):
        tables.append(_pixels(content, name, count, most, path).reshape(-1, 4)[:count])
    return tables


def read_image(files: Files, name: str, least: int, most: int, path: Path) -> np.ndarray:
    """The pixels of an image that must have `least` to `most` of them, (H, W, 4) uint8; raises as `read_tables`."""
    return _pixels(files(name, _BYTES_IN_PIXEL * most), name, least, most, path)


def _pixels(content: bytes, name: str, least: int, most: int, path: Path) -> np.ndarray:
    width, height = _size(content, name, path)
    if not least <= width * height <= most:
        raise SceneFileError(
            f"{path} has an image {name} of {width} x {height} pixels, where {least:,} to {most:,} are expected; "
            "export it again."
        )
    from PIL.WebPImagePlugin import WebPImageFile  # by itself, since `Image.open` would load the other formats, too

    try:
        with WebPImageFile(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGBA"))
    except _UNREADABLE as error:
        raise SceneFileError(f"{path} has an image {name} that is cut off or damaged; copy it again.") from error
    if pixels.shape != (height, width, 4):
        raise SceneFileError(f"{path} has an image {name} whose size is not that of its header; export it again.")
    return pixels


def _size(content: bytes, name: str, path: Path) -> tuple[int, int]:
    """Width and height of a lossless WebP, from the heads of its chunks (WebP container specification)."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise SceneFileError(f"{path} has an image {name} that is not WebP; export it with lossless WebP.")
    canvas, at = None, 12
    while at + 18 <= len(content):
        kind, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"ALPH", b"ANMF"):
            raise SceneFileError(f"{path} has an image {name} that is lossy or animated; export it with lossless WebP.")
        if kind == b"VP8X":
            canvas = tuple(int.from_bytes(content[at + k : at + k + 3], "little") + 1 for k in (12, 15))
        if kind == b"VP8L":
            bits = int.from_bytes(content[at + 9 : at + 13], "little")
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            if canvas in (None, size):
                return size
            break
        at += 8 + length + length % 2
    raise SceneFileError(f"{path} has an image {name} that is cut off or damaged; copy it again.")
