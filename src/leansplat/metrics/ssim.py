"""SSIM as 3DGS papers compute it; that of other packages (other padding) differs by some 0.02: not interchangeable."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leansplat.metrics.masking import kept_pixels
from leansplat.metrics.ssim_kernel import photo_to_planes, ssim_and_l1, window
from leansplat.simd import memory

WINDOW: NDArray[np.float32] = window()


def as_planes(image: Tensor) -> NDArray[np.float32]:
    """(H, W, 3) float, or uint8 in [0, 255], to flat planar float32 (3 * H * W,); no copy where it is planar already.

    Raises:
        ValueError: the shape is not (H, W, 3).
    """
    if image.dim() != 3 or image.shape[2] != 3:
        raise ValueError(f"image has shape {tuple(image.shape)} where (H, W, 3) is expected")
    if image.dtype == torch.uint8:
        planes = memory.empty((3, image.shape[0], image.shape[1]), np.float32)
        photo_to_planes(image.contiguous().numpy(), planes)
        return planes.reshape(-1)
    return image.detach().to(torch.float32).permute(2, 0, 1).contiguous().numpy().reshape(-1)


def ssim(image: Tensor, photo: Tensor, mask: Tensor | None = None) -> float:
    """Structural similarity of two images (H, W, 3), float in [0, 1] or uint8; 1 for equal ones.

    Args:
        mask: (H, W) bool, true where a pixel counts; hidden ones are zero in both images, as is what lies outside
            them, and the mean is over the others. None where all count.

    Raises:
        ValueError: the shapes differ or are not (H, W, 3), or the mask does not fit or hides everything.
    """
    if image.shape != photo.shape:
        raise ValueError(f"images of shapes {tuple(image.shape)} and {tuple(photo.shape)} cannot be compared")
    height, width = image.shape[:2]
    kept = kept_pixels(mask, height, width)
    ours, theirs = (kept.without_hidden(as_planes(picture)) for picture in (image, photo))
    no_slopes = np.empty(0, np.float32)
    value, _ = ssim_and_l1(ours, theirs, width, height, WINDOW, no_slopes, False, kept.plane, kept.counted)
    return float(value)
