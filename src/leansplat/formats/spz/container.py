"""The layout of SPZ files, versions 2 to 4, around the integers of `encoding`.

All numbers are little-endian. A header of 16 bytes:

    magic "NGSP" | version u32 | Gaussians u32 | SH degree u8 | fractional bits u8 | flags u8 | streams u8

with flag 1 for opacity compensation (Mip-Splatting) and 2 for extensions. Then six sections, each with all Gaussians:
positions (3 x 24 bits), alphas (u8), colors (3 u8), scales (3 u8), rotations (4 u8; 3 in version 2), and spherical
harmonics, the three colours of a coefficient side by side. In versions 2 and 3 all of it is one gzip stream, extensions
last, and "streams" is zero. In version 4

    offset of the table u32 | 12 bytes of zero | extensions | table | streams

follow the header, nothing but the streams is compressed, and the table has two u64 for each section that is not empty:
the bytes of its zstd stream, and the bytes of the section.
"""

from __future__ import annotations

import gzip
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from leansplat.arrays import blocks
from leansplat.errors import SceneFileError
from leansplat.formats.format import opened
from leansplat.formats.options import SpzVersion
from leansplat.formats.spz.encoding import Encoded
from leansplat.formats.spz.streams import gzip_strategy, write_gzip, zstd_stream

MAGIC = b"NGSP"
GZIP_MAGIC = b"\x1f\x8b"

_HEADER = struct.Struct("<4sIIBBBB")
_REST_OF_HEADER = struct.Struct("<I12x")
_TABLE_ENTRY = struct.Struct("<QQ")
_READ = {2: "gzip", 3: "gzip", 4: "zstd"}
"""Versions that are read, and how what they hold is compressed."""

_ANTIALIASED = 1
_EXTENSIONS = 2

_COEFFICIENTS = (0, 3, 8, 15, 24)
"""Above degree 0, for SH degrees 0 to 4."""

_KEPT_DEGREE = 3
_LARGEST_EXTENSIONS = 1 << 20
_LARGEST_WINDOW = 1 << 27
"""Bytes that decompressing a zstd stream may take beside its output; larger ones need options nobody uses."""

_PIECE = 1 << 16
"""Gaussians whose bytes are compressed at once; another number would make other files."""

_LARGEST_RATIO = 1032
"""How much smaller deflate can make anything, and far more than zstd makes of real scenes."""

_ALWAYS_ALLOWED = 1 << 26
"""Bytes that even a tiny file may stand for; a scene of equal Gaussians is one."""

_log = logging.getLogger("leansplat")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Header:
    version: int
    count: int
    degree: int
    fractional_bits: int
    flags: int
    streams: int

    @property
    def sections(self) -> dict[str, int]:
        """Bytes a Gaussian of each section, in the file's order."""
        rotation = 3 if self.version == 2 else 4
        harmonics = 3 * _COEFFICIENTS[self.degree]
        return {"positions": 9, "alphas": 1, "colors": 3, "scales": 3, "rotations": rotation, "shN": harmonics}


