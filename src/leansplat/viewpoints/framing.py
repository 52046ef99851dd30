"""How much of a scene a made-up picture shows, and in how many pixels: nothing in a scene tells through which lens it
was photographed, nor how large its photos were.

In a place, pictures are square and wide. Photos are upright or lying, of phones or of wide lenses, and what they show
near their edges has to be shown, too; what they do not is little work. An object fills the picture from wherever it was
photographed, but for a fiftieth of it, beyond the edges. Bearings of harmonics tell the side well and hardly how far
away, and pictures from various distances would show its smallest Gaussians, which were fitted to pixels of one size, in
pixels of many.

Gaussians are drawn a little wider than they are, by about half a pixel. What was fitted to small photos is made of
thinner ones than it seems, and fewer and larger ones look like it only in pixels of the size that they were trained in.
So training sees an object in pictures of several sizes. Of places, whose Gaussians are larger than pixels, it gains
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays
from leansplat.cameras import Camera
from leansplat.near_plane import NEAR
from leansplat.viewpoints.candidates import Candidate, Kind
from leansplat.viewpoints.places import spread_out, weighted_quantile

FIELDS_OF_VIEW: Mapping[Kind, float] = {"place": math.radians(70), "object": math.radians(45)}
"""Across a picture: of a place wide, of an object that of a standard lens."""
_SIDES = (1.25, 0.625, 0.3)
"""Of pictures of an object, in units of the size asked for."""
_GOLDEN = (math.sqrt(5) - 1) / 2
_OBJECT = 0.98
"""Of a scene's opacity, that is in the picture; the rest are its ends, and strays around it."""
_MOST = 20_000
"""So many Gaussians say where an object ends; of larger scenes every so manyth is asked."""


def in_several_sizes(cameras: Mapping[str, Camera], but: Container[str] = ()) -> dict[str, Camera]:
    """Cameras around an object with pictures of three sizes, as many of each, also of every second or third camera.

    Args:
        cameras: by name, with pictures of the size asked for.
        but: names of those whose pictures stay as they are.
    """
    found = dict(cameras)
    for number, name in enumerate(name for name in cameras if name not in but):
        size, camera = _SIDES[int(len(_SIDES) * (number * _GOLDEN % 1))], cameras[name]
        found[name] = camera.resized(max(1, round(size * camera.width)), max(1, round(size * camera.height)))
    return found


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
