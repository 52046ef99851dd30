"""One Gaussian in place of two: the same mass, the same mean and the same covariance.

A Gaussian covers as much as its opacity times its area, the product of its two longest standard deviations: its mass.
Weighted by mass, the mean of two, their covariance (with the spread of their centres) and their colours become those of
one, whose opacity is what the mass needs over the new area, at most 1. All is in float64, a row of numbers a Gaussian.
"""

from __future__ import annotations

import numba
import numpy as np

from leansplat.activation import opacity_of, scale_of, unit
from leansplat.arrays import GaussianArrays, blocks

ROW = 11
"""Numbers in the row of a Gaussian."""

COVARIANCE, OPACITY, AREA = 3, 9, 10
"""Where a row has the covariance, as xx xy xz yy yz zz, the opacity and the area; the centre is at its start."""

_SWEEPS = 10
"""Of Jacobi's rotations, at most; three to five are usual."""

_OFF_DIAGONAL = 1e-24
"""What is left off the diagonal when they end, as a share of the trace, both squared."""

compiled = numba.njit(error_model="numpy", cache=True, nogil=True)
"""A function of one thread, so that its result does not depend on how many there are."""


def moments(scene: GaussianArrays) -> np.ndarray:
    """(N, ROW) float64: the row of each Gaussian, as the kernels here take it."""
    rows = np.empty((len(scene), ROW))
    for part in blocks(len(scene)):
        scales = scale_of(scene.scales[part])
        rows[part, :COVARIANCE] = scene.means[part]
        _covariances(unit(scene.quats[part]), scales, rows[part, COVARIANCE:OPACITY])
        rows[part, OPACITY] = opacity_of(scene.opacities[part])
        rows[part, AREA] = np.sort(scales, axis=1)[:, 1:].prod(axis=1)
    return rows


@compiled
def _covariances(quats, scales, covariances):  # type: ignore[no-untyped-def]
    """Covariances (n, 6) of unit quaternions (n, 4), w first, and standard deviations (n, 3)."""
    for row in range(quats.shape[0]):
        w, x, y, z = quats[row]
        rotation = (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        )
        at = 0
        for i in range(3):
            for j in range(i, 3):
                total = 0.0
                for k in range(3):
                    total += rotation[i][k] * rotation[j][k] * scales[row, k] * scales[row, k]
                covariances[row, at] = total
                at += 1


@compiled
def share_of_first(first, second):  # type: ignore[no-untyped-def]
    """What the first of two rows has of their mass, in [0, 1]; a half where neither has any."""
    mass, other = first[OPACITY] * first[AREA], second[OPACITY] * second[AREA]
    return mass / (mass + other) if mass + other > 0.0 else 0.5


@compiled
def mix(first, second, share, mean, covariance):  # type: ignore[no-untyped-def]
    """Mean (3,) and covariance (3, 3) of two rows, of which the first has `share` of the mass."""
    other = 1.0 - share
    for k in range(3):
        mean[k] = share * first[k] + other * second[k]
    at = COVARIANCE
    for i in range(3):
        for j in range(i, 3):
            spread = share * other * (first[i] - second[i]) * (first[j] - second[j])
            covariance[i, j] = share * first[at] + other * second[at] + spread
            covariance[j, i] = covariance[i, j]
            at += 1


@compiled
def opacity_over(first, second, area):  # type: ignore[no-untyped-def]
    """The opacity, at most 1, that spreads the mass of two rows over an area."""
    mass = first[OPACITY] * first[AREA] + second[OPACITY] * second[AREA]
    return min(1.0, mass / area) if area > 0.0 else 1.0


