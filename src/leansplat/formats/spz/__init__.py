"""SPZ, Niantic's format: a Gaussian in 20 bytes and one for each number of its spherical harmonics, then gzip or zstd.

Versions 2, 3 and 4 are read; 3 is written, which every viewer of SPZ opens, or 4 on request, which only the newest do.

The format has axes of its own (x right, y up, z back), but says nothing in a file about those in use. Niantic's own
converter from PLY, splat-transform and gsply store coordinates as they are, and so does this module, both ways: a scene
then stands in a viewer as its .ply does.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from leansplat.arrays import AnyScene, GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import Written, losses, refuse_nonfinite
from leansplat.formats.known import SPZ
from leansplat.formats.options import SpzOptions, SpzVersion
from leansplat.formats.spz.container import GZIP_MAGIC, MAGIC, pack, unpack
from leansplat.formats.spz.encoding import (
    Encoded,
    arranged,
    decode,
    encode,
    sh_codes,
    sh_values,
    widths_of_bits,
)

__all__ = [
    "FORMAT",
    "Encoded",
    "arranged",
    "decode",
    "encode",
    "loses",
    "read",
    "recognises",
    "sh_codes",
    "sh_values",
    "widths_of_bits",
    "write",
    "write_encoded",
]


def read(path: str | os.PathLike[str], *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read an SPZ file.

    What cannot be kept (spherical harmonics of degree 4, extensions) is named in a warning of the `leansplat` logger.

    Args:
        path: the file.
        drop_nonfinite: without effect, since everything an SPZ file can say is finite.

    Returns:
        float32 arrays, in the file's order.

    Raises:
        SceneFileError: the file is missing, not SPZ, of an unknown version, damaged, or not as long as it says.
    """
    return decode(unpack(Path(path)))


def write(
    gaussians: AnyScene,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    options: SpzOptions | None = None,
) -> Written:
    """Write an SPZ file; it appears whole or not at all, and the same scene gives the same bytes.

    The Gaussians are put into Morton order, in which neighbours compress each other.

    Args:
        path: the file.
        overwrite: whether a file already there may be replaced.
        options: version and bits; the usual ones by default.

    Returns:
        What became of the scene; strays are left out that would coarsen the others.

    Raises:
        SceneFileError: a parameter is NaN or infinite, or a position out of the format's reach.
        InputError: as `leansplat.files.replacing` does.
    """
    path, gaussians, options = Path(path), gaussians.arrays(), options or SpzOptions()
    refuse_nonfinite(gaussians, path)
    try:
        encoded = encode(gaussians, sh_bits=options.sh_bits)
    except ValueError as error:
        raise SceneFileError(
            f"{path} cannot hold this scene: {error}; scale it, remove what is far, or write a .ply."
        ) from error
    write_encoded(encoded, path, overwrite=overwrite, version=options.version)
    return Written(encoded.order, lambda rows: decode(encoded, rows))


def write_encoded(encoded: Encoded, path: Path, *, overwrite: bool = False, version: SpzVersion = 3) -> None:
    """Write what `encode` made; path, overwrite and errors as for `write`."""
    with replacing(path, overwrite=overwrite) as handle:
        pack(encoded, handle, version)


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is an SPZ file, compressed or not."""
    if head.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, len(MAGIC))
        except zlib.error:
            return False
    return head.startswith(MAGIC)


def loses(gaussians: AnyScene) -> tuple[str, ...]:
    """What an SPZ file cannot say: extras, comments and an origin."""
    return losses(gaussians, comments=False, origin=False)


FORMAT = SPZ
