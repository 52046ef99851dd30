"""Captures that COLMAP made: a sparse model and, beside it, the photos in `images`.

The model may lie in `sparse/0`, `sparse` or the capture's own folder, as COLMAP 3 and 4, 3DGS and Mip-NeRF 360 have
it. A `test.txt` beside the model lists test photos, one name a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from leansplat.captures.colmap_model import model_suffix, read_images, read_lenses
from leansplat.captures.listing import Listing, Shot, find_copies
from leansplat.captures.photo_search import called, listed_photos, locate, name_parts, shown
from leansplat.captures.sparse_points import points_of_model
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
    suffix = None if model is None else model_suffix(model)
    if model is None or suffix is None:
        raise CaptureError(f"{folder} holds no COLMAP model; give the folder that holds sparse/0 and images.")
    source = model / f"images{suffix}"
    lenses = read_lenses(model / f"cameras{suffix}")
    images = read_images(source)
    for image in images:
        if image.camera not in lenses:
            raise CaptureError(
                f"{source}: {image.name} has camera {image.camera}, which cameras{suffix} lacks; export the model "
                "again."
            )
    photos = folder / _PHOTO_FOLDER
    others = (*filter(Path.is_dir, called(folder, _PHOTO_FOLDER)), model, folder)
    located = locate(source, [image.name for image in images], (photos, *others))
    names = {listed: shown(path.relative_to(located.folder)) for listed, path in located.files.items()}
    copies = find_copies(source, folder, photos, [names.get(image.name, image.name) for image in images], downscale)
    shots, missing = [], {}
    for image in images:
        photo = located.files.get(image.name)
        copy = copies.files.get(names.get(image.name, image.name))
        if photo is None and copy is not None:
            names[image.name] = shown(copy.relative_to(copies.folder))
        if image.name in names:
            shots.append(Shot(names[image.name], photo, copy, lenses[image.camera], image.world_to_camera))
        else:
            missing[shown(image.name)] = located.folder.joinpath(*name_parts(image.name))
    warnings = [*located.warnings(source), *copies.warnings(source)]
    if model.name == "0" and any(model_suffix(other) for other in model.parent.iterdir() if other != model):
        warnings.append(f"{model.parent} holds several models; only {model.name} is used.")
    cloud, said = points_of_model(model, suffix, folder) if points else (None, None)
    if said is not None:
        warnings.append(said)
    return Listing(
        source,
        tuple(shots),
        missing=missing,
        test=_test_names(model / "test.txt", names),
        points=cloud,
        warnings=tuple(warnings),
    )


def _test_names(path: Path, names: Mapping[str, str]) -> frozenset[str] | None:
    """Names that a list file gives to the test side, or None without such a file.

    Args:
        names: what each photo is called, by its name in the model.
    """
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"{path} cannot be read ({error}); list one photo name per line, in UTF-8.") from error
    return listed_photos((line.strip() for line in lines if line.strip()), names)
