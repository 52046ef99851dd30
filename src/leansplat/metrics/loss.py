"""The loss of 3DGS: (1 - w) L1 + w (1 - SSIM), with one kernel call each way instead of a graph of convolutions.

Pixels that a mask hides add nothing, and the windows of SSIM see zeros there in both images, as they do outside the
photo: what is under the mask changes neither the loss nor any gradient by a bit. Both means are still over all pixels,
so that a pixel that counts weighs what it weighs without a mask, in every photo. Densification compares gradients with
a threshold that was found for this weight; a mean over the pixels that count would let what is hidden drive it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leansplat.metrics.masking import kept_pixels
from leansplat.metrics.ssim import WINDOW, as_planes
from leansplat.metrics.ssim_kernel import ssim_and_l1, ssim_and_l1_gradient
from leansplat.simd import memory


def photometric_loss(image: Tensor, photo: Tensor, ssim_weight: float = 0.2, mask: Tensor | None = None) -> Tensor:
    """(1 - ssim_weight) * mean |image - photo| + ssim_weight * (1 - SSIM), Kerbl et al. Eq. 7; differentiable in image.

    Args:
        image: (H, W, 3) float32; photo: (H, W, 3) uint8, or float32 in [0, 1].
        mask: (H, W) bool, true where a pixel counts; the others add nothing to either mean. None where all count.

    Raises:
        ValueError: the shapes differ, or the mask hides everything.
    """
    loss: Tensor = _PhotometricLoss.apply(image.permute(2, 0, 1), photo, ssim_weight, mask)
    return loss


def loss_and_gradient(
    image: NDArray[np.float32], photo: Tensor, ssim_weight: float, mask: Tensor | None = None
) -> tuple[float, NDArray[np.float32]]:
    """`photometric_loss` of planes (3, H, W), and its gradient (3, H, W), outside autograd.

    Raises:
        ValueError: the shapes differ, or the mask hides everything.
    """
    _, height, width = image.shape
    if tuple(photo.shape) != (height, width, 3):
        raise ValueError(f"image of shape {(height, width, 3)} cannot be compared with a photo {tuple(photo.shape)}")
    kept = kept_pixels(mask, height, width)
    planes, photo_planes = (kept.without_hidden(values) for values in (image.reshape(-1), as_planes(photo)))
    slopes = memory.empty(9 * height * width, np.float32)
    ssim, l1 = ssim_and_l1(planes, photo_planes, width, height, WINDOW, slopes, True, kept.plane, kept.counted)
    gradient = memory.empty((3, height, width), np.float32)
    ssim_and_l1_gradient(
        planes, photo_planes, width, height, WINDOW, slopes, -ssim_weight, 1.0 - ssim_weight, gradient.reshape(-1)
    )
    gradient = kept.without_hidden(gradient.reshape(-1)).reshape(gradient.shape)
    loss = (1.0 - ssim_weight) * l1 + ssim_weight * (1.0 - ssim)
    return loss * (kept.counted / (height * width)), gradient


class _PhotometricLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, photo: Tensor, ssim_weight: float, mask: Tensor | None) -> Tensor:
        loss, gradient = loss_and_gradient(image.detach().contiguous().numpy(), photo, ssim_weight, mask)
        ctx.save_for_backward(torch.from_numpy(gradient))
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None
