"""Where training starts: a Gaussian on every point of the capture, or random ones where the capture has no points.

Every Gaussian begins round, nearly transparent, and as large as the gaps between its neighbours, so that together they
cover the scene without hiding each other (Kerbl et al. 2023, section 5.1).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree

from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, Points
from leansplat.gaussians import Gaussians

_SH_DEGREE_0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)): colour = 0.5 + this * sh0."""

_NEIGHBOURS = 3
_SMALLEST_SQUARED_DISTANCE = 1e-7
_FIRST_OPACITY = 0.1
_LONE_POINT_SCALE = 0.01
"""Scale of a point without neighbours, in units of the scene extent."""


def initial_gaussians(
    capture: Capture, generator: torch.Generator, *, sh_degree: int = 3, random_points: int = 100_000
) -> Gaussians:
    """The scene that training starts from.

    Args:
        capture: its points are used where it has any; otherwise grey ones are drawn in `scene_box`.
        generator: source of the random points; not touched when the capture has points.
        sh_degree: degree of the coefficients to allocate; all above degree 0 are zero.
        random_points: how many points to draw.
    """
    points = capture.points
    if points is None or len(points.positions) == 0:
        cameras = [view.camera for view in capture.train]
        points = random_points_in(*scene_box(cameras, capture.extent), random_points, generator)
    return gaussians_from_points(points, capture.extent, sh_degree=sh_degree)


def gaussians_from_points(points: Points, extent: float, *, sh_degree: int = 3) -> Gaussians:
    """One round Gaussian a point: scale from the 3 nearest neighbours, opacity 0.1, the point's colour.

    The scale is the root of the mean squared distance to the neighbours, at least sqrt(1e-7). Points that are not
    finite are left out.

    Args:
        points: at least one.
        extent: scene extent; a lone point gets 1 % of it as its scale.
    """
    finite = points.positions.isfinite().all(dim=1) & points.colors.isfinite().all(dim=1)
    means = points.positions[finite].to(torch.float32).contiguous()
    colors = points.colors[finite].to(torch.float32)
    n = len(means)
    quats = torch.zeros(n, 4)
    quats[:, 0] = 1
    log_scale = 0.5 * neighbour_distances(means, extent).log()
    return Gaussians(
        means=means,
        quats=quats,
        scales=log_scale[:, None].repeat(1, 3),
        opacities=torch.full((n,), math.log(_FIRST_OPACITY / (1 - _FIRST_OPACITY))),
        sh0=((colors - 0.5) / _SH_DEGREE_0)[:, None, :],
        shN=torch.zeros(n, (sh_degree + 1) ** 2 - 1, 3),
    )


def neighbour_distances(positions: torch.Tensor, extent: float) -> torch.Tensor:
    """(P,) float32 mean squared distance of each position (P, 3) to its 3 nearest others (fewer where P < 4)."""
    neighbours = min(_NEIGHBOURS, len(positions) - 1)
    if neighbours < 1:
        return torch.full((len(positions),), (_LONE_POINT_SCALE * extent) ** 2)
    locations = positions.numpy().astype(np.float64)
    distances, _ = cKDTree(locations).query(locations, k=neighbours + 1)
    squared = np.mean(distances[:, 1:] ** 2, axis=1)
    return torch.from_numpy(np.maximum(squared, _SMALLEST_SQUARED_DISTANCE).astype(np.float32))


def random_points_in(centre: torch.Tensor, half_size: float, count: int, generator: torch.Generator) -> Points:
    """`count` grey points, uniform in the cube of `half_size` around `centre` (3,)."""
    offsets = 2 * torch.rand(count, 3, generator=generator) - 1
    return Points(positions=centre.to(torch.float32) + half_size * offsets, colors=torch.full((count, 3), 0.5))


def scene_box(cameras: list[Camera], extent: float) -> tuple[torch.Tensor, float]:
    """A cube to look for the scene in, from the cameras alone: its centre (3,) and half its size.

    Cameras around an object: the point nearest to all optical axes (least squares), and as far around it as the median
    camera sees there; for the NeRF-synthetic captures this is about the published [-1.3, 1.3]. Cameras without a common
    point in front of them (all parallel, or looking outwards): three scene extents around the middle of the cameras.
    """
    positions = torch.stack([camera.position for camera in cameras])
    forward = torch.stack([camera.world_to_camera[2, :3] for camera in cameras])
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    middle = positions.mean(dim=0)
    normal = across.mean(dim=0)
    if float(torch.linalg.eigvalsh(normal)[0]) > 1e-3:
        focus = torch.linalg.solve(normal, (across @ positions[:, :, None]).mean(dim=0)[:, 0])
        depths = ((focus - positions) * forward).sum(dim=1)
        if float(depths.median()) > 0:
            half_angles = torch.tensor([0.5 * max(c.width / c.fx, c.height / c.fy) for c in cameras])
            return focus, float((depths.clamp(min=0) * half_angles).median())
    return middle, 3 * extent
