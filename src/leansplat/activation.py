"""From the numbers that a scene stores to those that files and renderers use, and back.

Opacities are stored as logits, standard deviations as logarithms, colours as spherical harmonics of degree 0 (Kerbl et
al. 2023). The way back is always finite: what a file rounded to 0 or 1 gets the nearest number that float32 can tell
from it. All functions take and return NumPy arrays of any shape and compute in float64.
"""

from __future__ import annotations

import numpy as np

LEAST_OPACITY = 2.0**-24
"""Nearer to 0 or 1 than this, an opacity counts as 0 or 1: the distance of the largest float32 below 1 from 1."""

LEAST_SCALE = 2.0**-126
"""A standard deviation of zero, as far as its logarithm can say: the smallest normal float32."""

_SH_C0 = 0.28209479177387814
"""1 / (2 sqrt(pi)), the spherical harmonic of degree 0."""

_LARGEST_SCALE = float(np.finfo(np.float32).max)


def opacity_of(logits: np.ndarray) -> np.ndarray:
    """Opacities in [0, 1]: sigmoid(logits)."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits.astype(np.float64)))


def logit_of(opacities: np.ndarray) -> np.ndarray:
    """Logits of opacities, which are first kept 2^-24 away from 0 and 1."""
    inside = np.clip(opacities.astype(np.float64), LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(inside / (1 - inside))


def color_of(sh0: np.ndarray) -> np.ndarray:
    """Colours without what depends on the direction: 0.5 + sh0 / (2 sqrt(pi)); usually in [0, 1]."""
    return 0.5 + _SH_C0 * sh0.astype(np.float64)


def sh0_of(colors: np.ndarray) -> np.ndarray:
    """The inverse of `color_of`."""
    return (colors.astype(np.float64) - 0.5) / _SH_C0


def scale_of(logarithms: np.ndarray) -> np.ndarray:
    """Standard deviations, kept within what float32 can hold without losing precision."""
    with np.errstate(over="ignore"):
        return np.clip(np.exp(logarithms.astype(np.float64)), LEAST_SCALE, _LARGEST_SCALE)


def log_of(scales: np.ndarray) -> np.ndarray:
    """Logarithms of standard deviations, where 0 counts as the smallest normal float32; NaN of negative ones."""
    with np.errstate(invalid="ignore"):
        return np.log(np.where(scales == 0, LEAST_SCALE, scales.astype(np.float64)))


def unit(quats: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4), w first, of length 1; those of length 0 become the identity."""
    quats = quats.astype(np.float64)
    length = np.linalg.norm(quats, axis=1, keepdims=True)
    return np.where(length == 0, (1.0, 0.0, 0.0, 0.0), quats / np.where(length == 0, 1, length))
