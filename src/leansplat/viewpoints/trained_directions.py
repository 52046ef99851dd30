"""From which directions a scene was photographed, as far as its harmonics tell.

Harmonics of degree 1 and up start at zero and are fitted to colours in the directions of the cameras only, so the
coefficients of a Gaussian are sums of the harmonics' values in those directions. Gaussians of one neighbourhood were
seen from the same cameras: the directions lie in the space that all their coefficients span. Where a camera stood is
then read like the bearing of a transmitter from an array of antennas, by Capon's minimum variance (1969), and cameras
are where the bearings from many neighbourhoods meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays
from leansplat.ordering import morton_order
from leansplat.viewpoints.bearing_kernel import power_at_places, power_of_rays

_FAINT = 0.05
"""Less opaque Gaussians shape few pixels, and their harmonics are mostly noise."""
_TOGETHER = 64
"""Gaussians in a neighbourhood: 192 vectors of coefficients for at most 15 unknowns."""
_MOST = 1 << 18
"""So many Gaussians say where cameras were; of larger scenes every so manyth is asked."""
_NOISE = 0.1
"""Power of what is noise in coefficients, as a share of their mean power."""
_WEAK = 0.02
"""Coefficients of this length count half: a Gaussian that hardly changes with the direction has little to tell."""
_TRIED = 300
"""Directions among which the likeliest of each neighbourhood is found: 12 degrees apart, where harmonics of degree 3
change over 60."""


@dataclass(frozen=True)
class TrainedDirections:
    """Neighbourhoods of a scene, and what their harmonics tell.

    Args:
        centres: (V, 3) float64, medians of their Gaussians' centres.
        precision: (V, K, K) float64 inverse covariance of the coefficients of degree 1 and up, K of 3, 8 or 15; K is 0
            where the scene has none or they are all zero.
        best: (V,) logarithm of Capon's power in the likeliest direction.
        tree: of the centres.
    """

    centres: np.ndarray
    precision: np.ndarray
    best: np.ndarray
    tree: cKDTree

    @property
    def known(self) -> bool:
        """Whether the scene has harmonics to tell by."""
        return self.precision.shape[1] > 0

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """(P,) int64 neighbourhood that each of `points` (P, 3) belongs to."""
        return np.asarray(self.tree.query(points)[1], dtype=np.int64)

    def share_of(self, means: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(V,) which share of each neighbourhood is chosen, (N,) bool of a scene with centres (N, 3)."""
        step = -(-len(means) // _MOST)
        neighbourhoods = self.nearest(means[::step])
        every = np.bincount(neighbourhoods, minlength=len(self.centres))
        return np.bincount(neighbourhoods, chosen[::step], len(self.centres)) / np.maximum(every, 1)

    def along_rays(self, neighbourhoods: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """(P,) how likely it is that neighbourhoods (P,) were photographed along unit vectors (P, 3) away from the eye.

        It is the logarithm of Capon's power relative to that in the likeliest direction: 0 or less. Where nothing is
        known, all are 0.
        """
        found = np.zeros(len(neighbourhoods))
        if self.known and len(found):
            power_of_rays(self.precision, neighbourhoods, np.ascontiguousarray(rays, np.float64), found)
            found -= self.best[neighbourhoods]
        return found

    def at_places(self, places: np.ndarray, softening: float) -> np.ndarray:
        """(P,) mean of `along_rays` over what is around each of `places` (P, 3), as if nothing hid anything else.

        Each neighbourhood counts by the inverse square of its distance, as large as it looks; those nearer than
        `softening` by that.
        """
        found = np.zeros(len(places))
        if self.known:
            places = np.ascontiguousarray(places, np.float64)
            power_at_places(self.precision, self.centres, self.best, places, softening, found)
        return found


def trained_directions(scene: GaussianArrays) -> TrainedDirections:
    """Read the harmonics of a scene of at least one Gaussian, all finite; positions relative to its origin."""
    opaque = np.flatnonzero(opacity_of(scene.opacities) > _FAINT)
    rows = opaque if len(opaque) else np.arange(len(scene))
    rows = rows[:: -(-len(rows) // _MOST)]
    rows = rows[morton_order(_without_outskirts(scene.means[rows]))]
    groups = np.array_split(rows, max(1, len(rows) // _TOGETHER))
    centres = np.stack([np.median(scene.means[group], axis=0) for group in groups]).astype(np.float64)
    count = scene.shN.shape[1]
    covariance = np.zeros((len(groups), count, count))
    for index, group in enumerate(groups):
        vectors = scene.shN[group].astype(np.float64)
        vectors /= np.sqrt((vectors**2).sum(axis=(1, 2), keepdims=True)) + _WEAK
        covariance[index] = np.einsum("nic,njc->ij", vectors, vectors)
    power = np.trace(covariance, axis1=1, axis2=2) / max(count, 1)
    best = np.zeros(len(groups))
    if not (power > 0).any():
        return TrainedDirections(centres, np.zeros((len(groups), 0, 0)), best, cKDTree(centres))
    # Where coefficients are all zero, light came from everywhere alike as far as anybody knows.
    covariance[power == 0] = np.eye(count)
    power[power == 0] = 1
    precision = np.linalg.inv(covariance / power[:, None, None] + _NOISE * np.eye(count))
    unbiased = TrainedDirections(centres, precision, best, cKDTree(centres))
    everyone = np.arange(len(groups))
    tried = [unbiased.along_rays(everyone, np.tile(ray, (len(groups), 1))) for ray in evenly_spread(_TRIED)]
    return TrainedDirections(centres, precision, np.max(tried, axis=0), unbiased.tree)


def evenly_spread(count: int) -> np.ndarray:
    """(count, 3) unit vectors, spread over the sphere by the golden angle."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = math.pi * (1 + math.sqrt(5)) * (np.arange(count) + 0.5)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _without_outskirts(means: np.ndarray) -> np.ndarray:
    """Centres for ordering: those far out moved in, or the grid of the order would be too coarse for the others."""
    low, high = np.percentile(means, [2, 98], axis=0)
    return np.clip(means, low - (high - low), high + (high - low))
