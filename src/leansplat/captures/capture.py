"""`Capture`: photos with known cameras, split into training and test views, and the points they were made with.

Photos stay 8-bit in memory, at the size training uses; a loader undistorts, resizes and composes alpha before it makes
a `View`, so nothing after it needs to know which layout the capture came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leansplat.cameras import Camera, scene_extent
from leansplat.gaussians import WORLD, Origin


@dataclass(frozen=True)
class View:
    """One photo and the camera that took it.

    Args:
        name: file name of the photo relative to its folder; unique in a capture.
        camera: pinhole camera of the photo as held here (after undistortion and resizing).
        photo: (H, W, 3) uint8, sRGB as stored.
    """

    name: str
    camera: Camera
    photo: Tensor


@dataclass(frozen=True)
class Points:
    """A sparse point cloud to start training from.

    Args:
        positions: (P, 3) float32 in world units, or float64 where a capture lies too far from zero; finite as float32.
        colors: (P, 3) float32 in [0, 1].
    """

    positions: Tensor
    colors: Tensor

    def relative_to(self, origin: Origin) -> Points:
        """The same points where `origin` is the zero of the world."""
        if origin == WORLD:
            return self
        return replace(self, positions=self.positions.double() - torch.tensor(origin, dtype=torch.float64))


@dataclass(frozen=True)
class Capture:
    """A scene to train on.

    Args:
        name: what to call it in logs and tables.
        train, test: views in order of name; disjoint.
        points: where training starts, or None when the capture has no points.
        background: (r, g, b) in [0, 1] that photos with alpha were composed on, and that renders are blended with.
        warnings: one sentence each about what the loader skipped or assumed.
    """

    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    points: Points | None
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    warnings: tuple[str, ...] = ()

    @property
    def extent(self) -> float:
        """Radius of the training cameras, as `cameras.scene_extent` defines it."""
        return scene_extent([view.camera for view in self.train])

    def relative_to(self, origin: Origin) -> Capture:
        """The same capture where `origin` is the zero of the world."""
        if origin == WORLD:
            return self
        train, test = (
            tuple(replace(view, camera=view.camera.relative_to(origin)) for view in views)
            for views in (self.train, self.test)
        )
        return replace(self, train=train, test=test, points=self.points and self.points.relative_to(origin))


def every_eighth(names: Sequence[str]) -> set[str]:
    """Names of the test views: every 8th of the sorted names, from the first (3DGS and Mip-NeRF 360)."""
    return set(sorted(names)[::8])
