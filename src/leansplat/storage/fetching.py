"""`fetch`: a file or a whole folder from an address to this disk, several files at a time, each checked by its size.

Each file is written to another name and renamed when it is whole, and a folder appears when all of its files have. The
names that storage lists are not trusted: one that would lead out of the folder is an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.files import replacing_folder
from leansplat.storage.addresses import checked, joined, last_name
from leansplat.storage.connection import AwayError, reach

AT_A_TIME = 8
"""Files that are on their way at once."""

_TRIES = 3
"""How often a file is fetched whose size comes out wrong, before it is given up."""


class NothingThereError(InputError):
    """There is neither a file nor a folder at an address."""


@dataclass(frozen=True)
class Listed:
    """A file in storage.

    Args:
        address: where it is.
        name: its path below what was listed; its own name where that is a file.
        bytes: its size.
        version: what changes when its content does, as far as the storage tells: an ETag, or a time.
    """

    address: str
    name: str
    bytes: int
    version: str


def files_under(address: str, *, hidden: bool = False) -> list[Listed]:
    """The file at an address or, where there is none, all files of the folder there, by name.

    Args:
        hidden: whether files in folders whose name begins with a dot count.

    Raises:
        NothingThereError: nothing is there.
        InputError: it cannot be looked at.
        AwayError: the storage could not be reached.
    """
    address = checked(address)
    found = reach(address, lambda files, path: (path, files.find(path, detail=True)))
    path, entries = found
    listed = []
    for place, entry in sorted(entries.items()):
        below = place[len(path) :].strip("/")
        if place != path and not place.startswith(f"{path.rstrip('/')}/"):
            continue
        if entry["type"] != "file" or place.endswith("/"):
            continue  # the last: an empty object that stands for a folder, as consoles make them
        if not hidden and any(part.startswith(".") for part in below.split("/")[:-1]):
            continue
        whole = joined(address, below) if below else address
        listed.append(Listed(whole, below or last_name(address), int(entry["size"] or 0), _version(entry)))
    if not listed:
        raise NothingThereError(f"there is nothing at {address}; check the address")
    return listed


def listed_file(address: str) -> Listed | None:
    """What the storage says of a single file, None where there is none.

    Raises:
        InputError: it may not be looked at.
        AwayError: the storage could not be reached.
    """
    address = checked(address)
    try:
        entry = reach(address, lambda files, path: files.info(path))
    except FileNotFoundError:
        return None
    if entry["type"] != "file":
        return None
    return Listed(address, last_name(address), int(entry["size"] or 0), _version(entry))


def fetch(address: str, target: Path, listed: Iterable[Listed] | None = None) -> Path:
    """Bring what is at an address here.

    Args:
        target: what it becomes: a file, or a folder with the same names below. Nothing may be there yet.
        listed: what `files_under` found, where that has been asked already.

    Raises:
        InputError: nothing is there, it does not fit on the disk, or a name leads out of the folder.
        AwayError: the storage could not be reached, or a file kept changing.
    """
    address = checked(address)
    entries = files_under(address) if listed is None else list(listed)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_space(address, target.parent, sum(entry.bytes for entry in entries))
    if [entry.address for entry in entries] == [address]:
        _fetch_file(entries[0], target)
        return target
    with replacing_folder(target, owned_by="") as folder:
        places = [(entry, _inside(folder, entry)) for entry in entries]
        for each in {place.parent for _, place in places}:
            each.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda pair: _fetch_file(*pair), places))
    return target


def identity(entries: Iterable[Listed]) -> str:
    """A name for the content of listed files: another when a file is added, removed or changed."""
    digest = sha256()
    for entry in entries:
        digest.update(f"{entry.address}\0{entry.bytes}\0{entry.version}\n".encode())
    return digest.hexdigest()[:32]


def _version(entry: dict[str, Any]) -> str:
    return str(entry.get("ETag") or entry.get("md5Hash") or entry.get("mtime") or entry.get("created") or "")


def _inside(folder: Path, entry: Listed) -> Path:
    """Where in a folder a file goes."""
    parts = entry.name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise InputError(f"{entry.address} has a name that is no path below its folder; rename it")
    return folder.joinpath(*parts)


def _fetch_file(entry: Listed, target: Path) -> None:
    temporary = target.with_name(f".leansplat-{os.urandom(8).hex()}.tmp")
    try:
        for _ in range(_TRIES):
            try:
                reach(entry.address, lambda files, path: files.get_file(path, str(temporary)))
            except FileNotFoundError as error:
                raise InputError(f"{entry.address} has gone since it was listed; start again") from error
            if temporary.stat().st_size == entry.bytes:
                os.replace(temporary, target)
                return
    finally:
        temporary.unlink(missing_ok=True)
    raise AwayError(
        f"{entry.address} should have {entry.bytes:,} bytes and came with others, {_TRIES} times; start again"
    )


def _check_space(address: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{address} has {needed / 1e6:,.1f} MB and {folder} {free / 1e6:,.1f} MB free; free some space or choose "
            "another scratch folder"
        )
