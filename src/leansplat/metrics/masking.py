"""Which pixels of a photo count: a mask, checked, in the form that losses and metrics take.

One rule for all of them: a hidden pixel is as if it lay outside the photo. Nothing depends on what is there, and means
are over the pixels that are left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Kept(NamedTuple):
    """A mask as the kernels take it.

    Args:
        plane: flat (H * W,) float32, 1 where a pixel counts and 0 where it is hidden; None where all count.
        counted: how many pixels count.
    """

    plane: NDArray[np.float32] | None
    counted: int

    def without_hidden(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Planes (3 * H * W,) with zero in hidden pixels, whatever is there; the same array where all count."""
        if self.plane is None:
            return planes
        return np.where(self.plane > 0, planes.reshape(3, -1), np.float32(0)).reshape(-1)


def kept_pixels(mask: Tensor | None, height: int, width: int) -> Kept:
    """A mask (H, W) bool, true where a pixel counts, for the kernels; None where all do.

    Raises:
        ValueError: the mask has another shape or type, or hides everything.
    """
    if mask is None:
        return Kept(None, height * width)
    if tuple(mask.shape) != (height, width) or mask.dtype != torch.bool:
        raise ValueError(f"a mask of shape {tuple(mask.shape)}, {mask.dtype} is not ({height}, {width}), torch.bool")
    counted = int(mask.count_nonzero())
    if counted == 0:
        raise ValueError("the mask hides every pixel, so there is nothing to compare")
    return Kept(mask.reshape(-1).to(torch.float32).numpy(), counted)
