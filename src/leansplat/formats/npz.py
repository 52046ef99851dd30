"""NumPy's .npz, read without trust: nothing is unpickled, and nothing unpacked that an array's header does not need.

An .npz is a zip of .npy members, each a short header (type, shape) and the numbers. A zip says how large a member
claims to be before any of it is unpacked, so the header is read first and the two have to agree.
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_MAGIC = b"PK\x03\x04"
_LEVEL = 9


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip whose first member is an .npy."""
    if len(head) < _LOCAL_HEADER.size or not head.startswith(_MAGIC):
        return False
    _, name_length, _ = _LOCAL_HEADER.unpack_from(head)
    return head[_LOCAL_HEADER.size :][:name_length].endswith(b".npy")


def write_arrays(handle: BinaryIO, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays as a deflated .npz; the same arrays give the same bytes."""
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


@contextmanager
def opened_archive(handle: BinaryIO) -> Iterator[Archive]:
    """The arrays of an .npz.

    Raises:
        ValueError: it is no zip, or (in the block) damaged; the text says what is wrong.
    """
    try:
        archive = zipfile.ZipFile(handle)
    except Exception as error:  # the module raises a dozen kinds
        raise ValueError(f"it is not a whole zip file: {error}") from error
    try:
        with archive:
            yield Archive(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OverflowError, NotImplementedError) as error:
        # zipfile's NotImplementedError is of a compression method or an encryption that it does not know.
        raise ValueError(f"the zip is damaged: {error}") from error


@dataclass(frozen=True)
class Archive:
    """An open .npz."""

    archive: zipfile.ZipFile

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.archive.NameToInfo

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array by its header, which agrees with the size that the zip gives.

        Raises:
            ValueError: there is no such array, or its header is wrong.
        """
        with self._member(name) as (_, shape, _, _):
            return shape

    def read(self, name: str, kind: str) -> np.ndarray[Any, Any]:
        """An array, as large as its `shape` says.

        Args:
            kind: the type it has to have, in NumPy's code, such as "<f2".

        Raises:
            ValueError: there is no such array, it has another type, or it is damaged.
        """
        with self._member(name) as (member, shape, by_columns, found):
            if found.str != kind:
                raise ValueError(f"{name} has type {found.name}")
            values = np.empty(math.prod(shape), kind)
            read, unpacked = 0, values.view(np.uint8)
            while read < unpacked.size:
                part = np.frombuffer(member.read(1 << 20), np.uint8)
                if not part.size:
                    raise ValueError(f"{name} ends early")
                unpacked[read : read + part.size] = part
                read += part.size
            member.read()  # the checksum is compared at the end of the member
        return values.reshape(shape[::-1]).T if by_columns else values.reshape(shape)

    @contextmanager
    def _member(self, name: str) -> Iterator[tuple[Any, tuple[int, ...], bool, np.dtype[Any]]]:
        """A member after its header, and what the header says: shape, whether stored by columns, type."""
        if name not in self:
            raise ValueError(f"it has no array {name}")
        entry = self.archive.getinfo(f"{name}.npy")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is encrypted, or packed in a way that NumPy does not use")
        with self.archive.open(entry) as member:
            if np.lib.format.read_magic(member) != (1, 0):  # later versions are for headers beyond 64 kB
                raise ValueError(f"{name} is of another .npy version than 1.0")
            shape, by_columns, kind = _header(member, name)
            if kind.hasobject or min(shape, default=0) < 0:
                raise ValueError(f"{name} holds Python objects, or a negative number of values")
            if member.tell() + math.prod(shape) * kind.itemsize != entry.file_size:
                raise ValueError(f"{name} has another size than its header says")
            yield member, shape, by_columns, kind


def _header(member: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether stored by columns, and type, as the header of an .npy says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(member)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # NumPy takes the text apart as Python source, which fails in as many ways
        raise ValueError(f"{name} has a header that cannot be read") from error
    return shape, by_columns, kind
