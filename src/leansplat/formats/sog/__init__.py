"""SOG, PlayCanvas's format of images: a Gaussian in some ten bytes, spherical harmonics and all.

Version 2 is read and written (developer.playcanvas.com, "The SOG Format"), as one file (`.sog`, a zip) or as a
`meta.json` with images beside it; version 1 is read. The specification's axes point up and back, but its own tools
store coordinates as they are, and so does this module: a scene then stands in a viewer as its .ply does.
"""

from __future__ import annotations

import os
from pathlib import Path

from leansplat.arrays import AnyScene, GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats.format import Written, opened, refuse_nonfinite
from leansplat.formats.known import SOG
from leansplat.formats.options import SogOptions
from leansplat.formats.sog import version1
from leansplat.formats.sog.codebooks import (
    SMALLEST_PALETTE,
    Codebooks,
    fit,
    importance,
    palette_labels,
    usual_palette_size,
)
from leansplat.formats.sog.container import pack, unpack
from leansplat.formats.sog.encoding import Encoded, arranged, decode, encode
from leansplat.formats.sog.files import META, ZIP_MAGIC, beside, opened_files, write_beside, write_bundle
from leansplat.formats.sog.meta import Meta

__all__ = [
    "FORMAT",
    "SMALLEST_PALETTE",
    "Codebooks",
    "Encoded",
    "SogOptions",
    "arranged",
    "decode",
    "encode",
    "fit",
    "importance",
    "pack",
    "palette_labels",
    "read",
    "recognises",
    "usual_palette_size",
    "write",
    "write_encoded",
]

_BUNDLE = ".sog"


def read(path: str | os.PathLike[str], *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read a SOG scene: a bundle, or a meta.json with its images beside it.

    Args:
        path: the file.
        drop_nonfinite: without effect, since everything a SOG file can say is finite.

    Returns:
        float32 arrays, in the file's order.

    Raises:
        SceneFileError: a file is missing, damaged, of an unknown version, or does not fit the others.
    """
    path = Path(path)
    with opened_files(path) as (files, name):
        meta = Meta.read(files, name, path)
        match meta.get("version"):
            case 2:
                return decode(unpack(files, meta))
            case None if meta.get("means", "shape") is not None:
                return version1.read(files, meta)
            case None:
                raise SceneFileError(f"{path} is not a SOG scene: its {name} has no version; check which file it is.")
            case version:
                raise SceneFileError(
                    f"{path} is SOG of version {version!r:.20}; only 1 and 2 are known: export it again."
                )


def write(
    gaussians: AnyScene,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    options: SogOptions | None = None,
) -> Written:
    """Write a SOG scene of version 2; it appears whole or not at all, and the same scene gives the same bytes.

    Args:
        path: ends in .sog for a bundle, or in meta.json, whose images then go beside it under the same prefix.
        overwrite: whether files already there may be replaced.
        options: of the palette; the usual ones by default.

    Returns:
        What became of the scene; strays are left out that would coarsen the others.

    Raises:
        SceneFileError: a parameter is NaN or infinite, or there are more Gaussians than fit into an image.
        InputError: as `leansplat.files.replacing` does.
    """
    path, gaussians, options = Path(path), gaussians.arrays(), options or SogOptions()
    refuse_nonfinite(gaussians, path)
    encoded = encode(gaussians, palette_size=options.palette_size, seed=options.seed)
    write_encoded(encoded, path, overwrite=overwrite)
    return Written(encoded.order, lambda rows: decode(encoded, rows))


def write_encoded(encoded: Encoded, path: Path, *, overwrite: bool = False) -> None:
    """Write what `encode` made; path, overwrite and errors as for `write`."""
    bundled = path.name.lower().endswith(_BUNDLE)
    prefix = "" if bundled else path.name[: -len(META)]
    try:
        images, meta = pack(encoded, prefix)
    except ValueError as error:
        raise SceneFileError(f"{path} cannot hold this scene: {error}; write another format.") from error
    if bundled:
        write_bundle({**images, META: meta}, path, overwrite=overwrite)
    else:
        write_beside(images, meta, path, overwrite=overwrite)


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip with a file of SOG, or the meta.json of a SOG scene."""
    if head.startswith(ZIP_MAGIC):
        return b".webp" in head or b"meta.json" in head
    return head.lstrip().startswith(b"{") and b'"means"' in head


def files(path: Path) -> tuple[Path, ...]:
    """The bundle, or the meta.json and the images it names."""
    with opened(path) as handle:
        if handle.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            return (path,)
    with opened_files(path) as (found, name):
        meta = Meta.read(found, name, path)
    return (path, *(beside(name, path) for name in meta.images()))


FORMAT = SOG
