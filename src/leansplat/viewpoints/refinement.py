"""`refined`: a view moved to where all that it shows was most likely photographed from.

Places are found as if nothing hid anything, so they are near where cameras stood and no more. A small picture tells
what is seen from a view in truth, and how likely each part was photographed along the ray that shows it. Where a real
camera is moved away, by a seventh of the extent of all cameras already, that falls: for the picture as a whole, and
most for its least likely parts. So a view climbs: small steps at random, each kept if it helps, longer after one that
did and shorter after one that did not (a (1+1) evolution strategy, Rechenberg 1973).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leansplat.viewpoints.candidates import Candidate
from leansplat.viewpoints.panorama import Surroundings, Surveyor

_TRIES = 15
_FIRST, _SHORTEST, _LONGEST = 0.25, 0.03, 0.3
"""Lengths of steps: of the place in distances to what is seen, of the direction in radians."""
_LONGER, _SHORTER = 1.5, 0.9
_LEAST = -3.0
"""No ray counts as less likely than this, as a logarithm, or one would outweigh many."""
_NOTHING = -1.5
"""What a ray counts that meets nothing: less than most that were photographed."""
_DOUBTFUL_SHARE = 0.1
_DOUBTFUL_WEIGHT = 0.5
"""What the least likely tenth of the picture counts, next to the mean."""
_VARIETY = 0.25
"""What it counts to show e times as many neighbourhoods. Otherwise views would go up to a wall that is sure."""


def refined(view: Candidate, surveyor: Surveyor, random: np.random.Generator) -> Candidate:
    """The view from where it climbed to; its score and what it shows are those that it was chosen by."""
    place, forward, step = view.place, view.forward, _FIRST
    best = evidence(surveyor.ahead(place, facing(forward)))
    for _ in range(_TRIES):
        moved = place + random.normal(size=3) * (step * view.distance / np.sqrt(3))
        turned = forward + random.normal(size=3) * (step / np.sqrt(3))
        turned /= np.linalg.norm(turned)
        found = evidence(surveyor.ahead(moved, facing(turned)))
        if found > best:
            best, place, forward, step = found, moved, turned, min(step * _LONGER, _LONGEST)
        else:
            step = max(step * _SHORTER, _SHORTEST)
    return replace(view, place=place, forward=forward)


def evidence(seen: Surroundings) -> float:
    """How likely a picture was taken like that, as a logarithm but for a constant; minus infinity where it is empty."""
    met = seen.neighbourhood >= 0
    if not met.any():
        return -np.inf
    likelihood = np.where(met, np.maximum(seen.likelihood, _LEAST), _NOTHING)
    doubtful = float(np.quantile(likelihood, _DOUBTFUL_SHARE))
    variety = np.log(len(np.unique(seen.neighbourhood[met])))
    return float(likelihood.mean() + _DOUBTFUL_WEIGHT * doubtful + _VARIETY * variety)


def facing(forward: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from the world to the axes of a camera that looks along the unit vector `forward`, rolled anyhow.

    How it is rolled moves only the corners of a small picture.
    """
    across = np.cross(np.eye(3)[np.abs(forward).argmin()], forward)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(forward, across), forward])
