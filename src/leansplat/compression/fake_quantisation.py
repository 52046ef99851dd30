"""Fake quantisation: floats rounded to what 8 bits can say, with the gradient of no rounding where they are in range.

Ranges follow the values by a moving average of their minimum and maximum, so that they change slowly enough for
training to adapt to them. Numbers equal those of PyTorch's `FakeQuantize` with a `MovingAverageMinMaxObserver` for
`torch.qint8`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leansplat.formats.affine import HIGHEST, LOWEST, Affine

_SHARE_OF_THE_NEW = 0.01


@dataclass
class MovingRange:
    """The range of values that change.

    Args:
        bounds: (2,) float32, smallest and largest; None before the first values.
    """

    bounds: Tensor | None = None

    def follow(self, values: Tensor) -> None:
        """Move by a hundredth towards the range of `values`; the first ones set it."""
        if values.numel() == 0:
            return
        now = torch.stack(values.detach().aminmax())
        self.bounds = now if self.bounds is None else self.bounds + _SHARE_OF_THE_NEW * (now - self.bounds)

    @property
    def affine(self) -> Affine:
        """The 8-bit numbers that span the range."""
        return Affine.of_range(0.0, 0.0) if self.bounds is None else Affine.of_range(*self.bounds.tolist())


def fake_quantise(values: Tensor, affine: Affine) -> Tensor:
    """What is left of float32 `values` as codes; the gradient passes where they are in range and is 0 elsewhere."""
    result: Tensor = _FakeQuantise.apply(values, affine)
    return result


def half_precision(values: Tensor) -> Tensor:
    """What is left of `values` as 16-bit floats; the gradient passes."""
    return straight_through(values, values.detach().to(torch.float16).to(values.dtype))


def straight_through(values: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, exactly, with the gradient going to `values` (Bengio et al. 2013)."""
    result: Tensor = _StraightThrough.apply(values, rounded)
    return result


class _FakeQuantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, affine: Affine) -> Tensor:
        codes = affine.rounded(values)
        limited = codes.clamp(LOWEST, HIGHEST)
        ctx.save_for_backward(codes == limited)
        return affine.dequantise(limited)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (within,) = ctx.saved_tensors
        return gradient * within, None


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
