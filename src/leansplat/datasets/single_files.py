"""`SingleFiles`: a scene that lies on a web server file by file, as in a repository, with every file known beforehand.

What git calls a file is the SHA-1 of its size and its bytes, so the listing of a repository tells what each file has to
be, and a file counts only if it is that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from leansplat.datasets.range_file import RangeFile
from leansplat.errors import LeansplatError
from leansplat.files import replacing

_CHUNK = 256 << 10


@dataclass(frozen=True)
class KnownFile:
    """A file of a scene.

    Args:
        name: its path below the scene's folder, with forward slashes.
        size: bytes.
        blob: its name in git, in hexadecimal.
    """

    name: str
    size: int
    blob: str

    def is_at(self, path: Path) -> bool:
        """Whether `path` has the bytes of this file."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        digest = self.digest()
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
        return digest.hexdigest() == self.blob

    def digest(self) -> hashlib._Hash:
        """What its bytes are to be put through to get `blob`."""
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


def known_files(listing: str) -> tuple[KnownFile, ...]:
    """Files from lines of a name in git, a size and a path."""
    rows = (line.split() for line in listing.strip().splitlines())
    return tuple(KnownFile(name, int(size), blob) for blob, size, name in rows)


class SingleFiles:
    """The files of a scene on a web server, to be used like an `Archive`.

    Args:
        url: address of the folder that the scene's folder is in.
        files: of the scene.
    """

    def __init__(self, url: str, files: Collection[KnownFile]) -> None:
        self.place = url
        self._files = files
        self._folder = ""

    def close(self) -> None:
        """Nothing stays open between files."""

    def members(self, folder: str, needed: Collection[str] | None = None) -> list[KnownFile]:
        """The files; with `needed`, those whose names match one of these patterns whole."""
        self._folder = folder
        return [
            file
            for file in self._files
            if needed is None or any(re.fullmatch(pattern, file.name) for pattern in needed)
        ]

    def extract(self, targets: Iterable[tuple[KnownFile, Path]], advance: Callable[[int], None]) -> None:
        """Write files, each whole or not at all, replacing what is there.

        Args:
            targets: files and the paths to write them to, whose folders exist.
            advance: is told the number of bytes, whenever some are written.

        Raises:
            LeansplatError: a file cannot be read, or is not what it should be.
        """
        for file, path in targets:
            url = f"{self.place}/{quote(f'{self._folder}/{file.name}')}"
            source, digest = RangeFile(url, file.size), file.digest()
            try:
                with replacing(path, overwrite=True) as target:
                    while piece := source.read(min(_CHUNK, file.size - source.tell())):
                        target.write(piece)
                        digest.update(piece)
                        advance(len(piece))
                    if digest.hexdigest() != file.blob:
                        raise LeansplatError(f"{url} is not the file that it was; see whether the publisher moved it.")
            finally:
                source.close()
