"""`Capture`: photos with known cameras, split into training and test views, and the points they were made with.

Photos stay 8-bit in memory, at the size training uses; a loader undistorts, resizes and composes alpha, and makes masks
fit, before it makes a `View`, so nothing after it needs to know which layout the capture came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leansplat.cameras import Camera, lone_cameras, scene_extent
from leansplat.gaussians import WORLD, Origin

_NAMED = 3
"""How many photos a sentence names."""


@dataclass(frozen=True)
class View:
    """One photo and the camera that took it.

    Args:
        name: file name of the photo relative to its folder; unique in a capture.
        camera: pinhole camera of the photo as held here (after undistortion and resizing).
        photo: (H, W, 3) uint8, sRGB as stored.
        mask: (H, W) bool, true where the pixel counts; hidden ones count neither in losses nor in metrics. None where
            all count.
    """

    name: str
    camera: Camera
    photo: Tensor
    mask: Tensor | None = None


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
        rendered: whether its photos are no photos, but renders of a scene.
    """

    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    points: Points | None
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    warnings: tuple[str, ...] = ()
    rendered: bool = False

    @property
    def extent(self) -> float:
        """Radius of the training cameras, as `cameras.scene_extent` defines it."""
        return scene_extent([view.camera for view in self.train])

    @property
    def has_points(self) -> bool:
        """Whether there are points to start from."""
        return self.points is not None and len(self.points.positions) > 0

    def relative_to(self, origin: Origin) -> Capture:
        """The same capture where `origin` is the zero of the world."""
        if origin == WORLD:
            return self
        train, test = (
            tuple(replace(view, camera=view.camera.relative_to(origin)) for view in views)
            for views in (self.train, self.test)
        )
        return replace(self, train=train, test=test, points=self.points and self.points.relative_to(origin))


def describe_lone_cameras(views: Sequence[View]) -> list[str]:
    """A sentence on the training views whose cameras stand far from all others; none where there are none."""
    alone = lone_cameras([view.camera for view in views])
    if not alone:
        return []
    positions = torch.stack([view.camera.position for view in views])
    middle = positions.median(dim=0).values
    distances = (positions - middle).norm(dim=1)
    named = ", ".join(f"{views[index].name} at {float(distances[index]):.4g}" for index in alone[:_NAMED])
    more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
    half = float(distances.median())
    return [
        f"{len(alone)} of {len(views)} training cameras stand far from all others ({named}{more} from the middle, "
        f"half of all are within {half:.4g}); they are trained on, but the scene's extent leaves them out; take "
        "out their photos if the poses are wrong."
    ]


def every_eighth(names: Sequence[str]) -> set[str]:
    """Names of the test views: every 8th of the sorted names, from the first (3DGS and Mip-NeRF 360)."""
    return set(sorted(names)[::8])
