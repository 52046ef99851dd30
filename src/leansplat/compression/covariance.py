"""Covariances as six numbers: from rotation and scales, normalised by their trace, and back.

Gaussians of one shape have one normalised covariance, whatever their size and however their axes are named or signed.
Rotations and scales have neither property, which is why shapes are clustered as covariances (Niedermayr et al. 2024,
section 4.1). Means of normalised covariances are normalised covariances again.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = (0, 0, 0, 1, 1, 2)
COLUMNS = (0, 1, 2, 1, 2, 2)
"""Places of the six numbers in the matrix: xx, xy, xz, yy, yz, zz."""

_THINNEST = 1e-6  # of the size; a variance below the square of it is rounding


def log_size(scales: Tensor) -> Tensor:
    """(N,) natural logarithm of the root of the covariance's trace, from log scales (N, 3)."""
    return 0.5 * (2 * scales).logsumexp(dim=1)


def normalised_covariance(quats: Tensor, scales: Tensor) -> Tensor:
    """(N, 6) covariances divided by their trace, from quaternions (N, 4) of any length and log scales (N, 3)."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    variances = (2 * (scales - log_size(scales)[:, None])).exp().unbind(dim=1)
    entries = [
        sum((rows[i][k] * rows[j][k] * variances[k] for k in range(3)), torch.zeros_like(w))
        for i, j in zip(ROWS, COLUMNS, strict=True)
    ]
    return torch.stack(entries, dim=1)


def rotation_and_scales(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Quaternions (N, 4) of length 1 and log scales (N, 3) of covariances (N, 6); the largest axis comes last.

    Standard deviations are at least 1e-6 of the root of the trace.
    """
    matrices = torch.zeros(len(covariances), 3, 3, dtype=torch.float64)
    matrices[:, ROWS, COLUMNS] = covariances.double()
    matrices[:, COLUMNS, ROWS] = covariances.double()
    variances, axes = torch.linalg.eigh(matrices)
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    floor = _THINNEST**2 * variances.sum(dim=1, keepdim=True)
    return _quats(axes).float(), (0.5 * torch.maximum(variances, floor).log()).float()


def _quats(rotations: Tensor) -> Tensor:
    """(N, 4) unit quaternions w, x, y, z of rotation matrices (N, 3, 3).

    The outer product of a quaternion with itself is linear in its matrix (Bar-Itzhack 2000); the longest of the rows of
    that product, normalised, is the quaternion, without the cancellation of any fixed choice.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(dim=1) for row in rotations.unbind(dim=1))
    one = torch.ones_like(xx)
    products = [
        [one + xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, one + xx - yy - zz, yx + xy, xz + zx],
        [xz - zx, yx + xy, one - xx + yy - zz, zy + yz],
        [yx - xy, xz + zx, zy + yz, one - xx - yy + zz],
    ]
    matrix = torch.stack([torch.stack(row, dim=1) for row in products], dim=1)
    longest = matrix.diagonal(dim1=1, dim2=2).argmax(dim=1)
    return torch.nn.functional.normalize(matrix[torch.arange(len(matrix)), longest], dim=1)
