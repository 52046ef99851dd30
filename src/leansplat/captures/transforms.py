"""The `transforms.json` family (original NeRF, instant-ngp, nerfstudio): frames with a photo, a pose and intrinsics.

Poses are camera-to-world matrices with OpenGL camera axes (x right, y up, z backward); they become our
world-to-camera with OpenCV axes by turning y and z and inverting. Intrinsics are taken from the frame itself, then
from the file, and each missing one from the next simplest rule.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leansplat.captures.lens import Lens
from leansplat.captures.listing import Shot, find_photo
from leansplat.captures.photos import photo_size
from leansplat.errors import CaptureError

_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".JPG", ".PNG")  # frames may leave the suffix out
_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_UNSUPPORTED_DISTORTION = ("k4", "k5", "k6")
_RIGID = 1e-2  # how far rotations may be from orthonormal, in entries of R R^T: files round their numbers


@dataclass(frozen=True)
class Frame:
    """One entry of `frames` in the file `source`: where its photo should be, its pose, and its values.

    `values` are the frame's own over those that the file gives to all frames.
    """

    source: Path
    photo: Path
    world_to_camera: np.ndarray
    values: Mapping[str, Any]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CaptureError: the file cannot be read or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path} is not valid JSON ({error}); write it again.") from error
    if not isinstance(content, dict):
        raise CaptureError(f"{path} is not a JSON object with frames; write it again.")
    return content


def read_frames(path: Path, content: Mapping[str, Any]) -> list[Frame]:
    """Frames of a parsed file, photo paths resolved against the file's folder.

    Raises:
        CaptureError: a frame lacks a key, has a pose that is not rigid, or names a photo twice.
    """
    listed = content.get("frames")
    if not isinstance(listed, list):
        raise CaptureError(f"{path} has no list of frames; give a NeRF, instant-ngp or nerfstudio transforms file.")
    shared = {key: value for key, value in content.items() if key != "frames"}
    frames: dict[Path, Frame] = {}
    for index, entry in enumerate(listed):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise CaptureError(f"{path}: frame {index} has no file_path; write the file again.")
        photo = photo_path(path, entry["file_path"])
        if photo in frames:
            raise CaptureError(f"{path} lists the photo {entry['file_path']} twice; remove one of the frames.")
        pose = _world_to_camera(path, entry["file_path"], entry.get("transform_matrix"))
        frames[photo] = Frame(path, photo, pose, {**shared, **entry})
    return list(frames.values())


def photo_path(path: Path, name: str) -> Path:
    """Where the photo called `name` in transforms file `path` lies: as written, or with a suffix that exists.

    Raises:
        CaptureError: the name cannot be that of a file.
    """
    if "\0" in name:
        raise CaptureError(f"{path} has a photo name with a zero byte; write the file again.")
    plain = Path(os.path.normpath(path.parent / name))
    return next((full for full in (Path(f"{plain}{suffix}") for suffix in _SUFFIXES) if full.is_file()), plain)


def photo_names(frames: Sequence[Frame]) -> dict[Path, str]:
    """What to call the photo of each frame: its path from the deepest folder that holds all of them.

    So the same photos have the same names whichever file lists them.
    """
    folder = _photo_folder(frames)
    return {frame.photo: frame.photo.relative_to(folder).as_posix() for frame in frames}


def list_shots(frames: Sequence[Frame], downscale: int) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """Shots of the frames whose photo exists, and the names of the others' photos.

    Raises:
        CaptureError: a frame's intrinsics are missing, malformed or of a camera model that is not supported.
    """
    folder = _photo_folder(frames)
    names = photo_names(frames)
    shots, missing = [], []
    for frame in frames:
        name = names[frame.photo]
        # A downscaled copy lies beside the photo folder; what lies beside the capture itself is somebody else's.
        found = find_photo(folder, name, downscale if folder != frame.source.parent else 1)
        if found is None:
            missing.append(name)
            continue
        measured = frame.photo if frame.photo.is_file() else found[0]
        lens = _lens(frame.source, name, frame.values, measured)
        shots.append(Shot(name, *found, lens, frame.world_to_camera))
    return tuple(shots), tuple(missing)


def _photo_folder(frames: Sequence[Frame]) -> Path:
    return Path(os.path.commonpath([frame.photo.parent for frame in frames])) if frames else Path()


def _world_to_camera(path: Path, name: str, matrix: Any) -> np.ndarray:
    """(4, 4) world-to-camera with OpenCV axes from a camera-to-world matrix with OpenGL axes."""
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"{path}: {name} has no 4x4 transform_matrix of numbers; write the file again.") from error
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0, 0, 0, 1]])
    if pose.shape != (4, 4):
        raise CaptureError(f"{path}: {name} has no 4x4 transform_matrix of numbers; write the file again.")
    if not np.isfinite(pose).all():
        raise CaptureError(f"{path}: {name} has a pose that is not finite; write the file again.")
    turn = pose[:3, :3]
    rigid = np.abs(turn @ turn.T - np.eye(3)).max() < _RIGID and np.linalg.det(turn) > 0
    if not rigid or np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise CaptureError(f"{path}: the pose of {name} is not a rotation and a translation; remove its scale or skew.")
    left, _, right = np.linalg.svd(turn)
    rotation = (left @ right).T * np.array([[1.0], [-1.0], [-1.0]])  # OpenGL axes to OpenCV axes
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = rotation
    world_to_camera[:3, 3] = -rotation @ pose[:3, 3]
    return world_to_camera


def _lens(path: Path, name: str, values: Mapping[str, Any], photo: Path) -> Lens:
    """Intrinsics of a frame: focal lengths in pixels, else from the angle of view; centred unless cx, cy say else."""

    def number(key: str) -> float | None:
        value = values.get(key)
        if value is None:
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError
            return float(value)
        except (ValueError, OverflowError) as error:
            raise CaptureError(f"{path}: {key} of {name} is not a finite number; write the file again.") from error

    model = values.get("camera_model", "OPENCV")
    if model not in _MODELS or values.get("is_fisheye") or any(number(key) for key in _UNSUPPORTED_DISTORTION):
        raise CaptureError(
            f"{path}: {name} has a camera model that is not one of {', '.join(_MODELS)} with k1, k2, p1, p2, k3; "
            "undistort the photos first."
        )
    width, height = number("w"), number("h")
    if width is None or height is None:
        width, height = photo_size(photo)
    fx, fy = number("fl_x"), number("fl_y")
    if fx is None and fy is None:
        fx, fy = _focal(number("camera_angle_x"), width), _focal(number("camera_angle_y"), height)
    fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
    if fx is None or fy is None:
        raise CaptureError(f"{path}: {name} has neither fl_x nor a usable camera_angle_x; write the file again.")
    cx, cy = number("cx"), number("cy")
    distortion = tuple(number(key) or 0.0 for key in _DISTORTION)
    try:
        return Lens(
            fx,
            fy,
            width / 2 if cx is None else cx,
            height / 2 if cy is None else cy,
            round(width),
            round(height),
            distortion,
        )
    except ValueError as error:
        raise CaptureError(f"{path}: {name} has {error}; write the file again.") from error


def _focal(angle: float | None, size: float) -> float | None:
    """Focal length in pixels of an angle of view in radians."""
    if angle is None or not 0 < angle < math.pi:
        return None
    return 0.5 * size / math.tan(0.5 * angle)
