"""`bytes_of_parts`: what a compressed file spends its bytes on, attribute by attribute."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from leansplat.formats import compressed_ply, spz
from leansplat.formats.spz.container import unpack

_PIECE = 1 << 20


def bytes_of_parts(path: Path) -> dict[str, int]:
    """Bytes by part of a .sog, .npz, .spz or .compressed.ply, in the order of the file.

    In an archive (.sog, .npz) parts are its members as they are packed, and "archive" is what holds them together. In a
    .compressed.ply they add up to the file, "header" included. An .spz is one stream whose parts have no size of their
    own: each is deflated alone, which comes close, and the sum misses the file by a little.

    Raises:
        SceneFileError: the file is damaged.
    """
    if path.name.lower().endswith(spz.FORMAT.suffixes):
        return {name: _deflated(section) for name, section in _spz_sections(path)}
    if path.name.lower().endswith(compressed_ply.FORMAT.suffixes):
        encoded = compressed_ply.unpack(path)
        count = len(encoded)
        parts = {"chunks": encoded.ranges.nbytes}
        parts |= dict.fromkeys(("positions", "rotations", "scales", "colors"), 4 * count)
        parts["shN"] = encoded.shN.nbytes
        return {"header": path.stat().st_size - sum(parts.values()), **parts}
    with zipfile.ZipFile(path) as archive:
        members = {Path(entry.filename).stem: entry.compress_size for entry in archive.infolist()}
    return {**members, "archive": path.stat().st_size - sum(members.values())}


def _spz_sections(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    encoded = unpack(path)
    yield "positions", np.ascontiguousarray(encoded.positions.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3])
    for name in ("alphas", "colors", "scales", "rotations", "shN"):
        yield name, getattr(encoded, name)


def _deflated(section: np.ndarray) -> int:
    content = np.ascontiguousarray(section).reshape(-1).view(np.uint8)
    stream = zlib.compressobj(9)
    pieces = (stream.compress(content[start : start + _PIECE].tobytes()) for start in range(0, len(content), _PIECE))
    return sum(map(len, pieces)) + len(stream.flush())
