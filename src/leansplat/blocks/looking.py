"""Where a block is looked at from: of the cameras of a file those that see it, or ones that are made up for it.

A camera sees a block where many of its Gaussians are in the picture and near. Of all that do, a few are taken one by
one, each the one that adds most to what was seen; walls between are not asked for, since cameras of a file were put
there to see something.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from leansplat.blocks.plan import CAMERAS, Plan
from leansplat.cameras import Camera
from leansplat.captures.inria_cameras import read_cameras
from leansplat.gaussians import Gaussians
from leansplat.shrinking.config import VIEW_SIZE
from leansplat.shrinking.sources import fitted
from leansplat.viewpoints import made_up_views

_POINTS = 512
"""Of a block's Gaussians, by which cameras are judged."""

_SEEN = 0.02
"""Of what the best camera sees, that another sees at least."""

_NEAR = 0.25
"""Of the extent of a block, from where on a camera is no nearer for all that counts."""

_SHORTLIST = 16
"""Cameras that are compared for each that is taken."""


def views_of_block(folder: Path, plan: Plan, scene: Gaussians, own: int) -> dict[str, Camera]:
    """The cameras for a block, by name; none where those of the file do not see it.

    Args:
        scene: the block, its first `own` Gaussians, and its margin.
    """
    config = plan.shrinking
    size = config.view_size or VIEW_SIZE
    if plan.cameras is not None:
        found = read_cameras(folder / CAMERAS)
        cameras = {name: fitted(camera, plan.downscale, size) for name, camera in found.items()}
        return seeing(cameras, scene.world_means()[:own], config.views)
    about = torch.arange(len(scene)) < own
    views = made_up_views(scene, config.views, size=size, seed=config.seed, engine=plan.engine, about=about)
    return dict(views.cameras)


def seeing(cameras: Mapping[str, Camera], points: torch.Tensor, count: int) -> dict[str, Camera]:
    """At most `count` cameras that together see some points (N, 3) of the world best, in their order."""
    points = points[torch.isfinite(points).all(dim=1)].double()
    if len(points) == 0:
        return {}
    points = points[:: -(-len(points) // _POINTS)]
    near = _NEAR * float((points.max(dim=0).values - points.min(dim=0).values).max())
    names = list(cameras)
    seen = np.stack([_seen(cameras[name], points, near) for name in names])
    total = seen.sum(axis=1)
    best = np.argsort(-total, kind="stable")[: _SHORTLIST * count]
    best = np.sort(best[total[best] > _SEEN * total.max()])
    shown, before = seen[best], np.zeros(len(points))
    often = max(count * float(shown.mean()), _SEEN) if shown.size else _SEEN
    chosen: list[int] = []
    for _ in range(min(count, len(best))):
        gains = np.log1p(shown / (before + often)).sum(axis=1)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        before += shown[chosen[-1]]
    return {names[best[index]]: cameras[names[best[index]]] for index in sorted(chosen)}


def _seen(camera: Camera, points: torch.Tensor, near: float) -> np.ndarray:
    """(P,) how large each of some points is in a picture: 1 from within `near`, 0 outside of the picture."""
    pixels, depth = camera.project(points)
    x, y = pixels.unbind(dim=1)
    inside = (depth > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    return torch.where(inside, (near / depth).square().clamp(max=1), 0.0).float().numpy()
