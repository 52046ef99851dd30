"""What each Gaussian counts in pictures: as views show it, or as its geometry alone lets one guess.

With views both numbers are measured: what they lose without it (GaussianPOP), and how many pixels show how much of it.
Without any, it is taken to stand before something of another colour, and to be seen from the middle of the scene, or
from as far as the scene reaches if it is nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leansplat.arrays import GaussianArrays
from leansplat.captures.capture import View
from leansplat.engines.engine import Background, Model
from leansplat.merging.moments import AREA, OPACITY
from leansplat.strays import distances

_CONTRAST = 0.1
"""Squared difference, summed over the channels, between a Gaussian's colour and what is taken to be behind it."""

_TINY = 1e-30


class Worth(NamedTuple):
    """What N Gaussians count, float64.

    Args:
        change: (N,) sum over pixels and channels of the squared change of the pictures without each.
        exposure: (N,) pixels for each unit of area that show it, those that show a part of it in part.
        slope: (N,) how fast the squared error to the photos grows as it fades away; None without views.
    """

    change: np.ndarray
    exposure: np.ndarray
    slope: np.ndarray | None = None


def by_views(model: Model, rows: np.ndarray, views: Sequence[View], background: Background) -> Worth:
    """What `views` show of a model whose `moments` are `rows`."""
    effects = model.removal_effects(views, background)
    weights, _ = model.blending_weights(views)
    whole = 2 * np.pi * rows[:, OPACITY] * rows[:, AREA]
    exposure = weights.cpu().numpy() / np.maximum(whole, _TINY)
    return Worth(effects.change.cpu().numpy().astype(np.float64), exposure, effects.slope.cpu().numpy())


def by_geometry(scene: GaussianArrays, rows: np.ndarray) -> Worth:
    """What pictures from the middle of a scene would show, if nothing hid anything."""
    found = distances(scene)
    reach = np.maximum(np.nan_to_num(found.of), max(found.extent, _TINY**0.25))
    exposure = reach**-2.0
    return Worth(_CONTRAST * np.pi * rows[:, OPACITY] ** 2 * rows[:, AREA] * exposure, exposure)
