"""`Archive`: takes the files of one scene out of a publisher's zip archive, on a web server or on this disk.

A zip archive ends with a directory of its files, their places, sizes and CRC-32, so a scene's files are found without
reading the rest. Nothing in the directory is believed unchecked: a name must stay in its folder, sizes must be
plausible, and a file counts only if its bytes have its size and CRC-32.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from leansplat.datasets.range_file import LARGEST_GAP, RangeFile
from leansplat.errors import LeansplatError
from leansplat.files import replacing

_MALFORMED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)
_CHUNK = 256 << 10
_ENCRYPTED = 0x1 | 0x40  # general purpose flags (PKWARE APPNOTE 4.4.4)
_LARGEST_EXPANSION = 10  # photos hardly shrink in a zip archive; one that promises more is no dataset


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Args:
        name: its path below the folder it was looked for in, with forward slashes; it does not leave that folder.
        size: bytes, unpacked.
        crc: CRC-32 of these bytes.
        start, stop: where it lies in the archive.
        info: its entry in the directory.
    """

    name: str
    size: int
    crc: int
    start: int
    stop: int
    info: zipfile.ZipInfo

    def is_at(self, path: Path) -> bool:
        """Whether `path` has the bytes of this file."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        crc = 0
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                crc = zlib.crc32(piece, crc)
        return crc == self.crc


class Archive:
    """A zip archive; `close` it in the end.

    Args:
        url: its address.
        folder: where to look for the archive's own name first; None for the address alone.

    Raises:
        LeansplatError: here and in every method: the archive cannot be read or holds what no dataset should.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        local = folder / PurePosixPath(urlsplit(url).path).name if folder else None
        source: BinaryIO | RangeFile
        if local is not None and local.is_file():
            source, self.place = local.open("rb"), str(local)
        else:
            source, self.place = RangeFile(url), url
        self._remote = source if isinstance(source, RangeFile) else None
        with ExitStack() as stack:
            stack.callback(source.close)
            try:
                self._zip = stack.enter_context(zipfile.ZipFile(source))
            except (*_MALFORMED, OSError) as error:
                raise LeansplatError(f"{self.place} is not a zip archive that can be read ({error}).") from error
            self._size = source.seek(0, os.SEEK_END)
            self._open = stack.pop_all()

    def close(self) -> None:
        """Give the connection or the file back."""
        self._open.close()

    def members(self, folder: str, needed: Collection[str] | None = None) -> list[Member]:
        """The files below `folder`; with `needed`, those whose names match one of these patterns whole, and some must
        match each."""
        starts = sorted({info.header_offset for info in self._zip.infolist()} | {self._zip.start_dir})
        members: dict[str, Member] = {}
        for info in self._zip.infolist():
            name = info.filename.removeprefix(f"{folder}/")
            if name == info.filename or info.is_dir():
                continue
            problem = _problem(info, name)
            if not 0 <= info.header_offset < self._zip.start_dir:
                problem = "lies outside the archive"
            elif name in members:
                problem = "is there twice"
            if problem is not None:
                raise LeansplatError(f"{self.place}: {info.filename!r} {problem}; nothing of this archive is used.")
            if needed is None or any(re.fullmatch(pattern, name) for pattern in needed):
                stop = starts[bisect_right(starts, info.header_offset)]
                members[name] = Member(name, info.file_size, info.CRC, info.header_offset, stop, info)
        for pattern in needed or [""]:
            if not any(re.fullmatch(pattern or ".+", name) for name in members):
                raise LeansplatError(f"{self.place} has no files in {folder}/{pattern}; the publisher has changed it.")
        total = sum(member.size for member in members.values())
        if total > _LARGEST_EXPANSION * self._size:
            raise LeansplatError(
                f"{self.place} has {self._size / 1e6:,.1f} MB and promises {total / 1e6:,.1f} MB; none of it is used."
            )
        return list(members.values())

    def extract(self, targets: Iterable[tuple[Member, Path]], advance: Callable[[int], None]) -> None:
        """Write files, each whole or not at all, replacing what is there; neighbours arrive in one request.

        Args:
            targets: files and the paths to write them to, whose folders exist.
            advance: is told the number of bytes, whenever some are written.
        """
        for run in _runs(sorted(targets, key=lambda target: target[0].start)):
            if self._remote is not None:
                self._remote.expect(run[-1][0].stop)
            for member, path in run:
                self._extract(member, path, advance)

    def _extract(self, member: Member, path: Path, advance: Callable[[int], None]) -> None:
        written = 0
        try:
            with self._zip.open(member.info) as source, replacing(path, overwrite=True) as target:
                while piece := source.read(_CHUNK):  # never more than member.size; its end checks the CRC-32
                    target.write(piece)
                    written += len(piece)
                    advance(len(piece))
                if written != member.size:
                    raise zipfile.BadZipFile(f"{written} bytes instead of {member.size}")
        except _MALFORMED as error:
            raise LeansplatError(
                f"{self.place}: {member.info.filename} is damaged ({error}); fetch it again."
            ) from error


def _problem(info: zipfile.ZipInfo, name: str) -> str | None:
    """Why a file must not be unpacked, or None."""
    if any(part in ("", ".", "..") for part in name.split("/")) or any(sign in "\\:" or sign < " " for sign in name):
        return "leaves its folder"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or a device"
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is encrypted or packed in an unusual way"
    return None


def _runs(targets: Iterable[tuple[Member, Path]]) -> Iterator[list[tuple[Member, Path]]]:
    """Files in order of place, in groups without a large gap."""
    run: list[tuple[Member, Path]] = []
    for target in targets:
        if run and target[0].start - run[-1][0].stop > LARGEST_GAP:
            yield run
            run = []
        run.append(target)
    if run:
        yield run
