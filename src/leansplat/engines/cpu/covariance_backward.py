"""The gradient of `projection` by covariances in world space, where `projection_backward` goes on to their factors.

Compression clusters covariances Sigma = R S S^T R^T and asks how sensitive images are to their six entries. With
M = J W, Sigma' = M Sigma M^T + 0.3 I, so dL/dSigma = M^T (dL/dSigma') M. Gradients of colour coefficients come along.
"""

import numba
import numpy as np

from leansplat.engines.cpu.geometry import geometry
from leansplat.engines.cpu.projection_backward import (
    SUM_P,
    SUM_PXX,
    SUM_PXY,
    SUM_PYY,
    clear_rows,
    colors_backward,
    take_sums,
    touched_by_any,
)
from leansplat.simd.bits import bits_to_mask
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, select, store

COVARIANCE_ROWS = 6
"""The first rows of the gradient: entries xx, xy, xz, yy, yz, zz of Sigma, where an entry off the diagonal stands for
both of its places."""

_CHUNKS_PER_THREAD = 8


@inlined
def _block_backward(
    data, index, rows, camera, degree, antialiased, splats, bits, sums, touched, blocks, threads, gradient
):  # fmt: skip
    block = index * rows * LANES
    visible = bits_to_mask(bits)
    total = take_sums(sums, touched, index, blocks, threads)
    g = geometry(data, block, camera)

    # dL/dSigma' = -Q (dL/dQ) Q, with Q the inverse of Sigma' and dL/dQ = -1/2 (sums of g d d^T).
    inverse_determinant = 1.0 / g.determinant
    qa = g.c * inverse_determinant
    qb = -g.b * inverse_determinant
    qc = g.a * inverse_determinant
    t00 = qa * total[SUM_PXX] + qb * total[SUM_PXY]
    t01 = qa * total[SUM_PXY] + qb * total[SUM_PYY]
    t10 = qb * total[SUM_PXX] + qc * total[SUM_PXY]
    t11 = qb * total[SUM_PXY] + qc * total[SUM_PYY]
    h00 = 0.5 * (t00 * qa + t01 * qb)
    h01 = 0.5 * (t00 * qb + t01 * qc)
    h11 = 0.5 * (t10 * qb + t11 * qc)
    if antialiased:
        # log opacity has + 1/2 log(det bare / det dilated), whose derivative by Sigma' is 1/2 (bare^-1 - Q).
        half = 0.5 * total[SUM_P]
        inverse_bare = 1.0 / g.bare_determinant
        h00 = h00 + half * ((g.b10 * g.b10 + g.b11 * g.b11 + g.b12 * g.b12) * inverse_bare - qa)
        h01 = h01 - half * (g.b * inverse_bare + qb)
        h11 = h11 + half * ((g.b00 * g.b00 + g.b01 * g.b01 + g.b02 * g.b02) * inverse_bare - qc)

    u0 = h00 * g.j00 + h01 * g.j10
    u1 = h00 * g.j01 + h01 * g.j11
    u2 = h00 * g.j02 + h01 * g.j12
    v0 = h01 * g.j00 + h11 * g.j10
    v1 = h01 * g.j01 + h11 * g.j11
    v2 = h01 * g.j02 + h11 * g.j12
    store(gradient, block, select(visible, g.j00 * u0 + g.j10 * v0, 0.0))
    store(gradient, block + LANES, select(visible, 2.0 * (g.j00 * u1 + g.j10 * v1), 0.0))
    store(gradient, block + 2 * LANES, select(visible, 2.0 * (g.j00 * u2 + g.j10 * v2), 0.0))
    store(gradient, block + 3 * LANES, select(visible, g.j01 * u1 + g.j11 * v1, 0.0))
    store(gradient, block + 4 * LANES, select(visible, 2.0 * (g.j01 * u2 + g.j11 * v2), 0.0))
    store(gradient, block + 5 * LANES, select(visible, g.j02 * u2 + g.j12 * v2, 0.0))
    colors_backward(data, index, rows, camera, degree, splats, visible, total, gradient, block)


@kernel
def covariance_backward(
    data, rows, camera, degree, antialiased, splats, visible, sums, touched, threads, gradient
):  # fmt: skip
    """Gradients by covariances and colour coefficients.

    Args:
        data to threads: as `projection_backward.project_backward`; sums and touched are zero on return.
        gradient: (blocks * rows * 16,) out: the first `COVARIANCE_ROWS` rows of a block are the covariance's, those of
            the coefficients are where the packed layout has them, and all others are zero.
    """
    blocks = visible.size
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            clear_rows(gradient, index * rows * LANES, 0, rows)
            if touched_by_any(touched, index, blocks, threads):
                _block_backward(
                    data, index, rows, camera, degree, antialiased, splats, np.uint32(visible[index]), sums, touched,
                    blocks, threads, gradient,
                )  # fmt: skip
