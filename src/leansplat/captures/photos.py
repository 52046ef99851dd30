"""From shots to views: decode photos and masks, compose alpha, undistort, downscale, and give each the camera that
fits it.

Everything that can be refused is refused from file headers alone (sizes, shapes, total memory) before the first photo
is decoded. Photos are used as stored: an EXIF orientation tag is followed only where the camera's shape demands it,
because poses are found on stored pixels and a silent turn would contradict them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.captures.lens import Lens, Undistortion
from leansplat.captures.listing import Shot
from leansplat.captures.masks import check_masks, hidden_in_photo, hidden_in_view, masks_said
from leansplat.captures.photo_choice import Choice, choose
from leansplat.captures.photo_header import FORMATS, UNREADABLE, has_alpha
from leansplat.errors import CaptureError
from leansplat.memory import available_memory

_WORKERS = 8
_MEMORY_FRACTION = 0.8


@dataclass(frozen=True)
class _Plan:
    """What will be done to one photo, known before it is decoded."""

    shot: Shot
    choice: Choice
    lens: Lens
    camera: Camera


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
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            upright = ImageOps.exif_transpose(image) if turned else image
            if upright.mode.startswith(("I", "F")):
                raise CaptureError(f"{path} has {upright.mode} pixels; convert it to 8-bit RGB.")
            if has_alpha(upright):
                return _composed(np.asarray(upright.convert("RGBA")), background)
            return np.array(upright.convert("RGB"))
    except UNREADABLE as error:
        raise CaptureError(f"{path} cannot be decoded ({error}); replace the photo or take it out.") from error


def load_views(
    shots: Sequence[Shot], *, downscale: int, background: tuple[float, float, float], max_memory: int | None
) -> tuple[list[View], list[str]]:
    """Decode shots into views, in their order, and say in sentences what was assumed.

    Photos of which masks hide every pixel make no view.

    Args:
        downscale: how many times smaller than its photo each view is.
        background: what photos with alpha are composed on.
        max_memory: bytes that the decoded photos may take; None for 80 % of the physical memory available.

    Raises:
        CaptureError: a photo or mask cannot be read, does not have its camera's shape, or the photos do not fit in
            memory.
    """
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        plans = list(pool.map(lambda shot: _plan(shot, downscale), shots))
        _check_memory(plans, downscale, max_memory)
        # Shared by the photos of a lens and gone when they are decoded. Two, because a map takes 8 bytes per pixel and
        # cameras of a rig follow one another by name.
        undistortion = lru_cache(maxsize=2)(Undistortion)

        def decode(plan: _Plan) -> View:
            source, masks = plan.choice.source, plan.shot.masks
            photo = read_photo(source.file, background=background, turned=source.turned)
            hidden = hidden_in_photo(masks, source.file, plan.lens, turned=source.turned) if masks else None
            try:
                straighten = undistortion(plan.lens) if plan.lens.distortion else None
                if straighten is not None:
                    photo = straighten(photo)
                size = (plan.camera.width, plan.camera.height)
                if photo.shape[1::-1] != size:
                    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
                if hidden is not None:
                    hidden = hidden_in_view(hidden, straighten, size)
            except ValueError as error:
                raise CaptureError(f"{source.file} has a camera with {error}; calibrate it again.") from error
            except cv2.error as error:
                raise CaptureError(f"{source.file} cannot be resampled ({error.err}); make it smaller.") from error
            mask = torch.from_numpy(hidden == 0) if hidden is not None and hidden.any() else None
            return View(plan.shot.name, plan.camera, torch.from_numpy(photo), mask)

        views = list(pool.map(decode, plans))
    return [view for view in views if view.mask is None or view.mask.any()], [*_said(plans), *_masks_said(plans, views)]


def _plan(shot: Shot, downscale: int) -> _Plan:
    choice = choose(shot, downscale)
    source = choice.source
    lens = shot.lens.resized(source.width, source.height)
    try:
        camera = lens.pinhole().camera(shot.world_to_camera)
    except ValueError as error:
        raise CaptureError(f"{source.file} has a camera with {error}; calibrate it again.") from error
    check_masks(shot.masks, source.file, lens, turned=source.turned)
    size = (max(1, round(side / choice.reduction)) for side in (camera.width, camera.height))
    return _Plan(shot, choice, lens, camera.resized(*size) if choice.reduction > 1 else camera)


def _said(plans: Sequence[_Plan]) -> list[str]:
    """What was assumed about photos, a sentence for each kind."""
    said = []
    if turned := sum(plan.choice.source.turned for plan in plans):
        said.append(
            f"{turned} photos were turned by their EXIF orientation because only so they have their camera's shape."
        )
    if faults := [plan.choice.fault for plan in plans if plan.choice.fault is not None]:
        said.append(
            f"{len(faults)} reduced copies of photos are not what they should be (first: {faults[0]}); these photos "
            "are reduced here instead."
        )
    alone = [plan.shot.name for plan in plans if plan.shot.copy is None]
    if 0 < len(alone) < len(plans):
        said.append(
            f"{len(alone)} of {len(plans)} photos have no reduced copy (first: {alone[0]}); they are reduced here."
        )
    if off := [plan for plan in plans if plan.lens.off_centre]:
        lens = off[0].lens
        said.append(
            f"{len(off)} cameras have their principal point far from the middle of the photo (first: "
            f"{off[0].shot.name} at {lens.cx:.0f}, {lens.cy:.0f} of {lens.width}x{lens.height}); unless the photos "
            "were cropped, the numbers are for photos of another size."
        )
    return said


def _masks_said(plans: Sequence[_Plan], views: Sequence[View]) -> list[str]:
    """What masks hide, and which photos they hide whole."""
    shares = [
        (0.0 if view.mask is None else float((~view.mask).double().mean())) if plan.shot.masks else None
        for plan, view in zip(plans, views, strict=True)
    ]
    said = masks_said([view.name for view in views], shares)
    if gone := [view.name for view, share in zip(views, shares, strict=True) if share == 1]:
        said.append(f"The masks of {len(gone)} photos hide all of them (first: {gone[0]}); these photos are left out.")
    return said


def _check_memory(plans: Sequence[_Plan], downscale: int, max_memory: int | None) -> None:
    needed = sum(plan.camera.width * plan.camera.height * (4 if plan.shot.masks else 3) for plan in plans)
    if max_memory is None:
        available = available_memory()
        if available is None:
            return
        max_memory = int(_MEMORY_FRACTION * available)
    if needed <= max_memory:
        return
    enough = math.ceil(downscale * math.sqrt(needed / max(max_memory, 1)))
    folder = plans[0].choice.source.file.parent
    raise CaptureError(
        f"{folder}: {len(plans)} photos need {needed / 1e6:.1f} MB of memory and {max_memory / 1e6:.1f} MB are "
        f"allowed; use --downscale {max(enough, downscale + 1)}."
    )


def _composed(rgba: np.ndarray, background: tuple[float, float, float]) -> np.ndarray:
    """Straight alpha over a colour, in stored sRGB values as 3DGS does it: (H, W, 4) uint8 -> (H, W, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    color = rgba[..., :3] * alpha + np.float32(255) * np.asarray(background, np.float32) * (1 - alpha)
    return np.rint(color).astype(np.uint8)
