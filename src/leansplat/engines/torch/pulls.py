"""How hard pixels pull at centres on the image, in absolute values (AbsGS, 2404.10484), by autograd.

The sum over pixels of |dL/dx| is not the gradient of anything; so it is made to look like one, that of a tensor of
zeros which nothing else depends on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def at_pixels(means: Tensor, pulls: Tensor, pixels: int) -> Tensor:
    """Centres (M, 2) once for each pixel, (M, pixels, 2).

    The gradient of `pulls` (M, 2) is the sum over pixels of the absolute values of the gradients that come back.
    """
    expanded: Tensor = _AtPixels.apply(means, pulls, pixels)
    return expanded


class _AtPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, means: Tensor, pulls: Tensor, pixels: int) -> Tensor:
        return means[:, None].expand(-1, pixels, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradient.sum(dim=1), gradient.abs().sum(dim=1), None
