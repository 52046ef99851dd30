"""Smaller versions of photos, for training that begins with the coarse: each pixel is the mean of those it replaces."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from leansplat.captures.capture import View
from leansplat.captures.masks import reduced as reduced_hidden
from leansplat.distributed.photos import present, reduced_elsewhere, remember_as


def reduced(view: View, factor: int) -> View:
    """The view at 1/factor of its width and height (rounded, at least a pixel), with the camera that belongs to it.

    A pixel counts if all of those it replaces do. A view that would be left without any is returned as it is.
    """
    camera = view.camera
    size = (max(1, round(camera.width / factor)), max(1, round(camera.height / factor)))
    if size == (camera.width, camera.height):
        return view
    mask = None
    if view.mask is not None:
        mask = torch.from_numpy(reduced_hidden((~view.mask).numpy().astype(np.uint8), size) == 0)
        if not bool(mask.any()):
            return view
    if view.photo.is_meta:
        return View(view.name, camera.resized(*size), reduced_elsewhere(view.photo, factor, size), mask)
    photo = torch.from_numpy(cv2.resize(view.photo.numpy(), size, interpolation=cv2.INTER_AREA))
    remember_as(view.photo, photo)
    return View(view.name, camera.resized(*size), photo, mask)


def lost_detail(view: View) -> tuple[float, int]:
    """What a photo loses when it is reduced to half its size and enlarged again, and how many of its pixels count.

    Returns:
        The absolute difference of levels of 8 bits, meant over channels and summed over pixels that no mask hides; and
        the number of these pixels.
    """
    shown = present(view.photo)
    photo = shown.numpy()
    small = reduced(replace(view, photo=shown, mask=None), 2).photo.numpy()
    enlarged = cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    difference = np.abs(enlarged.astype(np.int16) - photo).mean(axis=2)
    kept = np.ones(difference.shape, bool) if view.mask is None else view.mask.numpy()
    return float(difference[kept].sum()), int(kept.sum())
