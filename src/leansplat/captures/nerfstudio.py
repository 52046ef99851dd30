"""Captures of nerfstudio and instant-ngp: one `transforms.json` that lists all photos.

The file's own `train_filenames` and `test_filenames` (or `val_filenames`) are honoured. World units and axes stay the
file's: nerfstudio's `applied_transform` is already in its poses and in its point cloud, so it is not applied again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leansplat.captures.capture import Points
from leansplat.captures.listing import Listing
from leansplat.captures.point_cloud import read_point_cloud
from leansplat.captures.transforms import list_shots, photo_names, photo_path, read_frames, read_json
from leansplat.errors import CaptureError

FILE = "transforms.json"


def find(folder: Path) -> Path | None:
    """The transforms file of a capture folder, or None when there is none."""
    return folder / FILE if (folder / FILE).is_file() else None


def read(path: Path, *, downscale: int = 1, points: bool = True) -> Listing:
    """List a nerfstudio or instant-ngp capture, for `leansplat.captures.load`.

    Args:
        path: a transforms file, whatever its name.
        downscale: photos in a sibling of the photo folder called `..._{downscale}` are used where they exist.
        points: whether to read the point cloud that the file names.

    Raises:
        CaptureError: the file is malformed.
    """
    content = read_json(path)
    frames = read_frames(path, content)
    shots, missing = list_shots(frames, downscale)
    names = photo_names(frames)
    train = _listed(path, content, "train_filenames", names)
    test = _listed(path, content, "test_filenames", names)
    if test is None:
        test = _listed(path, content, "val_filenames", names)
    cloud, warnings = _points(path, content) if points else (None, ())
    return Listing(path, shots, missing, train, test, cloud, warnings)


def _listed(path: Path, content: Mapping[str, Any], key: str, names: Mapping[Path, str]) -> frozenset[str] | None:
    """Names of the photos in one of the file's lists; a photo without a frame keeps its path as its name."""
    listed = content.get(key)
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise CaptureError(f"{path}: {key} is not a list of photo paths; write the file again.")
    return frozenset(names.get(photo_path(path, name), name) for name in listed)


def _points(path: Path, content: Mapping[str, Any]) -> tuple[Points | None, tuple[str, ...]]:
    name = content.get("ply_file_path")
    if name is None:
        return None, ()
    if not isinstance(name, str):
        raise CaptureError(f"{path}: ply_file_path is not a path; write the file again.")
    if not (path.parent / name).is_file():
        return None, (
            f"{path} names the point cloud {name}, which does not exist; training starts from random points.",
        )
    return read_point_cloud(path.parent / name), ()
