"""`Camera`: where a view is taken from and how it projects; and paths of cameras for looking at a scene.

OpenCV axes (x right, y down, z forward). A pixel (column i, row j) covers [i, i+1] x [j, j+1], its centre is at
(i + 0.5, j + 0.5), and the principal point may be anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat.arrays import WORLD, Origin
from leansplat.near_plane import NEAR

_NEIGHBOURS = 3
_ALONE = 5.0
_ONE_PLACE = 0.1
"""Cameras within this radius see the scene from one place, in units of their near plane."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        world_to_camera: (4, 4) float64, rigid: maps homogeneous world points to camera axes.
        K: (3, 3) float64 intrinsics in pixels, without skew: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        width, height: image size in pixels, at least 1.
        near: depth up to which nothing is drawn, in world units.

    Raises:
        ValueError: a shape is wrong, a focal length, a size or near is not positive, or a value is not finite.
    """

    world_to_camera: Tensor
    K: Tensor
    width: int
    height: int
    near: float = NEAR

    def __post_init__(self) -> None:
        object.__setattr__(self, "world_to_camera", torch.as_tensor(self.world_to_camera, dtype=torch.float64))
        object.__setattr__(self, "K", torch.as_tensor(self.K, dtype=torch.float64))
        if tuple(self.world_to_camera.shape) != (4, 4) or tuple(self.K.shape) != (3, 3):
            raise ValueError("world_to_camera must be (4, 4) and K (3, 3)")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size {self.width}x{self.height} must be at least 1x1")
        if not bool(self.world_to_camera.isfinite().all()) or not bool(self.K.isfinite().all()):
            raise ValueError("camera has a value that is not finite")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"focal lengths {self.fx}, {self.fy} must be positive")
        if not 0 < self.near < math.inf:
            raise ValueError(f"near plane {self.near} must be positive and finite")

    @property
    def fx(self) -> float:
        return float(self.K[0, 0])

    @property
    def fy(self) -> float:
        return float(self.K[1, 1])

    @property
    def cx(self) -> float:
        return float(self.K[0, 2])

    @property
    def cy(self) -> float:
        return float(self.K[1, 2])

    @property
    def position(self) -> Tensor:
        """(3,) centre of the camera in world units."""
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        return -rotation.T @ translation

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel coordinates (N, 2) and depths (N,) of world points (N, 3); depths <= 0 are behind the camera."""
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        seen = points.to(rotation.dtype) @ rotation.T + translation
        pixels = seen @ self.K.T
        return pixels[:, :2] / pixels[:, 2:], seen[:, 2]

    def relative_to(self, origin: Origin) -> Camera:
        """The same camera where `origin` is the zero of the world."""
        if origin == WORLD:
            return self
        moved = self.world_to_camera.clone()
        moved[:3, 3] += moved[:3, :3] @ torch.tensor(origin, dtype=torch.float64, device=moved.device)
        return replace(self, world_to_camera=moved)

    def to(self, device: torch.device | str) -> Camera:
        return replace(self, world_to_camera=self.world_to_camera.to(device), K=self.K.to(device))

    def resized(self, width: int, height: int) -> Camera:
        """The same view at another resolution: intrinsics scale with each axis."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0], dtype=self.K.dtype, device=self.K.device)
        return replace(self, K=self.K * scale[:, None], width=width, height=height)


def look_at(
    position: Sequence[float], target: Sequence[float], up: Sequence[float], fov_x: float, width: int, height: int
) -> Camera:
    """A camera at `position` that looks at `target` with square pixels and a centred principal point.

    Args:
        up: the world direction that points up in the image.
        fov_x: horizontal field of view in radians.
    """
    eye = torch.tensor(position, dtype=torch.float64)
    forward = torch.tensor(target, dtype=torch.float64) - eye
    forward = forward / forward.norm()
    right = torch.linalg.cross(forward, torch.tensor(up, dtype=torch.float64))
    right = right / right.norm()
    down = torch.linalg.cross(forward, right)
    world_to_camera = torch.eye(4, dtype=torch.float64)
    world_to_camera[:3, :3] = torch.stack([right, down, forward])
    world_to_camera[:3, 3] = -world_to_camera[:3, :3] @ eye
    focal = 0.5 * width / math.tan(0.5 * fov_x)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return Camera(world_to_camera, K, width, height)


def lone_cameras(cameras: Sequence[Camera]) -> list[int]:
    """Indices of the cameras that stand far from all others, as one does whose pose is wrong.

    Of such a camera the third nearest other one (the second or the first among fewer than seven) is over five times
    further away than half of all cameras are from the median of their positions. So four or more far cameras beside
    each other are part of the capture. Where over a quarter of the cameras, or any of fewer than four, stand like that,
    there is no telling which are wrong, and none is returned.
    """
    count = len(cameras)
    if count < 4:
        return []
    positions = torch.stack([camera.position for camera in cameras])
    typical = float((positions - positions.median(dim=0).values).norm(dim=1).median())
    neighbours = min(_NEIGHBOURS, (count - 1) // 2)
    distances, _ = cKDTree(positions.numpy()).query(positions.numpy(), k=[neighbours + 1])
    alone = (distances[:, 0] > _ALONE * max(typical, _ONE_PLACE * cameras[0].near)).nonzero()[0].tolist()
    return alone if len(alone) <= count // 4 else []


def scene_extent(cameras: Sequence[Camera]) -> float:
    """Radius of the cameras' positions around their mean, times 1.1 (3DGS scales position learning rates with it).

    `lone_cameras` are left out: a single one would otherwise set the rates and sizes of the whole scene. Cameras in one
    place have no radius; 1.0 is returned so that learning rates stay usable.
    """
    alone = set(lone_cameras(cameras))
    positions = torch.stack([camera.position for index, camera in enumerate(cameras) if index not in alone])
    radius = float((positions - positions.mean(dim=0)).norm(dim=1).max())
    return 1.1 * radius if radius > _ONE_PLACE * cameras[0].near else 1.0
