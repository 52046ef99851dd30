"""Morton order: Gaussians that are near each other in space become neighbours in memory.

The kernels handle 16 consecutive Gaussians at a time and skip blocks that no pixel sees, so neighbours that are seen
together make both caches and skipping work; in files, neighbours in space share ranges and compress well. Interleaving
the bits of the three quantised coordinates gives that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_BITS = 21
_BLOCK = 1 << 16
"""Centres handled at once, so that what they become on the way stays in the cache."""

_SPREADING = (
    (32, 0x001F00000000FFFF),
    (16, 0x001F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
"""Shifts and masks that move bit k of a 21-bit number to bit 3 k."""


@overload
def morton_order(means: np.ndarray) -> np.ndarray: ...
@overload
def morton_order(means: Tensor) -> Tensor: ...
def morton_order(means: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """(N,) int64 indices that put centres (N, 3) in Morton order; equal codes keep their order.

    Each axis is quantised to 21 bits over its own range. Centres that are not finite count as the lowest corner. Of a
    tensor the result is one, too, on the CPU.
    """
    if isinstance(means, np.ndarray):
        return _order(means)
    import torch

    return torch.from_numpy(_order(means.detach().cpu().numpy()))


def _order(centres: np.ndarray) -> np.ndarray:
    finite = np.isfinite(centres).all(axis=1, keepdims=True)
    if not finite.any():
        return np.arange(len(centres))
    lowest = np.min(centres, axis=0, initial=np.inf, where=finite)
    highest = np.max(centres, axis=0, initial=-np.inf, where=finite)
    width = np.where(highest > lowest, highest - lowest, 1).astype(np.float64)
    codes = np.empty(len(centres), np.uint64)
    for start in range(0, len(centres), _BLOCK):
        part = slice(start, start + _BLOCK)
        fractions = np.where(finite[part], (centres[part] - lowest) / width, 0.0)
        cells = np.minimum(fractions * 2**_BITS, 2**_BITS - 1).astype(np.uint64)
        codes[part] = _spread(cells[:, 0]) << np.uint64(2) | _spread(cells[:, 1]) << np.uint64(1) | _spread(cells[:, 2])
    return np.argsort(codes, kind="stable")


def _spread(cells: np.ndarray) -> np.ndarray:
    for shift, mask in _SPREADING:
        cells = (cells | cells << np.uint64(shift)) & np.uint64(mask)
    return cells