def unpack(path: Path) -> Encoded:
    """Read a file of version 2, 3 or 4; spherical harmonics of degree 4 and extensions are left out with a warning.

    Memory is taken for what a file of this size can hold, at most 1032 times its size or 64 MiB, and for the window of
    zstd, at most 128 MiB.

    Raises:
        SceneFileError: it is not an SPZ file, of another version, damaged, or not as long as its header says.
    """
    with opened(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        magic = handle.read(len(MAGIC))
        handle.seek(0)
        if magic == MAGIC:
            header, encoded = _unpack_zstd(handle, size, path)
        elif magic.startswith(GZIP_MAGIC):
            header, encoded = _unpack_gzip(handle, size, path)
        else:
            raise SceneFileError(
                f"{path} is not an SPZ file: it starts with neither gzip nor NGSP; check which file it is."
            )
    if header.degree > _KEPT_DEGREE:
        _log.warning("%s: spherical harmonics of degree %d were dropped, as 3 is the highest", path, header.degree)
    if header.flags & _EXTENSIONS:
        _log.warning("%s: extensions of SPZ were left out; if they name its axes, turn the scene yourself", path)
    return encoded


def pack(encoded: Encoded, handle: BinaryIO, version: SpzVersion) -> None:
    """Write a file; the same scene gives the same bytes.

    Args:
        encoded: rotations have four bytes.
        handle: open for writing, at its start.
    """
    names = ("positions", "alphas", "colors", "scales", "rotations", "shN")
    full = [section for section in (getattr(encoded, name) for name in names) if section.size]
    header = _HEADER.pack(
        MAGIC,
        version,
        len(encoded.positions),
        _COEFFICIENTS.index(encoded.shN.shape[1]),
        encoded.fractional_bits,
        _ANTIALIASED if encoded.antialiased else 0,
        len(full) if version == 4 else 0,
    )
    if version == 3:
        harmonics = gzip_strategy(np.ascontiguousarray(encoded.shN).reshape(-1).data)
        strategies = [harmonics if section is encoded.shN else zlib.Z_DEFAULT_STRATEGY for section in full]
        pieces = ((each, how) for section, how in zip(full, strategies, strict=True) for each in _pieces(section))
        write_gzip(chain([(header, zlib.Z_DEFAULT_STRATEGY)], pieces), handle)
        return
    streams = [zstd_stream(_pieces(section), _size_in_file(section)) for section in full]
    handle.write(header + _REST_OF_HEADER.pack(_HEADER.size + _REST_OF_HEADER.size))
    for stream, section in zip(streams, full, strict=True):
        handle.write(_TABLE_ENTRY.pack(len(stream), _size_in_file(section)))
    for stream in streams:
        handle.write(stream)


def _unpack_gzip(handle: BinaryIO, size: int, path: Path) -> tuple[_Header, Encoded]:
    try:
        with gzip.GzipFile(fileobj=handle, mode="rb") as stream:
            header = _read_header(stream, size, "gzip", path)
            arrays = _arrays(header)
            for name in arrays:
                _fill(arrays[name], stream, header.sections[name], path)
            rest = len(stream.read(_LARGEST_EXTENSIONS + 1))  # also checks the checksum
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SceneFileError(f"{path} is cut off or damaged: its gzip stream cannot be read; copy it again.") from error
    if rest > (_LARGEST_EXTENSIONS if header.flags & _EXTENSIONS else 0):
        raise SceneFileError(f"{path} goes on after its {header.count:,} Gaussians; export it again.")
    return header, _encoded(arrays, header)


def _unpack_zstd(handle: BinaryIO, size: int, path: Path) -> tuple[_Header, Encoded]:
    import zstandard

    header = _read_header(handle, size, "zstd", path)
    full = {name: header.count * width for name, width in header.sections.items() if header.count * width}
    start = _HEADER.size + _REST_OF_HEADER.size
    (table,) = _REST_OF_HEADER.unpack(_read_exactly(handle, _REST_OF_HEADER.size, path))
    end = table + len(full) * _TABLE_ENTRY.size
    if header.streams != len(full) or table < start or end > size:
        raise SceneFileError(
            f"{path} is cut off or its header is wrong: it has {header.streams} streams where {len(full)} are needed, "
            f"and their table at {table:,} of {size:,} bytes; copy or export it again."
        )
    handle.seek(table)
    entries = list(_TABLE_ENTRY.iter_unpack(_read_exactly(handle, end - table, path)))
    if [entry[1] for entry in entries] != list(full.values()) or end + sum(entry[0] for entry in entries) != size:
        raise SceneFileError(
            f"{path} is cut off or its table of streams is wrong: it does not fit {header.count:,} Gaussians "
            f"and {size:,} bytes; copy or export it again."
        )
    arrays = _arrays(header)
    for name, (packed, _) in zip(full, entries, strict=True):
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        stream = decompressor.stream_reader(_read_exactly(handle, packed, path))
        try:
            _fill(arrays[name], stream, header.sections[name], path)
            too_long = bool(stream.read(1))
        except zstandard.ZstdError as error:
            raise SceneFileError(f"{path} is damaged: a zstd stream cannot be read; copy it again.") from error
        if too_long:
            raise SceneFileError(f"{path} goes on after its {header.count:,} Gaussians; export it again.")
    return header, _encoded(arrays, header)


def _read_header(stream: _Stream, size: int, compression: str, path: Path) -> _Header:
    magic, *fields = _HEADER.unpack(_read_exactly(stream, _HEADER.size, path))
    if magic != MAGIC:
        raise SceneFileError(
            f"{path} is not an SPZ file: what is compressed in it is something else; check which file it is."
        )
    header = _Header(*fields)
    if header.version not in _READ:
        raise SceneFileError(
            f"{path} is SPZ of version {header.version}, where {', '.join(map(str, _READ))} can be read; export it "
            "again as version 3."
        )
    if _READ[header.version] != compression:
        raise SceneFileError(
            f"{path} is SPZ of version {header.version}, which is compressed by {_READ[header.version]}, but this is "
            f"laid out as for {compression}; export it again as version 3."
        )
    if header.degree >= len(_COEFFICIENTS) or header.fractional_bits > 24:
        raise SceneFileError(
            f"{path} has a wrong header: SH degree {header.degree} and {header.fractional_bits} fractional bits, where "
            "4 and 24 are the most there can be; export it again."
        )
    needed = header.count * sum(header.sections.values())
    most = max(_LARGEST_RATIO * size, _ALWAYS_ALLOWED)
    if needed > most:
        raise SceneFileError(
            f"{path} is cut off or its header is wrong: {header.count:,} Gaussians are {needed:,} bytes, more than the "
            f"{most:,} that a file of {size:,} bytes may hold; copy or export it again."
        )
    return header


def _arrays(header: _Header) -> dict[str, np.ndarray]:
    """Memory for each section: the bytes per Gaussian that are kept, and positions as integers."""
    kept = {**header.sections, "shN": 3 * _COEFFICIENTS[min(header.degree, _KEPT_DEGREE)]}
    arrays = {name: np.empty((header.count, width), np.uint8) for name, width in kept.items()}
    return {**arrays, "positions": np.empty((header.count, 3), np.int32)}


def _fill(array: np.ndarray, stream: _Stream, width: int, path: Path) -> None:
    """Read a section that has `width` bytes per Gaussian."""
    for block in blocks(len(array) if width else 0):
        part = array[block]
        rows = np.frombuffer(_read_exactly(stream, len(part) * width, path), np.uint8).reshape(len(part), width)
        part[:] = _from_24_bits(rows) if array.dtype == np.int32 else rows[:, : part.shape[1]]


def _encoded(arrays: dict[str, np.ndarray], header: _Header) -> Encoded:
    return Encoded(
        positions=arrays["positions"],
        alphas=arrays["alphas"][:, 0],
        colors=arrays["colors"],
        scales=arrays["scales"],
        rotations=arrays["rotations"],
        shN=arrays["shN"].reshape(header.count, arrays["shN"].shape[1] // 3, 3),
        fractional_bits=header.fractional_bits,
        antialiased=bool(header.flags & _ANTIALIASED),
        order=np.arange(header.count),
    )


def _read_exactly(stream: _Stream, size: int, path: Path) -> bytes:
    pieces = []
    while size > 0:
        piece = stream.read(size)
        if not piece:
            raise SceneFileError(f"{path} is cut off or its header is wrong: its data end early; copy it again.")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _pieces(section: np.ndarray) -> Iterator[bytes]:
    """A section as the file has it, some Gaussians at a time."""
    for start in range(0, len(section), _PIECE):
        rows = section[start : start + _PIECE]
        yield (_to_24_bits(rows) if section.dtype == np.int32 else rows).tobytes()


def _size_in_file(section: np.ndarray) -> int:
    return section.size * 3 if section.dtype == np.int32 else section.nbytes


def _to_24_bits(positions: np.ndarray) -> np.ndarray:
    """(n, 3) int32 -> (n, 3, 3) uint8."""
    octets = positions.astype("<i4").view(np.uint8).reshape(-1, 3, 4)
    return np.ascontiguousarray(octets[:, :, :3])


def _from_24_bits(rows: np.ndarray) -> np.ndarray:
    """(n, 9) uint8 -> (n, 3) int32."""
    octets = np.zeros((len(rows), 3, 4), np.uint8)
    octets[:, :, 1:] = rows.reshape(-1, 3, 3)
    return octets.view("<i4")[:, :, 0] >> 8  # the shift extends the sign
