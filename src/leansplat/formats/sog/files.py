"""Where a SOG scene keeps its files: in a zip (`.sog`), or in a folder beside a `meta.json`.

Only names in that one place are followed, never a path out of it, and a file is read only up to the size that its use
can explain.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import opened

META = "meta.json"
ZIP_MAGIC = b"PK\x03\x04"

_LARGEST_DIRECTORY = 1 << 20
"""Bytes of a zip's directory, which has some 70 for each of eight files."""

_LARGEST_RATIO = 64
"""How much a zip may shrink a file, JSON or WebP, of which neither shrinks much."""

_END_OF_DIRECTORY = b"PK\x05\x06"
_PLAIN_NAME = re.compile(r"[^/\\:]+")
_TIMELESS = (1980, 1, 1, 0, 0, 0)


class Files(Protocol):
    """Reads a file of the scene by its name.

    `most` is the largest size in bytes that is believed. Raises SceneFileError where there is no such file, it is
    larger, or damaged.
    """

    def __call__(self, name: str, most: int) -> bytes: ...


@contextmanager
def opened_files(path: Path) -> Iterator[tuple[Files, str]]:
    """The files of a scene, for reading, and the name of its meta.json among them.

    Raises:
        SceneFileError: the file is missing, or a zip that is damaged.
    """
    with opened(path) as handle:
        head = handle.read(len(ZIP_MAGIC))
        handle.seek(0)
        if head != ZIP_MAGIC:
            yield _beside(path), path.name
            return
        _check_directory(handle, path)
        try:
            archive = zipfile.ZipFile(handle)
        except Exception as error:  # the module raises a dozen kinds
            raise SceneFileError(f"{path} is cut off or damaged: it is not a whole zip file; copy it again.") from error
        with archive:
            yield _within(archive, path), META


def write_bundle(files: Mapping[str, bytes], path: Path, *, overwrite: bool) -> None:
    """Write a zip of files that are stored as they are; the same files give the same bytes."""
    with replacing(path, overwrite=overwrite) as handle, zipfile.ZipFile(handle, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIMELESS), content)


def write_beside(files: Mapping[str, bytes], meta: bytes, path: Path, *, overwrite: bool) -> None:
    """Write `files` into the folder of `path`, and `meta` to `path`, which appears last.

    No file appears before all have been written.
    """
    with ExitStack() as stack:
        stack.enter_context(replacing(path, overwrite=overwrite)).write(meta)
        for name, content in files.items():  # they take their names in the opposite order
            stack.enter_context(replacing(path.parent / name, overwrite=overwrite)).write(content)


def beside(name: str, path: Path) -> Path:
    """Where the file `name` of the scene at `path` is.

    Raises:
        SceneFileError: it would be elsewhere than in the folder of `path`.
    """
    _check_name(name, path)
    return path.parent / name


def _beside(path: Path) -> Files:
    def read(name: str, most: int) -> bytes:
        with opened(beside(name, path)) as handle:
            size = os.fstat(handle.fileno()).st_size
            _check_size(name, size, most, path)
            return handle.read(size)

    return read


def _within(archive: zipfile.ZipFile, path: Path) -> Files:
    def read(name: str, most: int) -> bytes:
        _check_name(name, path)
        try:
            entry = archive.getinfo(name)
        except KeyError:
            raise SceneFileError(f"{path} has no {name} in it; check whether it is a SOG scene and whole.") from None
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SceneFileError(f"{path} has a {name} that is encrypted or packed in an unusual way; export it again.")
        _check_size(name, entry.file_size, min(most, _LARGEST_RATIO * entry.compress_size), path)
        try:
            with archive.open(entry) as stream:
                return stream.read(entry.file_size)  # without a size it would unpack all there is before it counts
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError) as error:
            # zipfile's NotImplementedError is of a compression method or an encryption that it does not know.
            raise SceneFileError(f"{path} has a {name} that is cut off or damaged; copy it again.") from error

    return read


def _check_name(name: str, path: Path) -> None:
    if not _PLAIN_NAME.fullmatch(name) or not name.isprintable() or name in (".", ".."):
        raise SceneFileError(f"{path} names a file {name!r} outside of its folder; export it again.")


def _check_size(name: str, size: int, most: int, path: Path) -> None:
    if size > most:
        raise SceneFileError(
            f"{path} has a {name} of {size:,} bytes, where {most:,} are the most it can need; export it again."
        )


def _check_directory(handle: BinaryIO, path: Path) -> None:
    """Refuse a zip with a directory that would take much memory, before it is read."""
    size = os.fstat(handle.fileno()).st_size
    handle.seek(max(0, size - 65557))  # the longest comment and the record before it
    tail = handle.read()
    at = tail.rfind(_END_OF_DIRECTORY)
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > _LARGEST_DIRECTORY:
        raise SceneFileError(f"{path} is a zip of far more files than a SOG scene has; check which file it is.")
