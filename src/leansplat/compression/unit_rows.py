"""`unit_rows`: vectors divided by their lengths, as rotations and relative scales are, in one pass each way.

The gradient is the part of what comes in that is at right angles to the vector, divided by its length. Written as
tensor operations, both ways together take twenty passes over memory.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leansplat.simd import memory
from leansplat.simd.compilation import kernel

_SHORTEST = np.float32(1e-12)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (N, D), float32, of length 1; 0 where the length is 0. As `torch.nn.functional.normalize`."""
    result: Tensor = _UnitRows.apply(rows)
    return result


@kernel
def _divide(rows, units):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.shape[0]):
        square = np.float32(0)
        for j in range(rows.shape[1]):
            square += rows[i, j] * rows[i, j]
        length = max(np.sqrt(square), _SHORTEST)
        for j in range(rows.shape[1]):
            units[i, j] = rows[i, j] / length


@kernel
def _divide_backward(rows, gradient, found):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.shape[0]):
        square, along = np.float32(0), np.float32(0)
        for j in range(rows.shape[1]):
            square += rows[i, j] * rows[i, j]
            along += rows[i, j] * gradient[i, j]
        inverse = np.float32(1) / max(np.sqrt(square), _SHORTEST)
        along *= inverse * inverse
        for j in range(rows.shape[1]):
            found[i, j] = (gradient[i, j] - rows[i, j] * along) * inverse


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        units = memory.empty(tuple(rows.shape), np.float32)
        _divide(rows.detach().contiguous().numpy(), units)
        return torch.from_numpy(units)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        found = memory.empty(tuple(rows.shape), np.float32)
        _divide_backward(rows.detach().contiguous().numpy(), gradient.contiguous().numpy(), found)
        return torch.from_numpy(found)
