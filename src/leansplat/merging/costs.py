"""What pictures change by when two Gaussians become one, in closed form.

Products of Gaussians are integrals that are known, so the squared difference between two Gaussians and the one that
moment matching makes of them is, too. It is taken as it is seen from afar along each of the three axes of the new one,
and has two parts: the shape, which shows what is behind where it does not fit, and the tint, where each of the two had
another colour than the new one has.
"""

from __future__ import annotations

import numba
import numpy as np

from leansplat.merging.moments import OPACITY, axes, compiled, mix, opacity_over, share_of_first

_THINNEST = 1e-3
"""How thin a Gaussian counts as from its side, in shares of the new one's longest standard deviation."""

_TINY = 1e-300

inlined = numba.njit(error_model="numpy", inline="always")


@compiled
def pair_costs(rows, sh0, shN, worth, exposure, first, second, costs):  # type: ignore[no-untyped-def]
    """The squared change of pictures, summed over pixels and channels, of merging each pair alone.

    Args:
        rows: (N, ROW) as `moments` makes them.
        sh0: (N, 3), shN: (N, 3 (K - 1)) float32, coefficients of orthonormal functions of the direction, of which
            squared differences add up to 4 pi times the mean over all directions.
        worth: (N,) float64, the change without each Gaussian; the shape's part is a share of it.
        exposure: (N,) float64, pixels per area that show each Gaussian.
        first, second: (E,) integers, the pairs.
        costs: (E,) float32, output.
    """
    matrix, vectors, values, mean = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty(3)
    one, two, offset = np.empty(6), np.empty(6), np.empty(3)
    for pair in range(first.size):
        i, j = first[pair], second[pair]
        a, b = rows[i], rows[j]
        share = share_of_first(a, b)
        other = 1.0 - share
        mix(a, b, share, mean, matrix)
        axes(matrix, values, vectors)
        opacity = opacity_over(a, b, np.sqrt(values[0] * values[1]))
        difference = np.float32(0.0)
        for k in range(3):
            difference += (sh0[i, k] - sh0[j, k]) ** 2
        for k in range(shN.shape[1]):
            difference += (shN[i, k] - shN[j, k]) ** 2
        _turn(a, vectors, one)
        _turn(b, vectors, two)
        for k in range(3):
            offset[k] = 0.0
            for axis in range(3):
                offset[k] += (b[axis] - a[axis]) * vectors[axis, k]
        thin = _THINNEST * _THINNEST * values[0] + _TINY
        shape, tint, whole = 0.0, 0.0, _TINY
        for along in range(3):  # the picture's two axes are the other ones
            p, q = (1 if along == 0 else 0), (1 if along == 2 else 2)
            pp, qq = (0 if p == 0 else 3), (3 if q == 1 else 5)
            pq = 1 if along == 2 else (2 if along == 1 else 4)
            axx, axy, ayy = one[pp] + thin, one[pq], one[qq] + thin
            bxx, bxy, byy = two[pp] + thin, two[pq], two[qq] + thin
            mxx, myy = values[p] + thin, values[q] + thin
            x, y = offset[p], offset[q]
            aa = _overlap(axx, axy, ayy, axx, axy, ayy, 0.0, 0.0) * a[OPACITY] * a[OPACITY]
            bb = _overlap(bxx, bxy, byy, bxx, bxy, byy, 0.0, 0.0) * b[OPACITY] * b[OPACITY]
            mm = _overlap(mxx, 0.0, myy, mxx, 0.0, myy, 0.0, 0.0) * opacity * opacity
            ab = _overlap(axx, axy, ayy, bxx, bxy, byy, x, y) * a[OPACITY] * b[OPACITY]
            am = _overlap(axx, axy, ayy, mxx, 0.0, myy, other * x, other * y) * a[OPACITY] * opacity
            bm = _overlap(bxx, bxy, byy, mxx, 0.0, myy, share * x, share * y) * b[OPACITY] * opacity
            shape += max(aa + bb + mm + 2.0 * (ab - am - bm), 0.0)
            # The first is `other` of the difference away from the new colour, the second `share` on the other side.
            tint += max(other * other * aa + share * share * bb - 2.0 * share * other * ab, 0.0)
            whole += aa + bb
        exposed = share * exposure[i] + other * exposure[j]
        costs[pair] = shape / whole * (worth[i] + worth[j]) + exposed * tint * difference / (4.0 * np.pi)


@inlined
def _turn(row, vectors, out):  # type: ignore[no-untyped-def]
    """A row's covariance in the axes of `vectors` (3, 3), as xx xy xz yy yz zz."""
    at = 0
    for i in range(3):
        x = row[3] * vectors[0, i] + row[4] * vectors[1, i] + row[5] * vectors[2, i]
        y = row[4] * vectors[0, i] + row[6] * vectors[1, i] + row[7] * vectors[2, i]
        z = row[5] * vectors[0, i] + row[7] * vectors[1, i] + row[8] * vectors[2, i]
        for j in range(i, 3):
            out[at] = x * vectors[0, j] + y * vectors[1, j] + z * vectors[2, j]
            at += 1


@inlined
def _overlap(axx, axy, ayy, bxx, bxy, byy, x, y):  # type: ignore[no-untyped-def]
    """The integral over the plane of the product of two Gaussians of height 1, (x, y) apart."""
    xx, xy, yy = axx + bxx, axy + bxy, ayy + byy
    determinant = xx * yy - xy * xy
    product = max(axx * ayy - axy * axy, 0.0) * max(bxx * byy - bxy * bxy, 0.0)
    distance = (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant
    return 2.0 * np.pi * np.sqrt(product / determinant) * np.exp(-0.5 * distance) if determinant > 0.0 else 0.0
