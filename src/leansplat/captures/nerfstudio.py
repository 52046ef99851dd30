"""Captures of nerfstudio and instant-ngp: one `transforms.json` that lists all photos.

The file's own `train_filenames` and `test_filenames` (or `val_filenames`) are honoured. World units and axes stay the
file's: nerfstudio's `applied_transform` is already in its poses and in its point cloud, so it is not applied again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leansplat.captures.listing import Listing
from leansplat.captures.photo_search import as_written, listed_photos
from leansplat.captures.sparse_points import points_of_transforms
from leansplat.captures.transforms import Frame, list_shots, photo_names, read_frames, read_json
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
        points: whether to read the point cloud that the file names or has beside it.

    Raises:
        CaptureError: the file is malformed.
    """
    content = read_json(path)
    frames, warnings = read_frames(path, content)
    shots, missing, assumed = list_shots(frames, downscale)
    train = _listed(path, content, "train_filenames", frames)
    test = _listed(path, content, "test_filenames", frames)
    if test is None:
        test = _listed(path, content, "val_filenames", frames)
    cloud, said = points_of_transforms(path, content, shots) if points else (None, None)
    warnings = [*warnings, *assumed, *([] if said is None else [said])]
    return Listing(path, shots, missing, train, test, cloud, tuple(warnings))


def _listed(path: Path, content: Mapping[str, Any], key: str, frames: Sequence[Frame]) -> frozenset[str] | None:
    """Names of the photos in one of the file's lists; a photo without a frame keeps its path as its name."""
    listed = content.get(key)
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(name, str) and "\0" not in name for name in listed):
        raise CaptureError(f"{path}: {key} is not a list of photo paths; write the file again.")
    by_file = photo_names(frames)
    by_name = {frame.values["file_path"]: by_file[frame.photo] for frame in frames}
    files = {name: as_written(path.parent, name) for name in listed}
    found = frozenset(by_file[file] for file in files.values() if file in by_file)
    return found | listed_photos((name for name, file in files.items() if file not in by_file), by_name)
