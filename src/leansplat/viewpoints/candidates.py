"""Which way to look from a place, and how likely a photo was taken like that.

People point a camera at what they want to see: at much of it, and from near enough. So a view is worth the
neighbourhoods that it shows, each by how likely it was photographed from there, and less the farther they are. The same
measure keeps away from bad places: behind a wall or among floaters few neighbourhoods show, from outside a room they
were not photographed, and blurred backgrounds are few. An object that stands alone is seen from where it fills the
picture, and never from its own inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from leansplat.viewpoints.panorama import RAYS, SOLID_ANGLES, Surroundings
from leansplat.viewpoints.trained_directions import evenly_spread

Kind = Literal["object", "place"]
"""An object is seen from outside with nothing around it; all else is a place."""

HALF_ANGLE = math.radians(27)
"""Of the cone that stands for a picture 60 degrees wide and 47 high, whichever way up."""
_DIRECTIONS = evenly_spread(400)
_CONES = math.cos(HALF_ANGLE) < _DIRECTIONS @ RAYS.T
_WHOLE = _CONES @ SOLID_ANGLES
_SOFTNESS = 0.5
"""A neighbourhood counts 1/e where Capon's power is lower by so much, as a logarithm."""
_ANOTHER = math.cos(math.radians(35))
"""Two directions from one place are nearer than this only if one of them is left out."""
_NEARNESS = 0.5
"""Power of the distance that worth is divided by in a place; an object is framed best where it is shown most."""
_ALONE = 0.6
"""Where at half of the likely places no picture has more than this of it covered, the scene is an object. Pictures of
a place are full, also where its photos were all taken from one side."""
_ENCLOSED = 0.5
"""Where this much of all directions is covered, one is not outside of an object."""
_WORSE = 1.0
"""A second direction from a place is worth looking into unless its score is lower by so much."""
_FROM_ONE_PLACE = 3


@dataclass(frozen=True)
class Candidate:
    """A view that may have been taken.

    Args:
        place: (3,) relative to the scene's origin; forward: (3,) unit vector.
        score: logarithm of what the view is worth.
        distance: median distance to what it shows.
        neighbourhoods: (M,) int64, what it shows; shares: (M,) of the picture.
        trust: (M,) in [0, 1], how likely each was photographed from here; 0 for what is not to be seen.
    """

    place: np.ndarray
    forward: np.ndarray
    score: float
    distance: float
    neighbourhoods: np.ndarray
    shares: np.ndarray
    trust: np.ndarray


def candidates_from(
    places: Sequence[np.ndarray], surroundings: Sequence[Surroundings], wanted: np.ndarray | None = None
) -> tuple[list[Candidate], Kind]:
    """The best views from places (3,), at most three from each, and whether they show an object or a place.

    Args:
        wanted: (V,) in [0, 1] how much each neighbourhood is to be seen at all; all are, by default.
    """
    covered = np.array([SOLID_ANGLES[seen.neighbourhood >= 0].sum() for seen in surroundings])
    fullest = [float(((_CONES @ (SOLID_ANGLES * (seen.neighbourhood >= 0))) / _WHOLE).max()) for seen in surroundings]
    kind: Kind = "object" if np.median(fullest) < _ALONE else "place"
    nearness, most = (0.0, _ENCLOSED) if kind == "object" else (_NEARNESS, 1.0)
    found: list[Candidate] = []
    for place, seen, share in zip(places, surroundings, covered, strict=True):
        if share <= most:
            found.extend(candidates_at(place, seen, nearness, wanted))
    return found, kind


def candidates_at(
    place: np.ndarray, seen: Surroundings, nearness: float, wanted: np.ndarray | None = None
) -> list[Candidate]:
    """The best views from a place, at most three; none where nothing is seen, or nothing that is `wanted` (V,)."""
    met = seen.neighbourhood >= 0
    if not met.any():
        return []
    shown, inverse = np.unique(seen.neighbourhood[met], return_inverse=True)
    shares = np.bincount(inverse, SOLID_ANGLES[met])
    likelihood = np.bincount(inverse, SOLID_ANGLES[met] * seen.likelihood[met]) / shares
    sums = np.stack([np.bincount(inverse, SOLID_ANGLES[met] * RAYS[met, axis]) for axis in range(3)], axis=1)
    middles = sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-12)
    trust = np.exp(likelihood / _SOFTNESS)
    if wanted is not None:
        trust *= wanted[shown]
    inside = math.cos(HALF_ANGLE) < _DIRECTIONS @ middles.T
    worth = inside @ trust
    distances = np.array([_median(seen.distance[cone & met]) for cone in _CONES])
    scores = np.full(len(worth), -np.inf)
    some = (worth > 0) & np.isfinite(distances)
    scores[some] = np.log(worth[some]) - nearness * np.log(distances[some])
    found: list[Candidate] = []
    for index in np.argsort(-scores, kind="stable"):
        if len(found) == _FROM_ONE_PLACE or not scores[index] > scores.max() - _WORSE:
            break
        if all(float(_DIRECTIONS[index] @ other.forward) < _ANOTHER for other in found):
            rows = inside[index]
            found.append(
                Candidate(
                    place, _DIRECTIONS[index], float(scores[index]), float(distances[index]),
                    shown[rows], shares[rows] / _WHOLE[index], trust[rows],
                )
            )  # fmt: skip
    return found


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.inf
