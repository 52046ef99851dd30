"""What views say of where a scene is empty: whether a Gaussian lies on a surface, behind it, or in the air before it.

The median depth of the scene at a pixel is where a view has its surface. A Gaussian that many views look through, since
their surface is farther away than it, and that none has on its surface, is in free space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.engines.engine import Renderer
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress

_TOLERANCE = 0.1
"""Of the depth of a surface, by which a Gaussian may be before or behind it and still belong to it."""

_WINDOW = 5
"""Pixels of whose depths the median counts, so that a hole in the surface is none."""

_LEAST_VIEWS = 3
"""Views that must look through a place before it counts as empty: one may be wrong, and two may be side by side."""

_MOST_ON_SURFACE = 0.1
"""Of the views that see a place, how many may have a surface there all the same."""

_CONE = 0.75
"""Length of the mean of unit vectors that are spread evenly over a cone of 60 degrees around its axis."""


@dataclass(frozen=True)
class Votes:
    """Of M Gaussians, in how many views the centre is in the picture, and where.

    Args:
        free: (M,) in front of the surface, or where there is none.
        on: (M,) on it.
        hidden: (M,) behind it, where a view does not tell.
        towards_hidden: (M, 3) sum of the unit vectors from it towards the cameras of the latter.
        nearest: (M,) its depth over that of the surface in the view where that is least, 0 where there is no surface;
            views without a say count too.
    """

    free: Tensor
    on: Tensor
    hidden: Tensor
    towards_hidden: Tensor
    nearest: Tensor

    def isolated(self) -> Tensor:
        """(M,) bool: in free space, as far as views can tell."""
        return (self.free >= _LEAST_VIEWS) & (self.on <= _MOST_ON_SURFACE * (self.free + self.on))

    def enclosed(self) -> Tensor:
        """(M,) bool: behind a surface for all views, which look from all around."""
        cone = self.towards_hidden.norm(dim=1) / self.hidden.clamp(min=1)
        return (self.hidden >= _LEAST_VIEWS) & (self.free + self.on == 0) & (cone < _CONE)


def votes(
    gaussians: Gaussians,
    surface: Renderer,
    views: Sequence[View],
    *,
    without: Tensor | None = None,
    progress: Progress | None = None,
) -> Votes:
    """Where views have each of some Gaussians.

    Args:
        gaussians: M of them.
        surface: the scene whose surface counts, best without these Gaussians.
        without: (M, K) int64, for each Gaussian views by number that have no say.
        progress: told after each view.
    """
    positions = gaussians.world_means()
    sizes = gaussians.scales.max(dim=1).values.double().exp()
    found = torch.zeros(3, len(gaussians), dtype=torch.int32)
    directions = torch.zeros(len(gaussians), 3, dtype=torch.float64)
    nearest = torch.full((len(gaussians),), torch.inf, dtype=torch.float64)
    for number, view in enumerate(views):
        pixels, depths = view.camera.project(positions)
        size = torch.tensor([view.camera.width, view.camera.height])
        inside = (depths > view.camera.near) & ((pixels >= 0) & (pixels < size)).all(dim=1)
        rows = inside.nonzero()[:, 0]
        columns, lines = pixels[rows].long().unbind(dim=1)
        depth = surface.render(view.camera, depth="median").depth
        assert depth is not None
        smooth = torch.from_numpy(median_filter(depth.cpu().numpy().astype(np.float32), _WINDOW, mode="nearest"))
        there = smooth[lines, columns].double()
        there = torch.where(there > 0, there, torch.inf)
        nearest[rows] = torch.minimum(nearest[rows], depths[rows] / there)
        if without is not None:
            asked = (without[rows] != number).all(dim=1)
            rows, there = rows[asked], there[asked]
        margin = _TOLERANCE * torch.where(there.isinf(), 0, there) + sizes[rows]
        free = depths[rows] < there - margin
        hidden = depths[rows] > there + margin
        for kind, answer in enumerate((free, ~(free | hidden), hidden)):
            found[kind, rows] += answer.int()
        towards = torch.nn.functional.normalize(view.camera.position - positions[rows[hidden]], dim=1)
        directions[rows[hidden]] += towards
        if progress is not None:
            progress(number + 1, len(views), {})
    free, on, hidden = found
    return Votes(free, on, hidden, directions, nearest)
