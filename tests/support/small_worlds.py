"""The same scene and the same cameras in units that are much larger, so that all numbers are small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from leansplat.cameras import Camera
from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians


def smaller_scene(scene: Gaussians, factor: float) -> Gaussians:
    return replace(scene, means=scene.means * factor, scales=scene.scales + math.log(factor))


def smaller_camera(camera: Camera, factor: float) -> Camera:
    """As far away, in what it looks at; its near plane is not changed."""
    pose = camera.world_to_camera.clone()
    pose[:3, 3] *= factor
    return replace(camera, world_to_camera=pose)


def smaller_cameras(cameras: Sequence[Camera], factor: float) -> list[Camera]:
    return [smaller_camera(camera, factor) for camera in cameras]


def smaller_capture(capture: Capture, factor: float) -> Capture:
    """Without points."""
    train, test = (
        tuple(replace(view, camera=smaller_camera(view.camera, factor)) for view in views)
        for views in (capture.train, capture.test)
    )
    return replace(capture, train=train, test=test, points=None)
