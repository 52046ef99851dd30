"""Which Gaussians a file of a fixed range holds: all, unless strays cost the others their precision.

A format that has one range for the whole scene has coarser steps the farther the farthest Gaussian is. One that matters
has to be in the file whatever it costs; strays (`leansplat.strays`) have not, so the outermost of them are left out, no
more than it takes. Nothing is left out where nothing is gained.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from leansplat.arrays import GaussianArrays
from leansplat.formats.visibility import NEGLIGIBLE, weights, widths
from leansplat.ordering import morton_order
from leansplat.strays import distances

_LARGEST_ERROR = 1 / 16
"""Of a Gaussian's width, by which rounding may move it before strays are left out."""


def file_order(gaussians: GaussianArrays, errors: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(M,) int64, M <= N: the Gaussians that a file holds, in Morton order.

    Args:
        gaussians: finite.
        errors: how far rounding may move each Gaussian, (n,), when centres (n, 3) are to be held; 0 where the range
            does not cost anything, infinite where they cannot be held.
    """
    kept = held(gaussians, errors)
    if kept.all():
        return morton_order(gaussians.means)
    rows = np.flatnonzero(kept)
    return rows[morton_order(gaussians.means[rows])]


def held(gaussians: GaussianArrays, errors: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(N,) bool: which Gaussians a file holds; arguments as for `file_order`."""
    everything = np.ones(len(gaussians), bool)
    means = gaussians.means
    if len(means) == 0 or not (errors(means) > 0).any():
        return everything
    limits = _LARGEST_ERROR * widths(gaussians.scales)
    shares = weights(gaussians)

    def harm(kept: np.ndarray) -> float:
        moved = errors(means[kept])
        return np.inf if np.isinf(moved).any() else float(shares[kept][moved > limits[kept]].sum())

    if harm(everything) <= NEGLIGIBLE:
        return everything
    measured = distances(gaussians)
    outermost = np.flatnonzero(measured.strays())
    shares[outermost] = 0
    outermost = outermost[np.argsort(-measured.of[outermost], kind="stable")]

    def without(count: int) -> np.ndarray:
        kept = everything.copy()
        kept[outermost[:count]] = False
        return kept

    worst, least = harm(everything), harm(without(len(outermost)))
    if not worst - least > NEGLIGIBLE:
        return everything
    low, high = 1, len(outermost)  # the fewest that do, since harm only falls as more go
    while low < high:
        middle = (low + high) // 2
        if harm(without(middle)) <= max(least, NEGLIGIBLE):
            high = middle
        else:
            low = middle + 1
    return without(high)
