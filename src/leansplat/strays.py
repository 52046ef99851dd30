"""Strays: Gaussians so far out that a scene without them looks the same.

Trainers leave some at 10^6 or 5 10^8, where no photo shows them. A far sky, though, and a second place that is worth as
much as the first are far too, so distance alone does not make a stray: all that is as far as one or farther must also
weigh next to nothing, both in opacity and in the picture from the middle of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import AnyScene

FAR = 100.0
"""A stray is at least this many extents of the scene from its middle."""

_SHARE_OF_EXTENT = 0.9
_SHARE_OF_OPACITY = 1e-2
_SHARE_OF_PICTURE = 1e-3
_GAP = 2.0


@dataclass(frozen=True)
class Distances:
    """How far the Gaussians of a scene are, and what they weigh.

    Args:
        of: (N,) float64, distances from the middle, which is the median of the centres weighted by opacity on each
            axis; infinite or NaN for those that are not finite.
        extent: the distance from the middle within which nine tenths of the opacity lie, sizes included.
        opacity: (N,) float64, shares of the summed opacity.
        picture: (N,) float64, shares of the picture from the middle: opacity times the square of the angle that a
            Gaussian spans (the product of its two largest standard deviations over the squared distance, at least the
            extent; at most 1).
    """

    of: np.ndarray
    extent: float
    opacity: np.ndarray
    picture: np.ndarray

    def strays(self) -> np.ndarray:
        """(N,) bool: those beyond a radius of at least `FAR` extents, if all of them together weigh next to nothing.

        That is less than a hundredth of the opacity and a thousandth of the picture. The radius is the least that does,
        but never cuts through a place that matters: what is farther is at least twice as far as what is not.
        """
        found = np.zeros(len(self.of), bool)
        far = np.flatnonzero((self.of > FAR * self.extent) & np.isfinite(self.of))
        if len(far) == 0 or not (self.opacity > 0).any():
            return found
        inwards = far[np.argsort(-self.of[far], kind="stable")]
        light = (self.opacity[inwards].cumsum() < _SHARE_OF_OPACITY) & (
            self.picture[inwards].cumsum() < _SHARE_OF_PICTURE
        )
        ends = np.flatnonzero(light & (self.of[inwards] >= _GAP * np.append(self.of[inwards[1:]], 0)))
        found[inwards[: ends[-1] + 1 if len(ends) else 0]] = True
        return found


def distances(gaussians: AnyScene) -> Distances:
    """Measure a scene, in float64. What is not finite weighs nothing."""
    gaussians = gaussians.arrays()
    means, scales = gaussians.means.astype(np.float64), gaussians.scales.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(means).all(axis=1) & (scales < np.inf).all(axis=1)
        opacity = np.nan_to_num(np.where(finite, opacity_of(gaussians.opacities), 0))
        middle = np.array([_quantile(means[:, axis], opacity, 0.5) for axis in range(3)])
        of = np.linalg.norm(means - middle, axis=1)
        sizes = np.exp(np.sort(scales, axis=1))
        extent = float(_quantile(of + sizes[:, 2], opacity, _SHARE_OF_EXTENT))
        nearest = np.maximum(of, max(extent, float(np.finfo(np.float64).tiny)))
        angles = np.minimum(sizes[:, 1] / nearest, 1) * np.minimum(sizes[:, 2] / nearest, 1)
        picture = np.nan_to_num(opacity * angles)
    return Distances(of, extent, _shares(opacity), _shares(picture))


def strays(gaussians: AnyScene) -> np.ndarray:
    """(N,) bool: which Gaussians are strays, see `Distances`."""
    return distances(gaussians).strays()


def describe(gaussians: AnyScene, rows: np.ndarray) -> str:
    """How many of a scene's Gaussians `rows` (N,) bool are, how far, and what they weigh; in a few words."""
    found = distances(gaussians)
    count = int(rows.sum())
    return (
        f"{count:,} of {len(gaussians):,} Gaussians, {'up to ' if count > 1 else ''}{float(found.of[rows].max()):.3g} "
        f"from the middle of a scene of radius {found.extent:.3g}, with {_percent(found.opacity[rows])} of its opacity "
        f"and {_percent(found.picture[rows])} of the picture from there"
    )


def _percent(shares: np.ndarray) -> str:
    share = 100 * float(shares.sum())
    return f"{share:.2g} %" if share >= 0.01 else "less than 0.01 %"


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The least value that, with all below it, has this share of the weight; 0 where nothing weighs anything."""
    rows = np.flatnonzero(weights > 0)
    if len(rows) == 0:
        return 0.0
    ordered = rows[np.argsort(values[rows])]
    cumulated = weights[ordered].cumsum()
    return float(values[ordered[np.searchsorted(cumulated, share * cumulated[-1])]])


def _shares(weights: np.ndarray) -> np.ndarray:
    total = weights.sum()
    return weights / total if total > 0 else weights
