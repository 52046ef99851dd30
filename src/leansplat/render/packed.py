"""`PackedGaussians`: the memory layout the CPU kernels and the optimiser work on.

The kernels handle 16 Gaussians at a time, one per vector lane. So Gaussians are stored in blocks of 16, and within a
block attribute by attribute: `data[b, r, l]` is scalar attribute r of Gaussian 16 b + l. One block is one contiguous
piece of memory: a kernel streams through it, loads every attribute of 16 Gaussians as whole vectors, and skips a block
that no pixel sees without touching it. Optimiser moments and gradients use the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leansplat.gaussians import Gaussians

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
        antialiased: see `Gaussians`.

    Raises:
        ValueError: `data` has a shape, type or size that does not fit `count`.
    """

    data: Tensor
    count: int
    antialiased: bool = False

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

    def unpack(self) -> Gaussians:
        """The same scene as `Gaussians` (a copy; extras and comments are not kept in this layout)."""
        rows = unpack_rows(self.data, self.count)
        return Gaussians(
            means=rows[:, MEANS].contiguous(),
            quats=rows[:, QUATS].contiguous(),
            scales=rows[:, SCALES].contiguous(),
            opacities=rows[:, OPACITIES].reshape(-1).contiguous(),
            sh0=rows[:, SH0].reshape(self.count, 1, 3).contiguous(),
            shN=rows[:, SH0.stop :].reshape(self.count, (rows.shape[1] - SH0.stop) // 3, 3).contiguous(),
            antialiased=self.antialiased,
        )

    def select(self, rows: Tensor) -> PackedGaussians:
        """The Gaussians at a mask (N,) or at indices (M,), in that order."""
        chosen = unpack_rows(self.data, self.count)[rows]
        return replace(self, data=pack_rows(chosen), count=chosen.shape[0])


def pack(gaussians: Gaussians) -> PackedGaussians:
    """Copy a scene into the kernels' layout, as float32 on the CPU. Differentiable in the six tensors."""
    n = len(gaussians)
    rows = torch.cat(
        [
            gaussians.means,
            gaussians.quats,
            gaussians.scales,
            gaussians.opacities.reshape(n, 1),
            gaussians.sh0.reshape(n, 3),
            gaussians.shN.reshape(n, 3 * gaussians.shN.shape[1]),
        ],
        dim=1,
    )
    return PackedGaussians(pack_rows(rows.to("cpu", torch.float32)), n, gaussians.antialiased)


def pack_rows(rows: Tensor) -> Tensor:
    """(N, R) values, one Gaussian a line, to (ceil(N / 16), R, 16); missing lanes are zero."""
    n, width = rows.shape
    blocks = -(-n // LANES)
    padded = torch.nn.functional.pad(rows, (0, 0, 0, blocks * LANES - n))
    return padded.reshape(blocks, LANES, width).transpose(1, 2).contiguous()


def unpack_rows(data: Tensor, count: int) -> Tensor:
    """(blocks, R, 16) to (N, R): the inverse of `pack_rows`."""
    return data.transpose(1, 2).reshape(data.shape[0] * LANES, data.shape[1])[:count]
