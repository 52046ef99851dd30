"""Affine 8-bit numbers: a float is (code - zero_point) * scale, with codes from -128 to 127.

The arithmetic is that of PyTorch's quantisation to `torch.qint8`, in float32. Training simulates it by the same steps,
so that it sees the very numbers that a file holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LOWEST, HIGHEST = -128, 127
"""Range of the codes."""

_SMALLEST_SCALE = np.finfo(np.float32).eps
_AT_A_TIME = 1 << 22  # numbers converted at once, so that temporaries stay small


@dataclass(frozen=True)
class Affine:
    """How floats and codes relate.

    Args:
        scale: step from one code to the next, above 0; a float32 number.
        zero_point: the code of zero, `LOWEST` to `HIGHEST`.
    """

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Affine:
        """The finest that spans [low, high] and zero."""
        bottom, top = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
        scale = max((top - bottom) / np.float32(HIGHEST - LOWEST), _SMALLEST_SCALE)
        zero_point = LOWEST - int(np.round(bottom / scale))
        return cls(float(scale), min(max(zero_point, LOWEST), HIGHEST))

    @classmethod
    def covering(cls, values: Tensor, widest: float = math.inf) -> Affine:
        """The finest that spans all of some finite values and zero, or as many as lie within a range of `widest`."""
        return cls.of_range(*limits(values, widest).tolist()) if values.numel() else cls.of_range(0.0, 0.0)

    def rounded(self, values: Tensor) -> Tensor:
        """Whole numbers as float32: the codes of values, before they are limited to the range."""
        # PyTorch multiplies by the inverse; a division would round some numbers to the code beside.
        inverse = float(np.float32(1) / np.float32(self.scale))
        return (values.detach() * inverse).round_().add_(self.zero_point)

    def quantise(self, values: Tensor) -> Tensor:
        """int8 codes of finite float32 values, in their shape; values out of range get the nearest code."""
        flat = values.reshape(-1)
        codes = torch.empty(flat.shape, dtype=torch.int8)
        for start in range(0, len(flat), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            codes[part] = self.rounded(flat[part]).clamp_(LOWEST, HIGHEST)
        return codes.reshape(values.shape)

    def dequantise(self, codes: Tensor) -> Tensor:
        """float32 values of codes (int8, or whole numbers as float32), in their shape."""
        return (codes.to(torch.float32) - self.zero_point).mul_(self.scale)


def limits(values: Tensor, widest: float = math.inf) -> Tensor:
    """(2,) the smallest and largest of some finite values, at least one; or of as many as lie within `widest`."""
    ends = torch.stack(values.detach().aminmax())
    if not float(ends[1].double() - ends[0].double()) > widest:
        return ends
    ordered = values.detach().flatten().double().sort().values
    after = torch.searchsorted(ordered, ordered + widest, right=True)
    first = int((after - torch.arange(len(ordered))).argmax())
    return torch.stack([ordered[first], ordered[after[first] - 1]]).to(ends.dtype)
