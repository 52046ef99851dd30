"""Blender-synthetic captures (the NeRF-synthetic scenes): `transforms_train.json` and `transforms_test.json`.

Each file lists the photos of its side, with one angle of view for all; `transforms_val.json` is not used. Photos have
alpha and are composed on the background, which is black unless asked, as 3DGS does without `--white_background`.
"""

from __future__ import annotations

from pathlib import Path

from leansplat.captures.listing import Listing
from leansplat.captures.sparse_points import points_of_transforms
from leansplat.captures.transforms import list_shots, photo_names, read_frames, read_json
from leansplat.errors import CaptureError

FILE = "transforms_train.json"
_TEST_FILE = "transforms_test.json"


def find(folder: Path) -> Path | None:
    """The training side's transforms file, or None when there is none."""
    return folder / FILE if (folder / FILE).is_file() else None


def read(path: Path, *, downscale: int = 1, points: bool = True) -> Listing:
    """List a Blender-synthetic capture, for `leansplat.captures.load`.

    Args:
        path: the training side's file; the test side's is looked for beside it.
        downscale: how much smaller photos are wanted.
        points: whether to read a point cloud that lies beside the files, which few such captures have.

    Raises:
        CaptureError: a file is malformed, or a photo is on both sides.
    """
    test_path = path.with_name(_TEST_FILE)
    content = read_json(path)
    train, warnings = read_frames(path, content)
    test, more = read_frames(test_path, read_json(test_path)) if test_path.is_file() else ([], [])
    frames = [*train, *test]
    names = photo_names(frames)
    if len(names) < len(frames):
        twice = {frame.photo for frame in train} & {frame.photo for frame in test}
        raise CaptureError(f"{test_path} lists {names[min(twice)]}, which {FILE} lists too; take it out of one.")
    shots, missing, assumed = list_shots(frames, downscale)
    cloud, said = points_of_transforms(path, content, shots) if points else (None, None)
    warnings = [*warnings, *more, *assumed, *([] if said is None else [said])]
    if not test:
        warnings.append(f"{_TEST_FILE} is not there; every 8th photo is for testing.")
        return Listing(path, shots, missing, points=cloud, warnings=tuple(warnings))
    return Listing(
        path,
        shots,
        missing,
        train=frozenset(names[frame.photo] for frame in train),
        test=frozenset(names[frame.photo] for frame in test),
        points=cloud,
        warnings=tuple(warnings),
    )