@compiled
def axes(matrix, values, vectors):  # type: ignore[no-untyped-def]
    """Eigenvalues (3,), largest first, and eigenvectors, the columns of (3, 3), of a symmetric matrix, by Jacobi.

    The matrix (3, 3) float64 is overwritten. The vectors make a rotation: their determinant is 1.
    """
    for i in range(3):
        for j in range(3):
            vectors[i, j] = 1.0 if i == j else 0.0
    trace = matrix[0, 0] + matrix[1, 1] + matrix[2, 2]
    for _ in range(_SWEEPS):
        off = matrix[0, 1] ** 2 + matrix[0, 2] ** 2 + matrix[1, 2] ** 2
        if off <= _OFF_DIAGONAL * trace * trace:
            break
        for p in range(2):
            for q in range(p + 1, 3):
                if matrix[p, q] == 0.0:
                    continue
                half = 0.5 * (matrix[q, q] - matrix[p, p]) / matrix[p, q]
                tangent = 1.0 / (abs(half) + np.sqrt(half * half + 1.0))
                if half < 0:
                    tangent = -tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for k in range(3):
                    a, b = matrix[k, p], matrix[k, q]
                    matrix[k, p], matrix[k, q] = cosine * a - sine * b, sine * a + cosine * b
                for k in range(3):
                    a, b = matrix[p, k], matrix[q, k]
                    matrix[p, k], matrix[q, k] = cosine * a - sine * b, sine * a + cosine * b
                for k in range(3):
                    a, b = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = cosine * a - sine * b, sine * a + cosine * b
    for i in range(3):
        values[i] = max(matrix[i, i], 0.0)
    for i in range(2):
        for j in range(2 - i):
            if values[j] < values[j + 1]:
                values[j], values[j + 1] = values[j + 1], values[j]
                for k in range(3):
                    vectors[k, j], vectors[k, j + 1] = vectors[k, j + 1], vectors[k, j]
    vectors[0, 2] = vectors[1, 0] * vectors[2, 1] - vectors[2, 0] * vectors[1, 1]
    vectors[1, 2] = vectors[2, 0] * vectors[0, 1] - vectors[0, 0] * vectors[2, 1]
    vectors[2, 2] = vectors[0, 0] * vectors[1, 1] - vectors[1, 0] * vectors[0, 1]


@compiled
def merge_pairs(rows, first, second, means, quats, scales, opacities, shares):  # type: ignore[no-untyped-def]
    """The Gaussians that pairs become.

    Args:
        rows: (N, ROW); first, second: (M,) integers, the pairs.
        means (M, 3), quats (M, 4) of length 1, scales (M, 3) standard deviations, opacities (M,): float64, output.
        shares: (M,) float64, output: of the mass, that of the first.
    """
    matrix, vectors, values = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for pair in range(first.size):
        one, two = rows[first[pair]], rows[second[pair]]
        shares[pair] = share_of_first(one, two)
        mix(one, two, shares[pair], means[pair], matrix)
        axes(matrix, values, vectors)
        _quaternion(vectors, quats[pair])
        for k in range(3):
            scales[pair, k] = np.sqrt(values[k])
        opacities[pair] = opacity_over(one, two, scales[pair, 0] * scales[pair, 1])


@compiled
def _quaternion(rotation, out):  # type: ignore[no-untyped-def]
    """The unit quaternion (4,), w first, of a rotation (3, 3)."""
    trace = rotation[0, 0] + rotation[1, 1] + rotation[2, 2]
    if trace > 0.0:
        root = 2.0 * np.sqrt(trace + 1.0)
        out[0] = 0.25 * root
        for k in range(3):
            u, v = (k + 1) % 3, (k + 2) % 3
            out[1 + k] = (rotation[v, u] - rotation[u, v]) / root
        return
    k = 0
    for i in range(1, 3):
        if rotation[i, i] > rotation[k, k]:
            k = i
    u, v = (k + 1) % 3, (k + 2) % 3
    root = 2.0 * np.sqrt(1.0 + rotation[k, k] - rotation[u, u] - rotation[v, v])
    out[0] = (rotation[v, u] - rotation[u, v]) / root
    out[1 + k] = 0.25 * root
    out[1 + u] = (rotation[u, k] + rotation[k, u]) / root
    out[1 + v] = (rotation[v, k] + rotation[k, v]) / root
