"""Single files put into storage, and taken out of it: `put_file`, `put_bytes`, `create` and `remove`.

All but `create` may be done twice without harm, which is what trying again rests on.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from leansplat.errors import InputError, LeansplatError
from leansplat.storage.addresses import local_path
from leansplat.storage.connection import reach

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def put_file(path: Path, address: str, *, patience: float | None = None) -> None:
    """Put a file of this machine at an address, over what is there.

    Raises:
        InputError: nothing can be written there.
        AwayError: the storage could not be reached.
        LeansplatError: what arrived has another size.
    """
    size = path.stat().st_size
    _make_folder(address)

    def act(files: AbstractFileSystem, place: str) -> int:
        files.put_file(str(path), place)
        return int(files.size(place) or 0)

    if reach(address, act, patience=patience) != size:
        raise LeansplatError(f"{address} has not the {size:,} bytes of {path} that were put there; start again")


def put_bytes(content: bytes, address: str, *, patience: float | None = None) -> None:
    """Put bytes at an address, over what is there; raises as `put_file` does."""
    _make_folder(address)
    reach(address, lambda files, place: files.pipe_file(place, content), patience=patience)


def remove(address: str) -> None:
    """Delete the file or the folder at an address; nothing need be there."""

    def act(files: AbstractFileSystem, path: str) -> None:
        with suppress(FileNotFoundError):
            files.rm(path, recursive=True)

    reach(address, act)


def create(address: str, content: bytes) -> None:
    """Write a small file as a whole, unless there is one.

    Raises:
        FileExistsError: there is one, perhaps from a try of this very call whose answer was lost on the way.
    """
    local = local_path(address)
    if local is None:
        reach(address, lambda files, path: files.pipe_file(path, content, mode="create"))
        return
    _make_folder(address)
    temporary = local.with_name(f".leansplat-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(temporary, local)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            with open(local, "xb") as handle:  # a disk without hard links
                handle.write(content)
    finally:
        temporary.unlink(missing_ok=True)


def _make_folder(address: str) -> None:
    """Make the folder of a file, where folders have to be made."""
    local = local_path(address)
    if local is not None:
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{local.parent} cannot be made ({error.strerror}); choose another folder") from error
