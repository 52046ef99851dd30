"""The lens that a frame of a transforms file has, and the size of photo that its numbers are for.

Numbers in pixels belong to a photo of one size, which `w` and `h` say. Where a file leaves them out, they are for the
photo that the frame names, as in instant-ngp, unless they show something else: twice the principal point is about the
size of the photo, and an angle of view beside a focal length gives the width exactly. What was assumed so is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leansplat.captures.lens import Lens
from leansplat.captures.photo_header import read_photo_header
from leansplat.errors import CaptureError

_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_UNSUPPORTED_DISTORTION = ("k4", "k5", "k6")
_IN_PIXELS = ("fl_x", "fl_y", "cx", "cy")

_SCALES = (1, 2, 3, 4, 6, 8, 16, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 16)
"""How many times larger than the photo that is there the one may be that numbers are for."""
_OWN_MIDDLE = 1.25
"""The factor that twice a principal point may be from the size of the photo that it is taken to be of."""
_OTHER_MIDDLE = 1.1
"""The same for a photo of another scale than expected, which needs a clearer sign."""
_WIDTH = 1.02
"""The same for the width by an angle of view; reduced photos are rounded to whole pixels."""


class FrameLens(NamedTuple):
    """A lens, and what size its numbers were assumed to be for where the file does not say: the end of a sentence."""

    lens: Lens
    assumed: str | None


def read_lens(
    source: Path, name: str, values: Mapping[str, Any], photo: Path | None, copy: Path | None, downscale: int
) -> FrameLens:
    """The lens of a frame: focal lengths in pixels, else from the angle of view; centred unless cx, cy say else.

    Args:
        source, name: the file and what the photo is called, for messages.
        values: what the file says of the frame.
        photo, copy: the photo that the frame names, and a copy of it that is `downscale` times smaller; one may be
            None.

    Raises:
        CaptureError: intrinsics are missing, malformed, of a camera model that is not supported, or for photos of no
            size that can be known.
    """
    numbers = _Numbers(source, name, values)
    model = values.get("camera_model", "OPENCV")
    if model not in _MODELS or values.get("is_fisheye") or any(map(numbers.get, _UNSUPPORTED_DISTORTION)):
        raise CaptureError(
            f"{source}: {name} has a camera model that is not one of {', '.join(_MODELS)} with k1, k2, p1, p2, k3; "
            "undistort the photos first."
        )
    width, height = numbers.get("w"), numbers.get("h")
    times, assumed = 1, None
    if width is None or height is None:
        there, times = _photo_there(photo, copy, downscale)
        named = (there[0] * times, there[1] * times)
        if width is not None:
            height = width * named[1] / named[0]  # the photo has the shape, whatever its size
        elif height is not None:
            width = height * named[0] / named[1]
        elif any(numbers.get(key) is not None for key in _IN_PIXELS):
            scale = _scale(numbers, there, times)
            assumed = _assumption(scale, times, (photo or copy or source).parent)
            width, height = _size_at(numbers, there, scale or times)
        else:
            width, height = named
    fx, fy = numbers.get("fl_x"), numbers.get("fl_y")
    if fx is None and fy is None:
        fx, fy = _focal(numbers.get("camera_angle_x"), width), _focal(numbers.get("camera_angle_y"), height)
    fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
    if fx is None or fy is None:
        raise CaptureError(f"{source}: {name} has neither fl_x nor a usable camera_angle_x; write the file again.")
    cx, cy = numbers.get("cx"), numbers.get("cy")
    cx, cy = (width / 2 if cx is None else cx), (height / 2 if cy is None else cy)
    distortion = tuple(numbers.get(key) or 0.0 for key in _DISTORTION)
    try:
        lens = Lens(fx, fy, cx, cy, round(width), round(height), distortion)
    except OverflowError as error:
        raise CaptureError(f"{source}: {name} has a size without bounds; write the file again.") from error
    except ValueError as error:
        raise CaptureError(f"{source}: {name} has {error}; write the file again.") from error
    if times > 1:  # the photo itself is not there, and the lens has to say how large it is
        lens = lens.resized(*named)
    return FrameLens(lens, assumed)


class _Numbers:
    """What a file says of a frame, as numbers."""

    def __init__(self, source: Path, name: str, values: Mapping[str, Any]) -> None:
        self.source = source
        self.name = name
        self._values = values

    def get(self, key: str) -> float | None:
        value = self._values.get(key)
        if value is None:
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError
            return float(value)
        except (ValueError, OverflowError) as error:
            raise CaptureError(
                f"{self.source}: {key} of {self.name} is not a finite number; write the file again."
            ) from error


def _photo_there(photo: Path | None, copy: Path | None, downscale: int) -> tuple[tuple[int, int], int]:
    """Size of the photo, or of its copy where only that can be read, and how many times smaller that is."""
    if photo is not None:
        try:
            return read_photo_header(photo)[:2], 1
        except CaptureError:
            if copy is None:
                raise
    assert copy is not None
    return read_photo_header(copy)[:2], downscale


def _scale(numbers: _Numbers, there: tuple[int, int], times: int) -> float | None:
    """How many times larger than the photo there the one is that a frame's numbers are for; None if nothing shows it.

    Args:
        there, times: as `_photo_there` gives them; `times` is what is expected.

    Raises:
        CaptureError: the principal point goes with neither the photo that the frame names nor another likely one.
    """
    across = (numbers.get("fl_x"), numbers.get("camera_angle_x"), numbers.get("cx"), there[0])
    down = (numbers.get("fl_y"), numbers.get("camera_angle_y"), numbers.get("cy"), there[1])
    widths, middles = [], []
    for focal, angle, middle, size in (across, down):
        if focal is not None and angle is not None and 0 < angle < math.pi:
            widths.append(2 * focal * math.tan(angle / 2) / size)
        if middle is not None:
            middles.append(2 * middle / size)
    scales = (times, *_SCALES, 1 / times)
    scale = (
        _common(widths, scales, _WIDTH)
        or _common(middles, (times,), _OWN_MIDDLE)
        or _common(middles, scales, _OTHER_MIDDLE)
    )
    if scale is None and middles and times > 1:
        raise CaptureError(
            f"{numbers.source} has no w and h for {numbers.name}, and its principal point fits no size that the "
            "photo may have had; add w and h."
        )
    return scale


def _common(ratios: Sequence[float], scales: Sequence[float], factor: float) -> float | None:
    """The nearest of the scales, if all ratios (at least one, all above 0) are within a factor of it."""
    if not ratios or min(ratios) <= 0:
        return None
    nearest = min(scales, key=lambda scale: abs(math.log(ratios[0] / scale)))
    return nearest if all(1 / factor <= ratio / nearest <= factor for ratio in ratios) else None


def _size_at(numbers: _Numbers, there: tuple[int, int], scale: float) -> tuple[float, float]:
    """The size of a photo `scale` times larger than the one there: to the pixel where the principal point is in the
    very middle, which knows more than the size of a reduced photo does."""
    size = (there[0] * scale, there[1] * scale)
    exact = tuple(2 * middle for key in ("cx", "cy") if (middle := numbers.get(key)) is not None)
    if len(exact) == 2 and all(
        side % 1 == 0 and abs(side - rough) < scale for side, rough in zip(exact, size, strict=True)
    ):
        return exact
    return size


def _assumption(scale: float | None, times: int, folder: Path) -> str | None:
    """What to say of a size that the file does not say; None where the numbers show that it is that of the photo."""
    if times == scale == 1:
        return None
    scale = scale or times
    if scale < 1:
        return f"{1 / scale:g} times smaller than those in {folder}"
    return f"of the size of those in {folder}" if scale == 1 else f"{scale:g} times the size of those in {folder}"


def _focal(angle: float | None, size: float) -> float | None:
    """Focal length in pixels of an angle of view in radians."""
    if angle is None or not 0 < angle < math.pi:
        return None
    return 0.5 * size / math.tan(0.5 * angle)
