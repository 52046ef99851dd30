"""The inner loop of reading scene files: splitting rows of numbers into the six tensors.

Scene files store a Gaussian's numbers side by side, tensors keep each parameter in its own memory. On blocks of rows
that fit in the cache this costs little more than copying the bytes, which NumPy's strided copies cost three times of.
The kernel is compiled per SH degree: only with constant loop bounds does LLVM turn the transposition into shuffles.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numba
import numpy as np

INFINITY = 0x7F800000
"""Bits of float32 infinity: a float32 is finite when its bits without the sign are below these (IEEE 754)."""

_MAGNITUDE = np.uint32(0x7FFFFFFF)


@cache
def row_splitter(coefficients: int) -> Callable[..., tuple[int, int]]:
    """The kernel for `coefficients` SH coefficients of degree 1 and up per colour: 0, 3, 8 or 15.

    The kernel takes (rows, first, watched, means, quats, scales, opacities, sh0, shN); the arrays hold the bits of
    float32 numbers as uint32, so that every NaN arrives as it was.

        rows: (n, P), contiguous; a tensor's numbers are consecutive, shN's planar: all of red, of green, of blue.
        first: six ints, the columns where the numbers of means, quats, scales, opacities, sh0 and shN start.
        watched: (M,) int64 columns that are usually all zero.
        means (n, 3), quats (n, 4), scales (n, 3), opacities (n, 1), sh0 (n, 3), shN (n, 3 * coefficients): outputs.

    It returns the largest bits without sign in `rows`, for a comparison with `INFINITY`, and the bits that are set
    anywhere in the watched columns.
    """

    @numba.njit(nogil=True, cache=True)
    def split(rows, first, watched, means, quats, scales, opacities, sh0, shN):  # type: ignore[no-untyped-def]
        mean, quat, scale, opacity, dc, rest = first
        for i in range(rows.shape[0]):
            row = rows[i]
            for k in range(3):
                means[i, k] = row[mean + k]
                scales[i, k] = row[scale + k]
                sh0[i, k] = row[dc + k]
            for k in range(4):
                quats[i, k] = row[quat + k]
            opacities[i, 0] = row[opacity]
            for k in range(coefficients):
                for color in range(3):
                    shN[i, 3 * k + color] = row[rest + color * coefficients + k]

        # Passes of their own over rows that are in the cache: inside the loop above they would keep it from unrolling.
        largest = np.uint32(0)
        every = rows.reshape(-1)
        for k in range(every.shape[0]):
            largest = max(largest, every[k] & _MAGNITUDE)
        set_bits = np.uint32(0)
        for k in range(watched.shape[0]):
            column = watched[k]
            for i in range(rows.shape[0]):
                set_bits |= rows[i, column]
        return largest, set_bits

    return split
