"""Captures that COLMAP made: a sparse model and, beside it, the photos in `images`.

The model may lie in `sparse/0`, `sparse` or the capture's own folder, as COLMAP 3 and 4, 3DGS and Mip-NeRF 360 have
it. A `test.txt` beside the model lists test photos, one name a line.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from leansplat.captures.capture import Points
from leansplat.captures.colmap_model import model_suffix, read_images, read_lenses, read_points
from leansplat.captures.listing import Listing, Shot, find_photo
from leansplat.errors import CaptureError

_MODEL_FOLDERS = ("sparse/0", "sparse", ".")
_PHOTO_FOLDER = "images"


def find(folder: Path) -> Path | None:
    """The folder of the sparse model of a capture, or None when there is none."""
    return next((folder / place for place in _MODEL_FOLDERS if model_suffix(folder / place)), None)


def read(folder: Path, *, downscale: int = 1, points: bool = True) -> Listing:
    """List a COLMAP capture, for `leansplat.captures.load`.

    Args:
        downscale: photos in `images_{downscale}` are used where they exist.
        points: whether to read the sparse points.

    Raises:
        CaptureError: there is no model, one of its files is malformed, or an image's camera is not listed.
    """
    model = find(folder)
    if model is None:
        raise CaptureError(f"{folder} holds no COLMAP model; give the folder that holds sparse/0 and images.")
    suffix = model_suffix(model)
    source = model / f"images{suffix}"
    lenses = read_lenses(model / f"cameras{suffix}")
    shots, missing = [], []
    for image in read_images(source):
        if image.camera not in lenses:
            raise CaptureError(f"{source}: {image.name} has camera {image.camera}, which cameras{suffix} lacks.")
        relative = PurePosixPath(image.name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise CaptureError(f"{source}: the photo name '{image.name}' leaves the folder {_PHOTO_FOLDER}; rename it.")
        found = find_photo(folder / _PHOTO_FOLDER, image.name, downscale)
        if found is None:
            missing.append(image.name)
        else:
            shots.append(Shot(image.name, *found, lenses[image.camera], image.world_to_camera))
    warnings = []
    if model.name == "0" and any(model_suffix(other) for other in model.parent.iterdir() if other != model):
        warnings.append(f"{model.parent} holds several models; only {model.name} is used.")
    cloud = None
    if points:
        cloud = _points(model / f"points3D{suffix}")
        if cloud is None:
            warnings.append(f"{model} has no points; training starts from random ones.")
    return Listing(
        source,
        tuple(shots),
        missing=tuple(missing),
        test=_test_names(model / "test.txt"),
        points=cloud,
        warnings=tuple(warnings),
    )


def _points(path: Path) -> Points | None:
    return read_points(path) if path.is_file() else None


def _test_names(path: Path) -> frozenset[str] | None:
    """Names that a list file gives to the test side, or None without such a file."""
    if not path.is_file():
        return None
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"{path} cannot be read ({error}); list one photo name a line in UTF-8.") from error
