"""PSNR as 3DGS papers report it: one mean squared error over all pixels and channels of a view, in decibels.

The mean over views of a scene is the mean of these numbers, not the PSNR of the mean error.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from leansplat.metrics.masking import kept_pixels


@torch.no_grad()
def psnr(image: Tensor, photo: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio, 10 log10(1 / MSE).

    Args:
        image: (H, W, 3) float, a render; clamped to [0, 1] first, as a display and the 3DGS evaluation do.
        photo: (H, W, 3) float in [0, 1].
        mask: (H, W) bool, true where a pixel counts: the mean is over these. None where all count.

    Returns:
        Decibels; infinity when the two are equal.

    Raises:
        ValueError: the shapes differ or are empty, a tensor is not floating point, or the mask hides everything.
    """
    if image.shape != photo.shape or image.numel() == 0:
        raise ValueError(f"image {tuple(image.shape)} and photo {tuple(photo.shape)} must have one shape, not empty")
    if not image.is_floating_point() or not photo.is_floating_point():
        raise ValueError(f"image ({image.dtype}) and photo ({photo.dtype}) must be floating point in [0, 1]")
    if mask is not None:
        kept_pixels(mask, *image.shape[:2])
        image, photo = image[mask], photo[mask]
    difference = image.double().clamp(0.0, 1.0) - photo.double()
    error = float(difference.square().mean())
    return math.inf if error == 0.0 else -10.0 * math.log10(error)
