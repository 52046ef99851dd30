"""The point that the cameras of a capture look at, and the near plane that follows from how far away it is.

Cameras around an object agree on a point. Where they do not, as in a room or on one spot, nothing tells a small place
from a large one, and the near plane stays where it is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.near_plane import NEAR, near_plane_of_size

_ELSEWHERE = 0.1
"""The share of cameras that may look elsewhere."""
_AWAY = 0.25
"""To the others the point is at least so far away, in typical distances of a camera from the middle of all."""


def common_point(cameras: Sequence[Camera]) -> tuple[Tensor, Tensor] | None:
    """The point (3,) that is nearest to the optical axes of all cameras (least squares), and its depth in each (C,).

    None for cameras whose axes are parallel.
    """
    positions = torch.stack([camera.position for camera in cameras])
    forward = torch.stack([camera.world_to_camera[2, :3] for camera in cameras])
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    normal = across.mean(dim=0)
    if float(torch.linalg.eigvalsh(normal)[0]) <= 1e-3:
        return None
    point = torch.linalg.solve(normal, (across @ positions[:, :, None]).mean(dim=0)[:, 0])
    return point, ((point - positions) * forward).sum(dim=1)


def near_plane(cameras: Iterable[Camera]) -> float:
    """The near plane for the cameras of one capture.

    Its size is how far the cameras are from each other or from the point that they look at, whichever is more.
    """
    cameras = list(cameras)
    found = common_point(cameras) if len(cameras) > 1 else None
    if found is None:
        return NEAR
    positions = torch.stack([camera.position for camera in cameras])
    apart = float((positions - positions.median(dim=0).values).norm(dim=1).median())
    if float(found[1].quantile(_ELSEWHERE)) <= _AWAY * apart:
        return NEAR
    return near_plane_of_size(max(apart, float(found[1].median())))


def near_enough(cameras: Mapping[str, Camera]) -> dict[str, Camera]:
    """The same cameras, which are all of a capture, with the near plane that suits it."""
    near = near_plane(cameras.values())
    return {name: replace(camera, near=near) for name, camera in cameras.items()}
