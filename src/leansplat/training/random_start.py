"""Random points to start from, where a capture has none: a box where the cameras look, and their own view elsewhere.

Cameras around an object agree on a point, and a box there is the best start. Where they walk through a place, look
outwards or all one way, the point that is nearest to their axes means nothing; it may lie right beside them, where a
box would be in no picture. So the box is looked at from every camera, and each that does not see it gets points of its
own, spread over its picture and over all depths that there may be.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import Points
from leansplat.captures.common_point import common_point
from leansplat.training.coverage import share_covered

_COVERED = 0.5
"""A camera sees the box when it is in this share of the picture."""
_PROBES = 10_000
_FURTHEST = 5
"""Depths that points are drawn at end at so many scene extents."""


def random_start(cameras: Sequence[Camera], extent: float, count: int, generator: torch.Generator) -> Points:
    """`count` grey points, in `scene_box` and, for each camera that does not see it, in the camera's own view.

    A camera's share of the points is the same for all.
    """
    box = scene_box(cameras)
    if box is None:
        return points_in_view(cameras, cameras, extent, count, generator)
    points = random_points_in(*box, count, generator)
    probes = random_points_in(*box, _PROBES, torch.Generator().manual_seed(0)).positions
    blind = [camera for camera in cameras if share_covered(camera, probes) < _COVERED]
    if not blind:
        return points
    own = points_in_view(blind, cameras, extent, -(-count * len(blind) // len(cameras)), generator)
    return Points(
        positions=torch.cat([points.positions[len(own.positions) :], own.positions]),
        colors=points.colors,
    )


def scene_box(cameras: Sequence[Camera]) -> tuple[Tensor, float] | None:
    """A cube to look for an object in, from the cameras alone: its centre (3,) and half its size.

    The point nearest to all optical axes (least squares), and as far around it as the median camera sees there; for the
    NeRF-synthetic captures this is about the published [-1.3, 1.3]. None for cameras without a common point in front of
    them (all parallel, looking outwards, or turning about one place, where it is nearer than anything is drawn).
    """
    found = common_point(cameras)
    if found is None:
        return None
    focus, depths = found
    if float(depths.median()) <= cameras[0].near:  # above 0 by rounding alone, where all turn about one place
        return None
    half_angles = torch.tensor([0.5 * max(c.width / c.fx, c.height / c.fy) for c in cameras])
    return focus, float((depths.clamp(min=0) * half_angles).median())


def random_points_in(centre: Tensor, half_size: float, count: int, generator: torch.Generator) -> Points:
    """`count` grey points, uniform in the cube of `half_size` around `centre` (3,)."""
    offsets = 2 * torch.rand(count, 3, generator=generator) - 1
    return Points(positions=centre.to(torch.float32) + half_size * offsets, colors=torch.full((count, 3), 0.5))


def points_in_view(
    chosen: Sequence[Camera], cameras: Sequence[Camera], extent: float, count: int, generator: torch.Generator
) -> Points:
    """`count` grey points in the pictures of the `chosen` cameras: uniform over pixels and over the logarithm of depth.

    Neighbouring photos overlap, so what they show is no nearer than the cameras are to each other; and what is further
    away than five extents looks the same to all of them.

    Args:
        chosen: cameras that get points, an equal number each (give or take one).
        cameras: all cameras of the capture, whose spacing is the least depth.
        extent: scene extent, the unit of the largest depth.
        count: points in all.
    """
    near = max(cameras[0].near, _spacing(cameras))
    far = _FURTHEST * max(extent, near)
    draws = torch.rand(count, 3, generator=generator).double()
    depths = near * (far / near) ** draws[:, 2]
    view = torch.arange(count) * len(chosen) // count
    size = torch.tensor([[camera.width, camera.height] for camera in chosen], dtype=torch.float64)[view]
    inverse = torch.stack([torch.linalg.inv(camera.K) for camera in chosen])[view]
    rotation = torch.stack([camera.world_to_camera[:3, :3] for camera in chosen])[view]
    position = torch.stack([camera.position for camera in chosen])[view]
    pixels = torch.cat([draws[:, :2] * size, torch.ones(count, 1, dtype=torch.float64)], dim=1)
    rays = (inverse @ pixels[:, :, None])[:, :, 0] * depths[:, None]
    positions = position + (rays[:, None, :] @ rotation)[:, 0, :]
    return Points(positions=positions.to(torch.float32), colors=torch.full((count, 3), 0.5))


def _spacing(cameras: Sequence[Camera]) -> float:
    """Median distance of a camera to its nearest other one; 0 for a single camera."""
    if len(cameras) < 2:
        return 0.0
    positions = torch.stack([camera.position for camera in cameras])
    distances, _ = cKDTree(positions.numpy()).query(positions.numpy(), k=[2])
    return float(torch.from_numpy(distances).median())
