"""`cameras.json`, which 3DGS and OpenSplat write beside a scene: the cameras of its training, without the photos.

Each entry has its pose as camera-to-world with OpenCV axes and focal lengths in pixels of the photos as the training
found them. The principal point is not in the file; it is the middle, as in the renderers that write it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leansplat.cameras import Camera
from leansplat.captures.common_point import near_enough
from leansplat.captures.lens import Lens
from leansplat.errors import CaptureError

_RIGID = 1e-3  # how far rotations may be from orthonormal, in entries of R R^T
_MOST_PIXELS = 1 << 28  # a render takes 12 bytes for each


def read_cameras(path: str | os.PathLike[str], *, downscale: int = 1) -> dict[str, Camera]:
    """Cameras by the name of their photo, in the order of the file; names that repeat get their number before them.

    Args:
        path: the file.
        downscale: make images this many times smaller on each side, at least 1.

    Raises:
        CaptureError: the file cannot be read, has no cameras, or one of them is malformed.
    """
    path = Path(path)
    if downscale < 1:
        raise CaptureError(f"downscale is {downscale}; give a whole number of at least 1.")
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path} is not valid JSON ({error}); write it again.") from error
    if entries == []:
        raise CaptureError(f"{path} has no cameras; give a cameras.json of 3DGS with some, or leave it out.")
    if not isinstance(entries, list):
        raise CaptureError(f"{path} is not a list of cameras; give a cameras.json of 3DGS.")
    cameras = []
    for index, entry in enumerate(entries):
        try:
            cameras.append(_camera(entry, downscale))
        except ValueError as error:
            raise CaptureError(f"{path}: camera {index} has {error}; write the file again.") from error
    names = [entry["img_name"] for entry in entries]
    if len(set(names)) < len(names):  # Blender scenes have an r_0 for training and one for testing
        names = [f"{index:05}_{name}" for index, name in enumerate(names)]
    return near_enough(dict(zip(names, cameras, strict=True)))


def cameras_beside(scene: str | os.PathLike[str]) -> Path | None:
    """A cameras.json in the scene's folder, in that of 3DGS two above, or beside a file with the scene's own name."""
    path = Path(scene)
    if path.is_dir():
        places = [path / "cameras.json"]
    else:
        own = path.with_name(f"{path.name.split('.')[0]}.cameras.json")
        places = [own, path.parent / "cameras.json"]
        if path.parent.name.startswith("iteration_") and path.parent.parent.name == "point_cloud":
            places.append(path.parent.parent.parent / "cameras.json")
    return next((place for place in places if place.is_file()), None)


def _camera(entry: Any, downscale: int) -> Camera:
    """
    Raises:
        ValueError: what is wrong, to follow "the camera has".
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("img_name"), str) or "\0" in entry["img_name"]:
        raise ValueError("no img_name")
    width, height = (_number(entry, key) for key in ("width", "height"))
    if width % 1 or height % 1 or width * height > _MOST_PIXELS * downscale**2:
        raise ValueError(f"a photo size of {width:g}x{height:g}")
    lens = Lens(_number(entry, "fx"), _number(entry, "fy"), width / 2, height / 2, int(width), int(height))
    rotation, position = _numbers(entry, "rotation", (3, 3)), _numbers(entry, "position", (3,))
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _RIGID or np.linalg.det(rotation) < 0:
        raise ValueError("a rotation that is none")
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = rotation.T
    world_to_camera[:3, 3] = -rotation.T @ position
    camera = lens.camera(world_to_camera)
    return camera.resized(max(1, round(lens.width / downscale)), max(1, round(lens.height / downscale)))


def _number(entry: Mapping[str, Any], key: str) -> float:
    return float(_numbers(entry, key, ()))


def _numbers(entry: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.array(entry.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.array(math.nan)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"no {key} of {math.prod(shape)} finite numbers")
    return values
