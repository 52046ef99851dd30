"""The points that training starts from, found where tools leave them: in the model, beside it, or named by a file.

What a transforms file names, and nerfstudio's `sparse_pc.ply`, is in the frame of its poses. `points3D.ply` is COLMAP's
name, and may be in COLMAP's frame where nerfstudio has turned the poses since (by `applied_transform`): the cameras,
which saw the points, tell which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leansplat.captures.capture import Points
from leansplat.captures.colmap_model import read_points
from leansplat.captures.listing import Shot
from leansplat.captures.photo_search import called, find_file
from leansplat.captures.point_cloud import read_point_cloud
from leansplat.errors import CaptureError

_NERFSTUDIO = "sparse_pc.ply"
_COLMAP = "points3D.ply"
_MOST_SHOTS, _MOST_POINTS = 50, 1000  # that are asked which frame points are in


def points_of_model(model: Path, suffix: str, capture: Path) -> tuple[Points | None, str | None]:
    """The points of a COLMAP model, and what to say of them.

    Its own encoding goes first, then the other, then a `points3D.ply` in the model's folder or the capture's.

    Raises:
        CaptureError: the file that they are in is malformed.
    """
    own = model / f"points3D{suffix}"
    beside = [model / "points3D.bin", model / "points3D.txt", *called(model, _COLMAP)]
    for path in dict.fromkeys((own, *beside, *called(capture, _COLMAP))):
        if path.is_file():
            cloud = read_point_cloud(path) if path.suffix.lower() == ".ply" else read_points(path)
            if cloud is not None:
                return cloud, None if path == own else f"{own} has no points; training starts from those in {path}."
    return None, f"{model} has no points; training starts from random ones."


def points_of_transforms(
    path: Path, content: Mapping[str, Any], shots: Sequence[Shot]
) -> tuple[Points | None, str | None]:
    """The points that a transforms file names, else those that lie beside it, and what to say of them.

    Raises:
        CaptureError: the file that they are in is malformed, or what the transforms file says of them.
    """
    name = content.get("ply_file_path")
    said = f"{path} names no point cloud"
    if name is not None:
        if not isinstance(name, str) or "\0" in name:
            raise CaptureError(f"{path}: ply_file_path is not a path; write the file again.")
        if (path.parent / name).is_file():
            cloud = read_point_cloud(path.parent / name)
            return cloud, None if cloud else f"{path.parent / name} has no points; training starts from random ones."
        said = f"{path} names the point cloud {name}, which does not exist"
        found = find_file(path, path.parent, name)
        if found is not None:
            return read_point_cloud(found), f"{said}; training starts from {found}."
    for found in filter(Path.is_file, called(path.parent, _NERFSTUDIO)):
        return read_point_cloud(found), f"{said}; training starts from {found}."
    for found in filter(Path.is_file, called(path.parent, _COLMAP)):
        cloud, frame = _in_the_frame_of_poses(path, read_point_cloud(found), content, shots)
        return cloud, f"{said}; training starts from {found}{frame}."
    return None, None if name is None else f"{said}; training starts from random points."


def _in_the_frame_of_poses(
    path: Path, cloud: Points | None, content: Mapping[str, Any], shots: Sequence[Shot]
) -> tuple[Points | None, str]:
    """Points as they are or turned as the poses were, whichever the cameras see more of, and what to add about it."""
    if cloud is None or content.get("applied_transform") is None:
        return cloud, ""
    try:
        transform = np.array(content["applied_transform"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        transform = np.empty(0)
    if transform.shape not in ((3, 4), (4, 4)) or not np.isfinite(transform).all():
        raise CaptureError(f"{path}: applied_transform is not a 3x4 matrix of numbers; write the file again.")
    positions = cloud.positions.double().numpy()
    turned = positions @ transform[:3, :3].T + transform[:3, 3]
    as_they_are, as_turned = _share_seen(positions, shots), _share_seen(turned, shots)
    if as_turned <= as_they_are:
        return cloud, ""
    how = f", turned by applied_transform, with which cameras see {as_turned:.0%} and without {as_they_are:.0%}"
    return Points(torch.from_numpy(turned).to(cloud.positions.dtype), cloud.colors), how


def _share_seen(positions: np.ndarray, shots: Sequence[Shot]) -> float:
    """Mean over cameras of the share of points that fall into the photo, distortion aside."""
    some = positions[:: max(1, len(positions) // _MOST_POINTS)]
    shares = []
    for shot in shots[:: max(1, len(shots) // _MOST_SHOTS)]:
        x, y, depth = (some @ shot.world_to_camera[:3, :3].T + shot.world_to_camera[:3, 3]).T
        depth = np.where(depth > 0, depth, np.nan)
        column, row = shot.lens.fx * x / depth + shot.lens.cx, shot.lens.fy * y / depth + shot.lens.cy
        inside = (column > 0) & (column < shot.lens.width) & (row > 0) & (row < shot.lens.height)
        shares.append(float(inside.mean()))
    return float(np.mean(shares)) if shares else 0.0
