"""From where a scene is first seen, and which way is up, so that a page opens on something worth seeing.

With cameras, the first one is taken and up is what their pictures have in common. Without, the scene's harmonics tell
where cameras stood (`leansplat.viewpoints`), and the likeliest place is taken; where they tell nothing, a circle around
the scene. Up is then one of the two directions that files have by custom: -y, as from COLMAP, or z where cameras stood
high along it, for people look down on what they photograph. `focus_of` says how far off the thing is that a camera
looks at, which is what dragging turns around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays

if TYPE_CHECKING:
    from leansplat.cameras import Camera

UPS = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "minus-x": (-1.0, 0.0, 0.0),
    "minus-y": (0.0, -1.0, 0.0),
    "minus-z": (0.0, 0.0, -1.0),
}
"""Directions of the world by the names that the command line has for them."""

_SOME = 40_000
"""Gaussians that are asked where a scene is."""
_AGREED = 0.3
"""Length of the mean of the cameras' upward directions from which on they agree; pictures held sideways do not."""
_HIGHER = 1.0
"""How much higher cameras stand along z than along -y, in the scene's radius, where z is up."""
_FIELD_OF_VIEW = 1.0
_WIDTH, _HEIGHT = 960, 640
_MIDDLE = 0.3
"""Half of the picture's size, within which lies what a camera looks at."""


@dataclass(frozen=True)
class Opening:
    """Where a page begins.

    Args:
        up: (3,) unit vector in the world.
        camera: the first view, None where it is the first of the cameras that the page has.
    """

    up: tuple[float, float, float]
    camera: Camera | None


def opening_of(scene: GaussianArrays, cameras: Sequence[Camera], up: str | None = None) -> Opening:
    """How to open a page with a scene.

    Args:
        scene: at least one Gaussian, all finite.
        cameras: those that the page has; there may be none.
        up: a name in `UPS`, where it is known.
    """
    if cameras:
        return Opening(_tuple(_up_of(cameras, scene) if up is None else np.array(UPS[up])), None)
    return _without_cameras(scene[:: -(-len(scene) // _SOME)], up)


def _up_of(cameras: Sequence[Camera], scene: GaussianArrays) -> np.ndarray:
    mean = -np.mean([camera.world_to_camera[1, :3].numpy() for camera in cameras], axis=0)
    if np.linalg.norm(mean) >= _AGREED:
        return mean / np.linalg.norm(mean)
    return np.array(UPS[_customary(np.stack([camera.position.numpy() for camera in cameras]), scene)])


def _customary(places: np.ndarray, scene: GaussianArrays) -> str:
    """ "minus-y" or "z", from where cameras (P, 3) stand in the world."""
    from leansplat.viewpoints.places import reach_of

    reach = reach_of(scene)
    _, y, z = (places - np.array(scene.origin) - reach.middle).mean(axis=0) / reach.radius
    return "z" if z > _HIGHER and z + y > _HIGHER else "minus-y"


def _without_cameras(scene: GaussianArrays, up: str | None) -> Opening:
    from leansplat.camera_paths import orbit
    from leansplat.cameras import look_at
    from leansplat.gaussians import Gaussians
    from leansplat.viewpoints.places import likely_places, reach_of
    from leansplat.viewpoints.trained_directions import trained_directions

    reach = reach_of(scene)
    directions = trained_directions(scene)
    places = likely_places(scene, directions, reach, 64, np.random.default_rng(0))
    origin = np.array(scene.origin)
    name = _customary(places + origin, scene) if up is None else up
    vertical = np.array(UPS[name])
    if not directions.known:
        circle = orbit(Gaussians.from_arrays(scene), 8, up=name, width=_WIDTH, height=_HEIGHT)  # type: ignore[arg-type]
        return Opening(_tuple(vertical), circle[1])
    # From above rather than from below, and not so that up and down are all that is seen.
    offsets = places - reach.middle
    heights = offsets @ vertical / np.maximum(np.linalg.norm(offsets, axis=1), 1e-12)
    sensible = np.flatnonzero((heights > -0.1) & (heights < 0.8))
    place = places[sensible[0] if len(sensible) else 0]
    here, there = (place + origin).tolist(), (reach.middle + origin).tolist()
    camera = look_at(here, there, vertical.tolist(), _FIELD_OF_VIEW, _WIDTH, _HEIGHT)
    return Opening(_tuple(vertical), replace(camera, near=reach.near))


def near_of(scene: GaussianArrays) -> float:
    """The near plane for looking at a scene of at least one Gaussian, all finite."""
    from leansplat.viewpoints.places import reach_of

    return reach_of(scene[:: -(-len(scene) // _SOME)]).near


def focus_of(camera: Camera, scene: GaussianArrays) -> float:
    """Distance along the camera's axis of what is in the middle of its picture: its median depth, by opacity."""
    scene = scene[:: -(-len(scene) // _SOME)]
    pose = camera.world_to_camera.numpy()
    seen = scene.means.astype(np.float64) + np.array(scene.origin)
    seen = seen @ pose[:3, :3].T + pose[:3, 3]
    depth = seen[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.abs(camera.fx * seen[:, 0] / depth) / camera.width
        along = np.abs(camera.fy * seen[:, 1] / depth) / camera.height
    middle = (depth > camera.near) & (across < _MIDDLE / 2) & (along < _MIDDLE / 2)
    if not middle.any():
        return max(float(np.linalg.norm(np.median(seen, axis=0))), 1e-3)
    order = np.argsort(depth[middle])
    weights = np.cumsum(opacity_of(scene.opacities[middle])[order])
    # What is in front hides what is behind it, so the nearer third counts.
    return float(depth[middle][order][np.searchsorted(weights, weights[-1] / 3)])


def camera_json(camera: Camera, scene: GaussianArrays, **more: Any) -> dict[str, Any]:
    """A camera as the page's description has it: relative to the scene's origin, where nothing is lost on the way."""
    pose = camera.relative_to(scene.origin).world_to_camera
    return {
        "width": camera.width,
        "height": camera.height,
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "world_to_camera": pose.reshape(-1).tolist(),
        "focus": focus_of(camera, scene),
        **more,
    }


def fitted(cameras: Mapping[str, Camera], longest: int) -> dict[str, Camera]:
    """The same cameras with pictures of at most so many pixels on their longer side."""
    return {name: _smaller(camera, longest) for name, camera in cameras.items()}


def _smaller(camera: Camera, longest: int) -> Camera:
    share = min(1.0, longest / max(camera.width, camera.height))
    return camera.resized(max(1, round(share * camera.width)), max(1, round(share * camera.height)))


def _tuple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
