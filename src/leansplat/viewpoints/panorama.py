"""`Surroundings`: all that can be seen from a place, in six small pictures to all sides.

What a camera would show in any direction is then a sum over pixels, so that one place costs six renders however many
directions are tried. Pictures this small would show every Gaussian as a disc of a pixel, so the scene is rendered with
opacities compensated for that, antialiased or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Surroundings:
    """What P rays from a place, `RAYS`, meet.

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

    def __init__(self, gaussians: Gaussians, directions: TrainedDirections, engine: str = "cpu") -> None:
        self._scene = engines.named(engine).renderer(_thinned(gaussians))
        self._directions = directions
        half = _SIDE / 2
        self._K = torch.tensor([[half, 0, half], [0, half, half], [0, 0, 1]], dtype=torch.float64)

    def around(self, place: np.ndarray) -> Surroundings:
        depths = []
        for rotation in _faces():
            pose = np.eye(4)
            pose[:3, :3] = rotation
            pose[:3, 3] = -rotation @ place
            depth = self._scene.render(Camera(torch.from_numpy(pose), self._K, _SIDE, _SIDE), depth="median").depth
            assert depth is not None
            depths.append(depth.cpu().numpy().ravel())
        depth = np.concatenate(depths).astype(np.float64)
        met = depth > 0
        distance = np.where(met, depth / np.abs(RAYS).max(axis=1), np.inf)
        neighbourhood = np.full(len(RAYS), -1)
        likelihood = np.full(len(RAYS), -np.inf)
        neighbourhood[met] = self._directions.nearest(place + distance[met, None] * RAYS[met])
        likelihood[met] = self._directions.along_rays(neighbourhood[met], RAYS[met])
        return Surroundings(distance, neighbourhood, likelihood)


def _thinned(gaussians: Gaussians) -> Gaussians:
    """The scene for small pictures: relative to its origin, antialiased, and of at most `_ENOUGH` Gaussians."""
    gaussians = replace(gaussians.detach(), antialiased=True, origin=WORLD, extras={})
    step = -(-len(gaussians) // _ENOUGH)
    if step > 1:
        gaussians = gaussians[::step]
        gaussians = replace(gaussians, scales=gaussians.scales + 0.5 * float(np.log(step)))
    return gaussians
