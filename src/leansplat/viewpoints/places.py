"""Where cameras stood: places around a scene, drawn as often as its harmonics make them likely.

A cloud of places is weighed by how well the bearings from all around meet there, the likely ones are drawn again with a
little spread, and again with less (sequential Monte Carlo). All places that were ever tried and are likely are kept, as
far apart as leaves the wanted number, so that the end is spread out where cameras were, not heaped up at the likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays
from leansplat.near_plane import near_plane_of_size
from leansplat.viewpoints.trained_directions import TrainedDirections

_FIRST, _LATER = 4096, 1024
_SHARPNESS = (2.0, 4.0, 6.0, 6.0, 6.0)
"""How much likelier a place is by one unit of evidence, in each round; the logarithm of it."""
_SPREAD = (0.35, 0.25, 0.18, 0.12, 0.12)
"""How far places move in each round, in the scene's reach."""
_LIKELY = 0.6
"""Places this much less likely than the likeliest are still places of cameras."""
_HALVINGS = 12
_MOST = 1 << 18
"""So many Gaussians say where a scene is; of larger scenes every so manyth is asked."""


@dataclass(frozen=True)
class Reach:
    """Where a scene is and how large.

    Args:
        middle: (3,) median of the centres; radius: median distance from it; both weighted by opacity. No radius is less
            than near: from nearer nothing is seen.
        near: the near plane of cameras for it.
    """

    middle: np.ndarray
    radius: float
    near: float


def reach_of(scene: GaussianArrays) -> Reach:
    """Measure a scene of at least one Gaussian, all finite."""
    scene = scene[:: -(-len(scene) // _MOST)]
    weights = opacity_of(scene.opacities)
    means = scene.means.astype(np.float64)
    middle = np.array([weighted_quantile(means[:, axis], weights, 0.5) for axis in range(3)])
    radius = weighted_quantile(np.linalg.norm(means - middle, axis=1), weights, 0.5)
    sizes = np.exp(scene.scales.max(axis=1).astype(np.float64))
    near = near_plane_of_size(2 * max(radius, weighted_quantile(sizes, weights, 0.5)))
    return Reach(middle, max(radius, near), near)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest of `values` (N,) that has `share` of the weight (N,) at or below it."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order[min(np.searchsorted(total, share * total[-1]), len(order) - 1)]])


def likely_places(
    scene: GaussianArrays, directions: TrainedDirections, reach: Reach, count: int, random: np.random.Generator
) -> np.ndarray:
    """About `count` places (P, 3), far from each other."""
    places = _anywhere(scene, reach, random)
    tried, likelihood = [places], [directions.at_places(places, reach.radius / 2)]
    for sharpness, spread in zip(_SHARPNESS, _SPREAD, strict=True):
        weights = np.exp(sharpness * (likelihood[-1] - likelihood[-1].max()))
        steps = (np.arange(_LATER) + random.random()) / _LATER
        chosen = np.searchsorted(np.cumsum(weights / weights.sum()), steps).clip(max=len(weights) - 1)
        places = tried[-1][chosen] + random.normal(size=(_LATER, 3)) * spread * reach.radius
        tried.append(places)
        likelihood.append(directions.at_places(places, reach.radius / 2))
    every, likely = np.concatenate(tried), np.concatenate(likelihood)
    likely -= np.quantile(likely, 0.999)
    kept = np.flatnonzero(likely > -_LIKELY)
    kept = kept[np.argsort(-likely[kept], kind="stable")]
    return every[kept[spread_out(every[kept], count)]]


def _anywhere(scene: GaussianArrays, reach: Reach, random: np.random.Generator) -> np.ndarray:
    """(P, 3) places to begin with: half around the scene's middle, half at various distances from Gaussians."""
    beside = scene.means[random.integers(len(scene), size=_FIRST // 2)].astype(np.float64)
    away = np.exp(0.3 + 0.7 * random.normal(size=(_FIRST // 2, 1))) * random.normal(size=beside.shape) / np.sqrt(3)
    around = reach.middle + 1.5 * reach.radius * random.normal(size=beside.shape)
    return np.concatenate([beside + reach.radius * away, around])


def spread_out(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most `count` of `points` (P, 3), earlier ones first, none nearer to another than one distance."""
    if len(points) <= count:
        return np.arange(len(points))
    low, high = 0.0, float(np.linalg.norm(np.ptp(points, axis=0))) + 1e-12
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if len(_apart(points, middle)) > count else (low, middle)
    return _apart(points, high)


def _apart(points: np.ndarray, distance: float) -> np.ndarray:
    """Indices of points (P, 3) taken in order, but for those nearer than `distance` to one that was taken."""
    free = np.ones(len(points), bool)
    chosen = []
    for index in range(len(points)):
        if free[index]:
            chosen.append(index)
            free &= ((points - points[index]) ** 2).sum(axis=1) >= distance**2
    return np.array(chosen)
