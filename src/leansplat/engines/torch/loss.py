"""The loss of 3DGS in plain PyTorch, for images that are not on the CPU: the same numbers as `metrics.loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.engines.torch.ssim import fused_similarity


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
    similarity = fused_similarity(ours, theirs).mean(dim=2)
    loss = (1 - ssim_weight) * difference + ssim_weight * (1 - similarity)
    return (loss * counted).mean()
