"""SSIM in plain PyTorch, for images that are not on the CPU: the same numbers as `metrics.ssim`.

The window is separable: eleven columns are weighted, then eleven rows, of all five moments at once. They are written as
sums of shifted images and not as `conv2d`, for two reasons. On a card PyTorch rounds in convolutions to ten bits (TF32)
unless it is told otherwise, which would leave nothing of the difference between a mean square and a squared mean. And
its compiler makes few kernels of sums, together with what comes before and after, but leaves convolutions to a library.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.engines.torch.fused import Fused
from leansplat.metrics.ssim import WINDOW
from leansplat.metrics.ssim_kernel import C1, C2, RADIUS

_WEIGHTS = [float(weight) for weight in WINDOW]


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """(H, W, 3) SSIM at every pixel of images (H, W, 3), with zeros outside of them (Wang et al. 2004, Eq. 13)."""
    mean_x, mean_y, square_x, square_y, product = _weighted(torch.stack([x, y, x * x, y * y, x * y])).unbind()
    variance_x, variance_y = square_x - mean_x.square(), square_y - mean_y.square()
    covariance = product - mean_x * mean_y
    return ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x.square() + mean_y.square() + C1) * (variance_x + variance_y + C2)
    )


def _weighted(images: Tensor) -> Tensor:
    """Images (..., H, W, 3) under the window."""
    height, width = images.shape[-3:-1]
    padded = torch.nn.functional.pad(images, (0, 0, RADIUS, RADIUS, RADIUS, RADIUS))
    across = torch.zeros_like(padded[..., :width, :])
    for column, weight in enumerate(_WEIGHTS):
        across = across + weight * padded[..., column : column + width, :]
    found = torch.zeros_like(images)
    for row, weight in enumerate(_WEIGHTS):
        found = found + weight * across[..., row : row + height, :, :]
    return found


fused_similarity = Fused(structural_similarity, (24, 40, 3))
"""`structural_similarity`, compiled where the images are on a card."""
