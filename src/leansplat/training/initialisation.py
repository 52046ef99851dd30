"""Where training starts: a Gaussian on every point of the capture, or random ones where the capture has no points.

Every Gaussian begins round, nearly transparent, and as large as the gaps between its neighbours, so that together they
cover the scene without hiding each other (Kerbl et al. 2023, section 5.1).
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from scipy.spatial import cKDTree

from leansplat.captures.capture import Capture, Points
from leansplat.gaussians import Gaussians
from leansplat.training.coverage import fewer_seen_than
from leansplat.training.random_start import points_in_view, random_start

_log = logging.getLogger("leansplat")

_SH_DEGREE_0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)): colour = 0.5 + this * sh0."""

_NEIGHBOURS = 3
_SMALLEST_SQUARED_DISTANCE = 1e-7
_FIRST_OPACITY = 0.1
_SEES_POINTS = 10
"""A view sees the points when so many of them, or one in a thousand where that is fewer, are in its picture."""
_LONE_POINT_SCALE = 0.01
"""Scale of a point without neighbours, in units of the scene extent."""


def initial_gaussians(
    capture: Capture, generator: torch.Generator, *, sh_degree: int = 3, random_points: int = 100_000
) -> Gaussians:
    """The scene that training starts from: every training view has some of it in its picture.

    Args:
        capture: its points are used where it has any that are seen; otherwise grey ones are drawn, see `random_start`.
            A view that sees (nearly) none of the points gets random ones of its own, with a warning.
        generator: source of the random points; not touched when every view sees the capture's.
        sh_degree: degree of the coefficients to allocate; all above degree 0 are zero.
        random_points: how many points to draw for all views; for some of them, their share.
    """
    cameras = [view.camera for view in capture.train]
    points = capture.points
    if points is None or len(points.positions) == 0:
        points = random_start(cameras, capture.extent, random_points, generator)
        return gaussians_from_points(points, capture.extent, sh_degree=sh_degree)
    count = len(points.positions)
    least = max(1, min(_SEES_POINTS, count // 1000))
    blind = [view for view in capture.train if fewer_seen_than(least, view.camera, points.positions)]
    if len(blind) == len(cameras):
        _log.warning(
            "no training view of %s sees its %d points, so training starts from random ones; check that the points "
            "and the cameras are in one frame",
            capture.name,
            count,
        )
        points = random_start(cameras, capture.extent, random_points, generator)
    elif blind:
        _log.warning(
            "%d of %d training views of %s see nearly none of its %d points (first: %s); they start from random ones",
            len(blind),
            len(cameras),
            capture.name,
            count,
            blind[0].name,
        )
        own = -(-random_points * len(blind) // len(cameras))
        drawn = points_in_view([view.camera for view in blind], cameras, capture.extent, own, generator)
        points = Points(
            positions=torch.cat([points.positions, drawn.positions]), colors=torch.cat([points.colors, drawn.colors])
        )
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
