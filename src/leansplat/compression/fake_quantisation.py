"""Fake quantisation: floats rounded to what 8 bits can say, with the gradient of no rounding where they are in range.

Ranges follow the values by a moving average of their minimum and maximum, so that they change slowly enough for
training to adapt to them. Numbers equal those of PyTorch's `FakeQuantize` with a `MovingAverageMinMaxObserver` for
`torch.qint8`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from leansplat.formats.affine import HIGHEST, LOWEST, Affine, limits
from leansplat.simd import memory
from leansplat.simd.compilation import kernel

_SHARE_OF_THE_NEW = 0.01
_LOWEST, _HIGHEST = np.float32(LOWEST), np.float32(HIGHEST)


@dataclass
class MovingRange:
    """The range of values that change.

    Args:
        bounds: (2,) float32, smallest and largest; None before the first values.
        widest: as `formats.affine.limits` takes it.
    """

    bounds: Tensor | None = None
    widest: float = math.inf

    def follow(self, values: Tensor) -> None:
        """Move by a hundredth towards the range of `values`; the first ones set it."""
        if values.numel() == 0:
            return
        now = limits(values, self.widest)
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


@kernel
def _round(values, scale, zero_point, rounded):  # type: ignore[no-untyped-def]
    """`Affine.quantise` and `dequantise` in one pass."""
    inverse = np.float32(1) / scale
    for i in numba.prange(values.size):
        code = np.rint(values[i] * inverse) + zero_point
        limited = _LOWEST if code < _LOWEST else (_HIGHEST if code > _HIGHEST else code)  # which keeps NaN
        rounded[i] = (limited - zero_point) * scale


@kernel
def _pass_within(values, scale, zero_point, gradient, passed):  # type: ignore[no-untyped-def]
    inverse = np.float32(1) / scale
    for i in numba.prange(values.size):
        code = np.rint(values[i] * inverse) + zero_point
        passed[i] = gradient[i] if _LOWEST <= code <= _HIGHEST else np.float32(0)


class _FakeQuantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, affine: Affine) -> Tensor:
        ctx.save_for_backward(values)
        ctx.affine = np.float32(affine.scale), np.float32(affine.zero_point)
        rounded = memory.empty(tuple(values.shape), np.float32)
        _round(_flat(values), *ctx.affine, rounded.reshape(-1))
        return torch.from_numpy(rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        passed = memory.empty(tuple(values.shape), np.float32)
        _pass_within(_flat(values), *ctx.affine, _flat(gradient), passed.reshape(-1))
        return torch.from_numpy(passed), None


def _flat(values: Tensor) -> NDArray[np.float32]:
    """All values, in order, as one line."""
    return values.detach().contiguous().numpy().reshape(-1)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
