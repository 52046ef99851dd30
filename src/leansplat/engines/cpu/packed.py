"""`PackedGaussians`: the memory layout that the kernels of this engine and its optimiser work on.

The kernels handle 16 Gaussians at a time, one per vector lane. So Gaussians are stored in blocks of 16, and within a
block attribute by attribute: `data[b, r, l]` is scalar attribute r of Gaussian 16 b + l. One block is one contiguous
piece of memory: a kernel streams through it, loads every attribute of 16 Gaussians as whole vectors, and skips a block
that no pixel sees without touching it. Optimiser moments and gradients use the same layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leansplat.engines.cpu.packing_kernel import from_blocks, into_blocks, sums_from_blocks
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians, Origin
from leansplat.simd import memory
from leansplat.simd.threads import thread_count

LANES = 16
"""Gaussians per block, and lanes of the kernels' vectors."""

MEANS = slice(0, 3)
QUATS = slice(3, 7)
SCALES = slice(7, 10)
OPACITIES = slice(10, 11)
SH0 = slice(11, 14)
"""Rows of each attribute in a block; the rows of `shN` follow from 14 to the end, coefficient by coefficient."""

_DEGREE_OF_ROWS = {14: 0, 23: 1, 38: 2, 59: 3}


@dataclass(frozen=True)
class PackedGaussians:
    """A scene in the kernels' layout.

    Args:
        data: (blocks, rows, 16) float32, contiguous, on the CPU; rows = 11 + 3 (degree + 1)^2. Lanes past `count` in
            the last block hold zeros and are ignored.
        count: number of Gaussians N; blocks = ceil(N / 16).
        antialiased, origin: see `Gaussians`; kernels draw the scene with cameras relative to the origin.

    Raises:
        ValueError: `data` has a shape, type or size that does not fit `count`.
    """

    data: Tensor
    count: int
    antialiased: bool = False
    origin: Origin = WORLD

    def __post_init__(self) -> None:
        blocks = -(-self.count // LANES)
        shape = tuple(self.data.shape)
        if len(shape) != 3 or shape[0] != blocks or shape[2] != LANES or shape[1] not in _DEGREE_OF_ROWS:
            raise ValueError(f"packed data has shape {shape}, which does not hold {self.count} Gaussians")
        if self.data.dtype != torch.float32 or not self.data.is_contiguous():
            raise ValueError("packed data must be contiguous float32")

    def __len__(self) -> int:
        return self.count

    @property
    def sh_degree(self) -> int:
        return _DEGREE_OF_ROWS[self.data.shape[1]]

    def attribute(self, rows: slice) -> Tensor:
        """(N, R) copy of some rows, one Gaussian a line: `packed.attribute(SCALES)` is (N, 3)."""
        return unpack_rows(self.data[:, rows], self.count)

    def zeros(self) -> Tensor:
        """Zeros in the shape of `data`, of which those of Gaussians that nothing is added to take no memory."""
        return torch.from_numpy(memory.zeros(tuple(self.data.shape), np.float32))

    def unpack(self) -> Gaussians:
        """The same scene as `Gaussians` (a copy; extras and comments are not kept in this layout)."""
        return Gaussians(
            means=self.attribute(MEANS),
            quats=self.attribute(QUATS),
            scales=self.attribute(SCALES),
            opacities=self.attribute(OPACITIES).reshape(-1),
            sh0=self.attribute(SH0).reshape(self.count, 1, 3),
            shN=self.attribute(slice(SH0.stop, None)).reshape(self.count, (self.sh_degree + 1) ** 2 - 1, 3),
            antialiased=self.antialiased,
            origin=self.origin,
        )


def pack(scene: Gaussians | SharedGaussians) -> PackedGaussians:
    """Copy a scene into the kernels' layout, as float32 on the CPU.

    Differentiable in the tensors and tables; the gradient of a row of a table is the sum over those who share it.
    """
    shared = scene if isinstance(scene, SharedGaussians) else SharedGaussians(scene)
    gaussians, columns, sources = shared.gaussians, [], []
    for name in TENSOR_NAMES:
        values, rows = shared.tables.get(name, (getattr(gaussians, name), _OWN_ROWS))
        columns.append(values.reshape(len(values), math.prod(values.shape[1:])))
        sources.append(rows.contiguous())
    return PackedGaussians(_packed(columns, sources), len(gaussians), gaussians.antialiased, gaussians.origin)


def pack_rows(rows: Tensor) -> Tensor:
    """(N, R) values, one Gaussian a line, to (ceil(N / 16), R, 16); missing lanes are zero."""
    return _packed([rows], [_OWN_ROWS])


def unpack_rows(data: Tensor, count: int) -> Tensor:
    """(blocks, R, 16) to (N, R), contiguous: the inverse of `pack_rows`. A copy, of a single block, too."""
    lanes = data.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    return lanes.view(data.shape[0] * LANES, data.shape[1])[:count]


_OWN_ROWS = torch.zeros(0, dtype=torch.int64)
"""Instead of indices: each Gaussian has its own row, in order."""


def _packed(columns: Sequence[Tensor], sources: Sequence[Tensor]) -> Tensor:
    """Tensors (M_i, R_i), by the rows that the Gaussians have in them, to (ceil(N / 16), sum of R_i, 16) float32."""
    result: Tensor = _Pack.apply(sources, *(values.to("cpu", torch.float32) for values in columns))
    return result


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sources: Sequence[Tensor], *columns: Tensor) -> Tensor:
        ctx.sources, ctx.shapes = sources, [tuple(values.shape) for values in columns]
        width = sum(values.shape[1] for values in columns)
        data = memory.empty((-(-len(columns[0]) // LANES), width, LANES), np.float32)
        arrays = tuple(values.detach().contiguous().numpy() for values in columns)
        into_blocks(arrays, tuple(rows.numpy() for rows in sources), data)
        return torch.from_numpy(data)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        data = gradient.contiguous().numpy()
        found = [memory.empty(shape, np.float32) for shape in ctx.shapes]
        firsts = [0, *accumulate(shape[1] for shape in ctx.shapes)]
        own = [i for i, rows in enumerate(ctx.sources) if rows is _OWN_ROWS]
        from_blocks(data, tuple(firsts[i] for i in own), tuple(found[i] for i in own))
        for i, rows in enumerate(ctx.sources):
            if rows is not _OWN_ROWS:
                found[i][:] = 0
                sums_from_blocks(data, firsts[i], rows.numpy(), found[i], thread_count())
        return None, *(torch.from_numpy(values) for values in found)
