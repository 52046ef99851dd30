"""How much of a scene a made-up picture shows, since nothing in a scene tells through which lens it was photographed.

In a place, pictures are square and wide. Photos are upright or lying, of phones or of wide lenses, and what they show
near their edges has to be shown, too; what they do not is little work. An object fills the picture from wherever it was
photographed, but for a fiftieth of it, beyond the edges. Bearings of harmonics tell the side well and hardly how far
away, and pictures from various distances would show its smallest Gaussians, which were fitted to pixels of one size, in
pixels of many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays
from leansplat.near_plane import NEAR
from leansplat.viewpoints.candidates import Candidate, Kind
from leansplat.viewpoints.places import spread_out, weighted_quantile

FIELDS_OF_VIEW: Mapping[Kind, float] = {"place": math.radians(70), "object": math.radians(45)}
"""Across a picture: of a place wide, of an object that of a standard lens."""
_OBJECT = 0.98
"""Of a scene's opacity, that is in the picture; the rest are its ends, and strays around it."""
_MOST = 20_000
"""So many Gaussians say where an object ends; of larger scenes every so manyth is asked."""


def framed(
    views: Sequence[Candidate], scene: GaussianArrays, half_angle: float, most: int, *, near: float = NEAR
) -> list[Candidate]:
    """The views of an object, moved along the line from its middle to where it fills the picture, and turned to it.

    Many are then the same, or nearly: of those the one with the best score is kept.

    Args:
        views: their scores and what they show stay those of where they were found.
        scene: at least one Gaussian, all finite.
        half_angle: from the middle of a picture to its nearest edge, in radians.
        most: how many to keep, as different as so many can be.
        near: the near plane of the cameras.
    """
    scene = scene[:: -(-len(scene) // _MOST)]
    weights = opacity_of(scene.opacities)
    means = scene.means.astype(np.float64)
    edges = ((1 - _OBJECT) / 2, (1 + _OBJECT) / 2)
    ends = np.array([[weighted_quantile(means[:, axis], weights, edge) for edge in edges] for axis in range(3)])
    middle = ends.mean(axis=1)
    offsets = means - middle
    slope = math.tan(half_angle)
    found: dict[tuple[float, ...], Candidate] = {}
    for view in sorted(views, key=lambda view: -view.score):
        outwards = view.place - middle
        length = float(np.linalg.norm(outwards))
        outwards = outwards / length if length > 0 else -view.forward
        towards = offsets @ outwards
        aside = np.linalg.norm(offsets - towards[:, None] * outwards, axis=1)
        distance = weighted_quantile(towards + np.maximum(aside / slope, 2 * near), weights, _OBJECT)
        moved = replace(view, place=middle + distance * outwards, forward=-outwards, distance=distance)
        found.setdefault(tuple(outwards), moved)
    kept = spread_out(np.array(list(found)), most)
    different = list(found.values())
    return [different[index] for index in kept]
