"""`Cache`: what was fetched to a machine, for others there that need the same, as long as there is room.

An entry is named by the address and by what the storage says of its files (sizes, ETags), so changed files are another
entry. Users get hard links to it: they share the bytes, and an entry can go while somebody still reads it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from leansplat.errors import RunError
from leansplat.locks import alone_in
from leansplat.storage.fetching import Listed, fetch, files_under, identity
from leansplat.storage.scratch import scratch_root

LIMIT = 20_000_000_000
"""Bytes that a cache has at most, where a quarter of what is free on its disk is not less."""

_CONTENT = "content"
_LONGEST_FETCH = 24 * 3600.0


class Cache:
    """A folder of what was fetched; several processes may use the same one.

    Args:
        folder: where it is; by default in the machine's scratch.
        limit: bytes, instead of `LIMIT`.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self._folder = scratch_root() / "cache" if folder is None else folder
        self._limit = limit

    def bring(self, address: str, target: Path, listed: Sequence[Listed] | None = None) -> Path:
        """`fetch`, unless what is at the address has been fetched here already. What is there must not be changed.

        Raises:
            InputError, AwayError: as `fetch` does.
        """
        listed = files_under(address) if listed is None else listed
        size = sum(entry.bytes for entry in listed)
        self._folder.mkdir(parents=True, exist_ok=True)
        if size > self._room():
            return fetch(address, target, listed)
        place = self._folder / identity(listed)
        with alone_in(place, wait=_LONGEST_FETCH):
            content = place / _CONTENT
            if not content.exists():
                self._make_room(size)
                fetch(address, content, listed)
            os.utime(place)
            _link(content, target)
        return target

    def clear(self) -> None:
        """Delete everything that nobody is fetching just now."""
        self._make_room(None)
        with suppress(OSError):
            self._folder.rmdir()

    def _room(self) -> int:
        return min(LIMIT, shutil.disk_usage(self._folder).free // 4) if self._limit is None else self._limit

    def _make_room(self, needed: int | None) -> None:
        """Delete what was not used for longest until `needed` bytes fit; all of it for None."""
        entries = []
        for place in self._folder.glob("*"):
            with suppress(FileNotFoundError):
                entries.append((place.stat().st_mtime_ns, place, _bytes(place)))
        total = sum(size for _, _, size in entries)
        for _, place, size in sorted(entries):
            if needed is not None and total + needed <= self._room():
                return
            with suppress(RunError), alone_in(place):
                content = place / _CONTENT
                shutil.rmtree(content) if content.is_dir() else content.unlink(missing_ok=True)
                total -= size
            with suppress(OSError):  # somebody waits for it
                place.rmdir()


def _bytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
