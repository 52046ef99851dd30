"""Rebuilding a packed scene from copies of its own Gaussians, in any order, with one pass over memory.

Densification and pruning replace three arrays of the whole scene at a time. Per block of 16 new Gaussians the kernel
looks up where the 16 old ones begin, then fills the block row by row, so that writing is sequential; and because the
scene is in Morton order before and after, reading nearly is.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from leansplat.engines.cpu.packed import LANES
from leansplat.simd import memory
from leansplat.simd.compilation import kernel


@kernel
def _gather(data, sources, rows, gathered):  # type: ignore[no-untyped-def]
    count = sources.shape[0]
    for block in numba.prange(gathered.size // (rows * LANES)):
        starts = np.empty(LANES, np.int64)
        for lane in range(LANES):
            to = LANES * block + lane
            source = sources[to] if to < count else -1
            starts[lane] = source // LANES * rows * LANES + source % LANES if source >= 0 else -1
        for row in range(rows):
            to = (block * rows + row) * LANES
            for lane in range(LANES):
                start = starts[lane]
                gathered[to + lane] = data[start + LANES * row] if start >= 0 else np.float32(0)


def gather(data: Tensor, sources: Tensor) -> Tensor:
    """The packed values of some Gaussians.

    Args:
        data: (blocks, rows, 16) float32, contiguous, without gradient.
        sources: (M,) int64, which Gaussians; a negative index gives zeros.

    Returns:
        (ceil(M / 16), rows, 16); lanes past the last Gaussian are zero.

    Raises:
        IndexError: an index is past the end of `data`.
    """
    if len(sources) and int(sources.max()) >= data.shape[0] * LANES:
        raise IndexError(f"Gaussian {int(sources.max())} is past the end of {data.shape[0]} blocks")
    rows = data.shape[1]
    gathered = memory.empty((-(-len(sources) // LANES), rows, LANES), np.float32)
    _gather(data.numpy().reshape(-1), sources.contiguous().numpy(), rows, gathered.reshape(-1))
    return torch.from_numpy(gathered)
