"""Colours of linear light turned into sRGB, in which photos are and scenes of 3DGS are trained.

A Gaussian has a colour in each direction, 0.5 + its spherical harmonics and at least 0. The colours in directions all
around are encoded as sRGB (IEC 61966-2-1) and become spherical harmonics of the same degree again, the nearest in the
mean square; at degree 0 that is exact.
"""

from __future__ import annotations

import numpy as np

_POLAR, _AROUND = 8, 16
"""Directions: Gaussian quadrature in cos(polar angle) by even steps around, exact for products of two of degree 3."""

_AT_ONCE = 1 << 12
"""Gaussians converted at a time, which bounds the memory for their colours in all directions."""


def to_srgb(sh0: np.ndarray, shN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients (N, 1, 3) and (N, K - 1, 3) float32 that give in sRGB what these give in linear light."""
    heights, weights = np.polynomial.legendre.leggauss(_POLAR)
    angles = 2 * np.pi * np.arange(_AROUND) / _AROUND
    z, angle = (each.ravel() for each in np.meshgrid(heights, angles, indexing="ij"))
    across = np.sqrt(1 - z * z)
    basis = _basis(across * np.cos(angle), across * np.sin(angle), z)[:, : 1 + shN.shape[1]]
    back = basis * np.repeat(weights, _AROUND)[:, None] * (2 * np.pi / _AROUND)
    converted = np.concatenate([sh0, shN], axis=1)
    for start in range(0, len(converted), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        light = np.einsum("dk,nkc->ndc", basis, converted[part].astype(np.float64)) + 0.5
        colors = _encoded(np.maximum(light, 0)) - 0.5
        converted[part] = np.einsum("dk,ndc->nkc", back, colors)
    return converted[:, :1], converted[:, 1:]


def _encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _basis(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(D, 16) real spherical harmonics of degree 0 to 3 in directions (D,), in the order and with the signs of 3DGS."""
    xx, yy, zz = x * x, y * y, z * z
    columns = (
        (1 / 4, np.ones_like(x)),
        (3 / 4, -y),
        (3 / 4, z),
        (3 / 4, -x),
        (15 / 4, x * y),
        (15 / 4, -y * z),
        (5 / 16, 3 * zz - 1),
        (15 / 4, -x * z),
        (15 / 16, xx - yy),
        (35 / 32, -y * (3 * xx - yy)),
        (105 / 4, x * y * z),
        (21 / 32, -y * (5 * zz - 1)),
        (7 / 16, z * (5 * zz - 3)),
        (21 / 32, -x * (5 * zz - 1)),
        (105 / 16, z * (xx - yy)),
        (35 / 32, -x * (xx - 3 * yy)),
    )
    return np.stack([np.sqrt(square / np.pi) * polynomial for square, polynomial in columns], axis=1)
