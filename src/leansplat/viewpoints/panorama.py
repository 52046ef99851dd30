"""`Surroundings`: all that can be seen from a place, in six small pictures to all sides.

What a camera would show in any direction is then a sum over pixels, so that one place costs six renders however many
directions are tried. Where one direction is all that matters, `Surveyor.ahead` makes one picture. Pictures this small
would show every Gaussian as a disc of a pixel, so the scene is rendered with opacities compensated for that,
antialiased or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from leansplat import engines
from leansplat.arrays import WORLD
from leansplat.cameras import Camera
from leansplat.gaussians import Gaussians
from leansplat.viewpoints.trained_directions import TrainedDirections

_SIDE = 16
"""Pixels along each side of each of the six pictures."""
_ENOUGH = 150_000
"""Gaussians of which enough is seen at this size; of larger scenes every so manyth is drawn, larger by as much."""


def _faces() -> np.ndarray:
    """(6, 3, 3) rotations from the world to the axes of cameras that look to all sides."""
    forward = np.concatenate([np.eye(3), -np.eye(3)])
    down = np.roll(np.abs(forward), 1, axis=1)
    return np.stack([np.cross(down, forward), down, forward], axis=1)


def _rays() -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) unit directions of the pixels of all faces, and (P,) solid angles that sum to 1."""
    edge = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    x, y = np.meshgrid(edge, edge)
    local = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    length = np.linalg.norm(local, axis=1)
    rays = (local / length[:, None]) @ _faces()
    solid = np.tile(length**-3, 6)
    return rays.reshape(-1, 3), solid / solid.sum()


RAYS, SOLID_ANGLES = _rays()

_AHEAD = (20, 15)
"""Width and height in pixels of the picture to one side."""
_HALF_WIDTH = math.tan(math.radians(30))
"""Of that picture at a distance of 1: it is 60 degrees wide."""


@cache
def _pixels_ahead() -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) directions of the pixels of one picture in the camera's axes, at depth 1, and (P,) their lengths."""
    width, height = _AHEAD
    step = 2 * _HALF_WIDTH / width
    x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2) * step, (np.arange(height) + 0.5 - height / 2) * step)
    local = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    return local, np.linalg.norm(local, axis=1)


@dataclass(frozen=True)
class Surroundings:
    """What P rays from a place meet, those of `RAYS` or of the pixels of one picture.

    Args:
        distance: (P,) to the surface, where half of the light is gone; infinite where there is none.
        neighbourhood: (P,) int64 of `TrainedDirections`, what the surface belongs to; -1 where there is none.
        likelihood: (P,) how likely it is that the surface was photographed from here, see
            `TrainedDirections.along_rays`; minus infinity where there is none.
    """

    distance: np.ndarray
    neighbourhood: np.ndarray
    likelihood: np.ndarray


class Surveyor:
    """Looks around in a scene; places are relative to the scene's origin."""

    def __init__(self, gaussians: Gaussians, directions: TrainedDirections, near: float, engine: str = "cpu") -> None:
        self._scene = engines.named(engine).renderer(_thinned(gaussians))
        self._directions = directions
        self._near = near
        half = _SIDE / 2
        self._K = torch.tensor([[half, 0, half], [0, half, half], [0, 0, 1]], dtype=torch.float64)
        width, height = _AHEAD
        focal = width / 2 / _HALF_WIDTH
        self._K_ahead = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)

    def around(self, place: np.ndarray) -> Surroundings:
        """What is met in all directions, `RAYS`."""
        depths = [self._depth(place, rotation, self._K, (_SIDE, _SIDE)) for rotation in _faces()]
        return self._met(place, np.concatenate(depths) / np.abs(RAYS).max(axis=1), RAYS)

    def ahead(self, place: np.ndarray, rotation: np.ndarray) -> Surroundings:
        """What a picture 60 degrees wide and 47 high shows; `rotation` (3, 3) is from the world to its axes."""
        local, length = _pixels_ahead()
        depth = self._depth(place, rotation, self._K_ahead, _AHEAD)
        return self._met(place, depth * length, (local / length[:, None]) @ rotation)

    def _depth(self, place: np.ndarray, rotation: np.ndarray, K: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
        pose = np.eye(4)
        pose[:3, :3] = rotation
        pose[:3, 3] = -rotation @ place
        depth = self._scene.render(Camera(torch.from_numpy(pose), K, *size, near=self._near), depth="median").depth
        assert depth is not None
        return depth.cpu().numpy().ravel().astype(np.float64)

    def _met(self, place: np.ndarray, distance: np.ndarray, rays: np.ndarray) -> Surroundings:
        met = distance > 0
        neighbourhood = np.full(len(rays), -1)
        likelihood = np.full(len(rays), -np.inf)
        neighbourhood[met] = self._directions.nearest(place + distance[met, None] * rays[met])
        likelihood[met] = self._directions.along_rays(neighbourhood[met], rays[met])
        return Surroundings(np.where(met, distance, np.inf), neighbourhood, likelihood)


def _thinned(gaussians: Gaussians) -> Gaussians:
    """The scene for small pictures: relative to its origin, antialiased, and of at most `_ENOUGH` Gaussians."""
    gaussians = replace(gaussians.detach(), antialiased=True, origin=WORLD, extras={})
    step = -(-len(gaussians) // _ENOUGH)
    if step > 1:
        gaussians = gaussians[::step]
        gaussians = replace(gaussians, scales=gaussians.scales + 0.5 * float(np.log(step)))
    return gaussians
