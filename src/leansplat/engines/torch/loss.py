"""The loss of 3DGS in plain PyTorch, for images that are not on the CPU: the same numbers as `metrics.loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.metrics.ssim import WINDOW

_C1 = 0.01**2
_C2 = 0.03**2


def photometric_loss(image: Tensor, photo: Tensor, ssim_weight: float, mask: Tensor | None = None) -> Tensor:
    """(1 - ssim_weight) * mean |image - photo| + ssim_weight * (1 - SSIM); differentiable in image.

    Args:
        image: (H, W, 3); photo: (H, W, 3) uint8, or float in [0, 1].
        mask: (H, W) bool, true where a pixel counts. The others add nothing to either mean, which is still over all
            pixels, and are zero in both images.
    """
    target = photo.to(image) / 255 if photo.dtype == torch.uint8 else photo.to(image)
    counted = torch.ones_like(image[..., 0]) if mask is None else mask.to(image)
    ours, theirs = (torch.where(counted[..., None] > 0, picture, 0.0) for picture in (image, target))
    difference = (ours - theirs).abs().mean(dim=2)
    similarity = _ssim(ours.permute(2, 0, 1)[:, None], theirs.permute(2, 0, 1)[:, None])[:, 0].mean(dim=0)
    loss = (1 - ssim_weight) * difference + ssim_weight * (1 - similarity)
    return (loss * counted).mean()


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    """SSIM at every pixel of planes (3, 1, H, W), with zeros outside of them (Wang et al. 2004, Eq. 13)."""
    line = torch.from_numpy(WINDOW).to(x)
    across, down, half = line[None, None, None], line[None, None, :, None], len(line) // 2

    def mean(values: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(
            torch.nn.functional.conv2d(values, across, padding=(0, half)), down, padding=(half, 0)
        )

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x.square(), mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x.square() + mean_y.square() + _C1) * (variance_x + variance_y + _C2)
    )
