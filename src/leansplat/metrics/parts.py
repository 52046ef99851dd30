"""The part of a picture that changed most.

A mean over all pixels hides what became of a small part, and people look at parts: a face, a leaf, an edge.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from leansplat.metrics.masking import kept_pixels

SIDE = 0.15
"""Of a square part, as a share of the longest side of the picture: 96 of 640 pixels, what one sees at a glance."""


@torch.no_grad()
def part_psnr(image: Tensor, photo: Tensor, mask: Tensor | None = None) -> float:
    """The lowest PSNR of a square part of a picture, wherever it lies.

    Args:
        image: (H, W, 3) float, a render; clamped to [0, 1] first.
        photo: (H, W, 3) float in [0, 1].
        mask: (H, W) bool, true where a pixel counts; others are taken to be without error. None where all count.

    Returns:
        Decibels; infinity when the two are equal.

    Raises:
        ValueError: the shapes differ or are empty, or the mask hides everything.
    """
    if image.shape != photo.shape or image.numel() == 0:
        raise ValueError(f"image {tuple(image.shape)} and photo {tuple(photo.shape)} must have one shape, not empty")
    height, width = image.shape[:2]
    errors = (image.double().clamp(0.0, 1.0) - photo.double()).square().mean(dim=2)
    if mask is not None:
        kept_pixels(mask, height, width)
        errors = errors * mask
    side = max(1, min(round(SIDE * max(height, width)), height, width))
    above = torch.zeros(height + 1, width + 1, dtype=torch.float64)
    above[1:, 1:] = errors.cumsum(dim=0).cumsum(dim=1)
    sums = above[side:, side:] - above[:-side, side:] - above[side:, :-side] + above[:-side, :-side]
    worst = float(sums.max()) / side**2
    # Sums of what is left of larger sums are not exactly 0 where they should be.
    return math.inf if worst < 1e-12 else -10.0 * math.log10(worst)
