"""Paths of cameras for looking at a scene that came without photos.

Where a scene is, and how big, is read from its Gaussians by medians: scenes have far-away strays that a mean or a
bounding box would follow.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from leansplat.cameras import Camera, look_at
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians

Up = Literal["x", "y", "z", "minus-x", "minus-y", "minus-z"]

_FIELD_OF_VIEW = math.radians(50)
_ELEVATION = math.radians(20)
_SHARE_INSIDE = 0.9


def orbit(gaussians: Gaussians, count: int, *, up: Up = "minus-y", width: int = 800, height: int = 600) -> list[Camera]:
    """`count` cameras on a circle around the scene, 20 degrees above its middle, all looking at the middle.

    The circle is wide enough to have nine tenths of the Gaussians in view.

    Args:
        gaussians: the scene, at least one Gaussian.
        count: cameras, evenly spaced, at least 1.
        up: the world direction that points up; scenes from COLMAP usually have "minus-y", from nerfstudio "z".
        width, height: image size in pixels.

    Raises:
        InputError: the scene is empty, or a number is below 1.
    """
    if len(gaussians) == 0:
        raise InputError("the scene has no Gaussians to orbit; give --capture to render it from a capture's cameras")
    if min(count, width, height) < 1:
        raise InputError(f"an orbit of {count} views at {width}x{height} cannot be rendered; use 1 or more of each")
    centre, radius = _middle_and_radius(gaussians.world_means().detach())
    narrow = math.atan(math.tan(_FIELD_OF_VIEW / 2) * min(1.0, height / width))
    distance = radius / math.sin(narrow)
    vertical, first, second = _axes(up)
    cameras = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        around = math.cos(angle) * first + math.sin(angle) * second
        position = centre + distance * (math.cos(_ELEVATION) * around + math.sin(_ELEVATION) * vertical)
        cameras.append(look_at(position.tolist(), centre.tolist(), vertical.tolist(), _FIELD_OF_VIEW, width, height))
    return cameras


def _middle_and_radius(means: Tensor) -> tuple[Tensor, float]:
    """Median of the finite centres, and the radius around it that holds nine tenths of them."""
    means = means[means.isfinite().all(dim=1)]
    if len(means) == 0:
        raise InputError("no Gaussian of the scene has a finite centre; there is nothing to orbit")
    centre = means.median(dim=0).values
    distances = (means - centre).norm(dim=1).sort().values
    radius = float(distances[min(len(distances) - 1, int(_SHARE_INSIDE * len(distances)))])
    return centre, radius if radius > 0 else 1.0


def _axes(up: Up) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors: `up`, and two at right angles to it and to each other."""
    if up not in get_args(Up):
        raise InputError(f"up is {up!r}; it must be one of {', '.join(get_args(Up))}")
    axis = "xyz".index(up[-1])
    identity = torch.eye(3, dtype=torch.float64)
    sign = -1.0 if up.startswith("minus") else 1.0
    return sign * identity[axis], identity[(axis + 1) % 3], identity[(axis + 2) % 3]
