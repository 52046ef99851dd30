"""Kernels of `trained_directions`: the power of light from a direction, for rays and for whole places.

With Y(d) the harmonics of degree 1 and up in direction d and P the inverse covariance of a neighbourhood's
coefficients, Capon's power is 1 / (Y(d)^T P Y(d)). All results are logarithms of it.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from leansplat.simd.compilation import kernel


@numba.njit(inline="always")
def harmonics(x, y, z, count, values):
    """Write the first `count` (3, 8 or 15) real harmonics of degree 1 and up, in the order and with the signs of 3DGS,
    for a unit vector into `values`."""
    values[0] = -0.4886025119029199 * y
    values[1] = 0.4886025119029199 * z
    values[2] = -0.4886025119029199 * x
    if count > 3:
        xx, yy, zz = x * x, y * y, z * z
        values[3] = 1.0925484305920792 * x * y
        values[4] = -1.0925484305920792 * y * z
        values[5] = 0.31539156525252005 * (2 * zz - xx - yy)
        values[6] = -1.0925484305920792 * x * z
        values[7] = 0.5462742152960396 * (xx - yy)
        if count > 8:
            values[8] = -0.5900435899266435 * y * (3 * xx - yy)
            values[9] = 2.890611442640554 * x * y * z
            values[10] = -0.4570457994644658 * y * (4 * zz - xx - yy)
            values[11] = 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)
            values[12] = -0.4570457994644658 * x * (4 * zz - xx - yy)
            values[13] = 1.445305721320277 * z * (xx - yy)
            values[14] = -0.5900435899266435 * x * (xx - 3 * yy)


@numba.njit(inline="always")
def log_power(precision, x, y, z, values):
    """-log(Y^T P Y) for a unit vector and P (K, K); `values` (K,) is overwritten."""
    count = precision.shape[0]
    harmonics(x, y, z, count, values)
    form = 0.0
    for i in range(count):
        row = 0.0
        for j in range(i):
            row += precision[i, j] * values[j]
        form += values[i] * (2 * row + precision[i, i] * values[i])
    return -math.log(form)


@kernel
def power_of_rays(precision, rows, directions, found):
    """Args: precision (V, K, K), rows (P,) of it, directions (P, 3) unit vectors away from the eye, found (P,) out."""
    for ray in numba.prange(rows.size):
        values = np.empty(15)
        found[ray] = log_power(precision[rows[ray]], directions[ray, 0], directions[ray, 1], directions[ray, 2], values)


@kernel
def power_at_places(precision, centres, best, places, softening, found):
    """Mean over neighbourhoods, weighted by the inverse square of their distance, of the power less the `best`.

    Args:
        precision: (V, K, K); centres: (V, 3); best: (V,) logarithms.
        places: (P, 3); softening: a length below which distances count alike.
        found: (P,) out.
    """
    for place in numba.prange(places.shape[0]):
        values = np.empty(15)
        total, weight_sum = 0.0, 0.0
        for v in range(centres.shape[0]):
            x = centres[v, 0] - places[place, 0]
            y = centres[v, 1] - places[place, 1]
            z = centres[v, 2] - places[place, 2]
            square = x * x + y * y + z * z
            inverse = 1 / math.sqrt(square + 1e-30)
            weight = 1 / (square + softening * softening)
            power = log_power(precision[v], x * inverse, y * inverse, z * inverse, values)
            total += weight * (power - best[v])
            weight_sum += weight
        found[place] = total / weight_sum
