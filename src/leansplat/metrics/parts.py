"""The part of a picture that changed most: in its colours, and in its structure.

A mean over all pixels hides what became of a small part, and people look at parts: a face, a leaf, an edge. Errors of
colours hardly tell what became of a fine structure, such as the grain of wood, which is faint and is seen all the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from leansplat.metrics.masking import kept_pixels
from leansplat.metrics.ssim import ssim

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
    side = _side(image, photo)
    height, width = image.shape[:2]
    errors = (image.double().clamp(0.0, 1.0) - photo.double()).square().mean(dim=2)
    if mask is not None:
        kept_pixels(mask, height, width)
        errors = errors * mask
    above = torch.zeros(height + 1, width + 1, dtype=torch.float64)
    above[1:, 1:] = errors.cumsum(dim=0).cumsum(dim=1)
    sums = above[side:, side:] - above[:-side, side:] - above[side:, :-side] + above[:-side, :-side]
    worst = float(sums.max()) / side**2
    # Sums of what is left of larger sums are not exactly 0 where they should be.
    return math.inf if worst < 1e-12 else -10.0 * math.log10(worst)


@torch.no_grad()
def part_ssim(image: Tensor, photo: Tensor, mask: Tensor | None = None) -> float:
    """The lowest SSIM of a square part of a picture, of parts that overlap by half or more.

    Args:
        image: (H, W, 3) float, a render; clamped to [0, 1] first.
        photo: (H, W, 3) float in [0, 1].
        mask: (H, W) bool, true where a pixel counts; others are taken to be equal. None where all count.

    Raises:
        ValueError: the shapes differ or are empty, or the mask does not fit or hides everything.
    """
    side = _side(image, photo)
    image, found = image.clamp(0.0, 1.0), []
    kept_pixels(mask, *image.shape[:2])
    for row in _starts(image.shape[0], side):
        for column in _starts(image.shape[1], side):
            part = slice(row, row + side), slice(column, column + side)
            kept = None if mask is None else mask[part]
            share = 1.0 if kept is None else float(kept.float().mean())
            if share > 0:
                found.append(1 - share * (1 - ssim(image[part], photo[part], kept)))
    return min(found)


def _side(image: Tensor, photo: Tensor) -> int:
    """Pixels that a part has on each side; as many as there are in a narrow picture."""
    if image.shape != photo.shape or image.numel() == 0:
        raise ValueError(f"image {tuple(image.shape)} and photo {tuple(photo.shape)} must have one shape, not empty")
    height, width = image.shape[:2]
    return max(1, min(round(SIDE * max(height, width)), height, width))


def _starts(length: int, side: int) -> list[int]:
    """Where parts begin along a side of the picture, evenly spread from its one end to the other."""
    steps = math.ceil(2 * (length - side) / side)
    return [round(step * (length - side) / max(steps, 1)) for step in range(steps + 1)]
