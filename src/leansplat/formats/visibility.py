"""What shows of a Gaussian: how wide it looks, and how much of the picture it is. Rounding is judged by both."""

from __future__ import annotations

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays

NEGLIGIBLE = 1e-3
"""Share of the weight of a scene below which harm is not worth a word, nor bytes."""

_LARGEST_AREA = np.log(10)
_LARGEST_LOG = 700.0


def widths(scales: np.ndarray) -> np.ndarray:
    """(n,) float64: the middle one of each row of standard deviations, from their logarithms (n, 3).

    Seen from anywhere a Gaussian is at least about that wide: across a needle it is the thickness, and a disc that is
    moved by less than its radius still covers its place.
    """
    return np.exp(np.clip(np.sort(scales, axis=1)[:, 1].astype(np.float64), -_LARGEST_LOG, _LARGEST_LOG))


def weights(gaussians: GaussianArrays, rows: np.ndarray | None = None) -> np.ndarray:
    """(N,) float64, shares of what shows: opacity times the product of the two largest standard deviations.

    Or (n,), of some rows, which are then all there is to share. That product counts as at most ten times its median, so
    that a sky does not outweigh what stands before it. All zero where nothing shows.
    """
    scales, opacities = gaussians.scales, gaussians.opacities
    if rows is not None:
        scales, opacities = scales[rows], opacities[rows]
    if len(scales) == 0:
        return np.zeros(0)
    scales = scales.astype(np.float64)
    areas = scales.sum(axis=1) - scales.min(axis=1)
    shown = opacity_of(opacities) * np.exp(np.minimum(areas - np.median(areas), _LARGEST_AREA))
    total = shown.sum()
    return shown / total if total > 0 else shown
