"""The `transforms.json` family (original NeRF, instant-ngp, nerfstudio): frames with a photo, a pose and intrinsics.

Poses are camera-to-world matrices with OpenGL camera axes (x right, y up, z backward); they become our
world-to-camera with OpenCV axes by turning y and z and inverting. A frame's own values go before those of the file.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leansplat.captures.intrinsics import read_lens
from leansplat.captures.listing import Mask, Shot, find_copies
from leansplat.captures.mask_search import named_mask
from leansplat.captures.photo_search import locate, name_parts, shown
from leansplat.errors import CaptureError

_RIGID = 1e-2  # how far rotations may be from orthonormal, in entries of R R^T: files round their numbers


@dataclass(frozen=True)
class Frame:
    """One entry of `frames` in the file `source`: its photo, its pose, and its values.

    `photo` is the photo's file where `exists`, else where it should be; `values` are the frame's own over those that
    the file gives to all frames.
    """

    source: Path
    photo: Path
    exists: bool
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


def read_frames(path: Path, content: Mapping[str, Any]) -> tuple[list[Frame], list[str]]:
    """Frames of a parsed file, photos looked for from the file's folder, and what was taken for what, in sentences.

    Raises:
        CaptureError: a frame lacks a key, has a pose that is not rigid, or names a photo twice or none for sure.
    """
    listed = content.get("frames")
    if not isinstance(listed, list):
        raise CaptureError(f"{path} has no list of frames; give a NeRF, instant-ngp or nerfstudio transforms file.")
    for index, entry in enumerate(listed):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise CaptureError(f"{path}: frame {index} has no file_path; write the file again.")
        if set(entry["file_path"]) & set("\0\n\r"):
            raise CaptureError(f"{path} has a photo name with a zero byte or a line break; rename the photo.")
    shared = {key: value for key, value in content.items() if key != "frames"}
    names = [entry["file_path"] for entry in listed]
    located = locate(path, names, (path.parent, path.parent / "images"), anywhere=True)
    absent = _absent_photos(located.folder, [name for name in names if name not in located.files])
    frames: dict[Path, Frame] = {}
    for entry in listed:
        name = entry["file_path"]
        photo = located.files.get(name) or absent[name]
        if photo in frames:
            raise CaptureError(f"{path} lists the photo {name} twice; remove one of the frames.")
        pose = _world_to_camera(path, name, entry.get("transform_matrix"))
        frames[photo] = Frame(path, photo, name in located.files, pose, {**shared, **entry})
    return list(frames.values()), located.warnings(path)


def _absent_photos(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Where photos that do not exist should be: as written, and for another machine's paths from their last common
    folder on, below this one."""
    foreign = {name: name_parts(name) for name in names if re.match(r"([A-Za-z]:)?[\\/]", name)}
    common = name_parts(posixpath.commonpath(["/".join(parts[:-1]) for parts in foreign.values()])) if foreign else []
    absent = {name: Path(os.path.normpath(folder / name.replace("\\", "/"))) for name in names}
    return absent | {name: folder.joinpath(*common[-1:], *parts[len(common) :]) for name, parts in foreign.items()}


def photo_names(frames: Sequence[Frame]) -> dict[Path, str]:
    """What to call the photo of each frame: its path from the deepest folder that holds all of them.

    So the same photos have the same names whichever file lists them.
    """
    folder = _photo_folder(frames)
    return {frame.photo: shown(frame.photo.relative_to(folder)) for frame in frames}


def list_shots(frames: Sequence[Frame], downscale: int) -> tuple[tuple[Shot, ...], dict[str, Path], list[str]]:
    """Shots of the frames whose photo exists, where the others' photos should be by their names, and what was assumed.

    Raises:
        CaptureError: a frame's intrinsics are missing, malformed or of a camera model that is not supported.
    """
    if not frames:
        return (), {}, []
    source = frames[0].source
    names, folder = photo_names(frames), _photo_folder(frames)
    copies = find_copies(source, source.parent, folder, list(names.values()), downscale)
    shots, missing = [], {}
    assumptions: dict[str, list[str]] = {}
    absent_masks: list[str] = []
    for frame in frames:
        name = names[frame.photo]
        photo, copy = frame.photo if frame.exists else None, copies.files.get(name)
        if photo is None and copy is None:
            missing[name] = frame.photo
            continue
        lens, assumed = read_lens(frame.source, name, frame.values, photo, copy, downscale)
        if assumed is not None:
            assumptions.setdefault(assumed, []).append(name)
        mask, absent = named_mask(frame.source, frame.values, frame.photo, downscale, reduced=copy is not None)
        if absent is not None:
            absent_masks.append(absent)
        shots.append(Shot(name, photo, copy, lens, frame.world_to_camera, () if mask is None else (Mask(mask),)))
    warnings = [
        f"{source} has no w and h for {len(photos)} photos (first: {min(photos)}); its numbers in pixels are taken to "
        f"be for photos {assumed}."
        for assumed, photos in assumptions.items()
    ]
    if absent_masks:
        warnings.append(
            f"{source} names masks for {len(absent_masks)} photos that do not exist (first: {min(absent_masks)}); they "
            "are skipped."
        )
    if downscale > 1 and re.fullmatch(r"images_\d+", folder.name):
        warnings.append(
            f"{source} lists the photos in {folder}, reduced ones, and they are reduced {downscale} times more."
        )
    return tuple(shots), missing, [*copies.warnings(source), *warnings]


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
