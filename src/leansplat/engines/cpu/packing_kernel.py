"""Between tensors with one Gaussian a line and blocks of 16 Gaussians with one attribute a line: each block transposed.

PyTorch copies between the two number by number, in an order that caches dislike. Here one block of all tensors, which
fits the nearest cache, is finished before the next: a pass over memory. A tensor may be a table whose rows are shared;
then each Gaussian's row is looked up on the way.
"""

from __future__ import annotations

import numba
import numpy as np

from leansplat.simd.compilation import kernel
from leansplat.simd.vector import LANES


@kernel
def into_blocks(columns, sources, data):  # type: ignore[no-untyped-def]
    """Fill `data` (ceil(N / 16), sum of R_i, 16) from arrays (M_i, R_i) side by side; missing lanes get zeros.

    Gaussian g has row sources[i][g] of columns[i], or row g where sources[i] is empty; N is that of columns[0].
    """
    count = columns[0].shape[0]
    for block in numba.prange(data.shape[0]):
        start = LANES * block
        lanes = min(LANES, count - start)
        first = 0
        for values, source in zip(columns, sources):  # noqa: B905 - Numba knows no `strict`
            width = values.shape[1]
            target = data[block, first : first + width]
            for lane in range(lanes):
                line = values[source[start + lane] if source.size else start + lane]
                for row in range(width):
                    target[row, lane] = line[row]
            for lane in range(lanes, LANES):
                for row in range(width):
                    target[row, lane] = np.float32(0)
            first += width


@kernel
def from_blocks(data, firsts, columns):  # type: ignore[no-untyped-def]
    """Fill arrays (N, R_i) from lines firsts[i] to firsts[i] + R_i of blocks."""
    for block in numba.prange(data.shape[0]):
        for first, values in zip(firsts, columns):  # noqa: B905 - Numba knows no `strict`
            count, width = values.shape
            source = data[block, first : first + width]
            target = values[LANES * block : min(LANES * (block + 1), count)]
            for lane in range(target.shape[0]):
                for row in range(width):
                    target[lane, row] = source[row, lane]


@kernel
def sums_from_blocks(data, first, sources, sums, threads):  # type: ignore[no-untyped-def]
    """Add lines `first` to `first + R` of each Gaussian g to row sources[g] of `sums` (M, R).

    Each thread has columns of its own, so that sums are made in the order of the Gaussians, however many there are.
    """
    width = sums.shape[1]
    for thread in numba.prange(threads):
        begin, end = width * thread // threads, width * (thread + 1) // threads
        lines = np.empty((LANES, end - begin), np.float32)
        for block in range(data.shape[0]):
            source = data[block, first + begin : first + end]
            for row in range(end - begin):
                for lane in range(LANES):
                    lines[lane, row] = source[row, lane]
            for lane in range(min(LANES, sources.size - LANES * block)):
                target, added = sums[sources[LANES * block + lane], begin:end], lines[lane]
                for row in range(added.size):
                    target[row] += added[row]
