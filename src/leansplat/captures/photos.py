"""From shots to views: decode photos, compose alpha, undistort, downscale, and give each the camera that fits it.

Everything that can be refused is refused from file headers alone (sizes, shapes, total memory) before the first photo
is decoded. Photos are used as stored: an EXIF orientation tag is followed only where the camera's shape demands it,
because poses are found on stored pixels and a silent turn would contradict them.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.captures.lens import Lens, Undistortion
from leansplat.captures.listing import Shot
from leansplat.captures.memory import available_memory
from leansplat.errors import CaptureError

# Named, because Pillow would otherwise also try formats that run other programs (EPS).
_FORMATS = [
    str(file.format) for file in (JpegImageFile, PngImageFile, WebPImageFile, TiffImageFile, BmpImageFile, PpmImageFile)
]
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_ORIENTATION = 0x0112  # the EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values that swap width and height
_WORKERS = 8
_MEMORY_FRACTION = 0.8


@dataclass(frozen=True)
class _Plan:
    """What will be done to one photo, known before it is decoded."""

    shot: Shot
    turned: bool
    lens: Lens
    camera: Camera


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo as stored, from its header.

    Raises:
        CaptureError: the file is not a photo that can be read.
    """
    return _header(path)[0]


def read_photo(
    path: Path, *, background: tuple[float, float, float] = (0.0, 0.0, 0.0), turned: bool = False
) -> np.ndarray:
    """Decode a photo to (H, W, 3) uint8 sRGB as stored, composed on `background` (r, g, b in [0, 1]) if it has alpha.

    Args:
        turned: follow the photo's EXIF orientation tag.

    Raises:
        CaptureError: the file cannot be decoded, or has one 16- or 32-bit channel.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            upright = ImageOps.exif_transpose(image) if turned else image
            if upright.mode.startswith(("I", "F")):
                raise CaptureError(f"{path} has {upright.mode} pixels; convert it to 8-bit RGB.")
            if "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info:
                return _composed(np.asarray(upright.convert("RGBA")), background)
            return np.array(upright.convert("RGB"))
    except _UNREADABLE as error:
        raise CaptureError(f"{path} cannot be decoded ({error}); replace the photo or take it out.") from error


def load_views(
    shots: Sequence[Shot], *, downscale: int, background: tuple[float, float, float], max_memory: int | None
) -> tuple[list[View], list[str]]:
    """Decode shots into views, in their order, and say in sentences what was assumed.

    Args:
        downscale: divide the size of photos by this; shots that are already downscaled copies keep theirs.
        background: what photos with alpha are composed on.
        max_memory: bytes that the decoded photos may take; None for 80 % of the physical memory available.

    Raises:
        CaptureError: a photo cannot be read, does not have its camera's shape, or the photos do not fit in memory.
    """
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        headers = list(pool.map(_header, (shot.photo for shot in shots)))
        plans = [_plan(shot, header, downscale) for shot, header in zip(shots, headers, strict=True)]
        _check_memory(plans, downscale, max_memory)
        # Shared by the photos of a lens and gone when they are decoded. Two, because a map takes 8 bytes a pixel and
        # cameras of a rig follow one another by name.
        undistortion = lru_cache(maxsize=2)(Undistortion)

        def decode(plan: _Plan) -> View:
            photo = read_photo(plan.shot.photo, background=background, turned=plan.turned)
            try:
                if plan.lens.distortion:
                    photo = undistortion(plan.lens)(photo)
                size = (plan.camera.width, plan.camera.height)
                if photo.shape[1::-1] != size:
                    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
            except ValueError as error:
                raise CaptureError(f"{plan.shot.photo} has a camera with {error}; calibrate it again.") from error
            except cv2.error as error:
                raise CaptureError(f"{plan.shot.photo} cannot be resampled ({error.err}); make it smaller.") from error
            return View(plan.shot.name, plan.camera, torch.from_numpy(photo))

        views = list(pool.map(decode, plans))
    turned = sum(plan.turned for plan in plans)
    warnings = [
        f"{turned} photos were turned by their EXIF orientation because only so they have their camera's shape."
    ]
    return views, warnings if turned else []


def _header(path: Path) -> tuple[tuple[int, int], bool]:
    """Size as stored, and whether the EXIF orientation swaps width and height."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return image.size, image.getexif().get(_ORIENTATION) in _SIDEWAYS
    except _UNREADABLE as error:
        raise CaptureError(f"{path} cannot be read as a photo ({error}); replace it or take it out.") from error


def _plan(shot: Shot, header: tuple[tuple[int, int], bool], downscale: int) -> _Plan:
    (width, height), sideways = header
    turned = sideways and not shot.lens.fits(width, height) and shot.lens.fits(height, width)
    if turned:
        width, height = height, width
    if not shot.lens.fits(width, height):
        raise CaptureError(
            f"{shot.photo} is {width}x{height} but its camera is {shot.lens.width}x{shot.lens.height}, another shape; "
            "use the photos that the cameras were computed from."
        )
    lens = shot.lens.resized(width, height)
    try:
        camera = lens.pinhole().camera(shot.world_to_camera)
    except ValueError as error:
        raise CaptureError(f"{shot.photo} has a camera with {error}; calibrate it again.") from error
    if not shot.reduced:
        camera = camera.resized(max(1, round(camera.width / downscale)), max(1, round(camera.height / downscale)))
    return _Plan(shot, turned, lens, camera)


def _check_memory(plans: Sequence[_Plan], downscale: int, max_memory: int | None) -> None:
    needed = sum(plan.camera.width * plan.camera.height * 3 for plan in plans)
    if max_memory is None:
        available = available_memory()
        if available is None:
            return
        max_memory = int(_MEMORY_FRACTION * available)
    if needed <= max_memory:
        return
    enough = math.ceil(downscale * math.sqrt(needed / max(max_memory, 1)))
    folder = plans[0].shot.photo.parent
    raise CaptureError(
        f"{folder}: {len(plans)} photos need {needed / 1e6:.1f} MB of memory and {max_memory / 1e6:.1f} MB are "
        f"allowed; use --downscale {max(enough, downscale + 1)}."
    )


def _composed(rgba: np.ndarray, background: tuple[float, float, float]) -> np.ndarray:
    """Straight alpha over a colour, in stored sRGB values as 3DGS does it: (H, W, 4) uint8 -> (H, W, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    color = rgba[..., :3] * alpha + np.float32(255) * np.asarray(background, np.float32) * (1 - alpha)
    return np.rint(color).astype(np.uint8)
