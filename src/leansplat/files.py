"""Writing files so that they appear whole or not at all.

Everything leansplat writes goes to a temporary name in the target's folder, is flushed to the disk and then renamed
over the target in one step, so that a reader, or a run that was killed, never meets half a file. What a kill leaves
under a temporary name can be told from what is being written, and is cleared when work in that folder begins again.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leansplat.errors import InputError
from leansplat.locks import try_lock

_TEMPORARY = re.compile(r"\.leansplat-[0-9a-f]{16}\.tmp")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_LOST = {errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, getattr(errno, "ESTALE", errno.EIO)}


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write that becomes `path` when the block ends, and leaves nothing behind when it raises.

    A symbolic link is followed, so the file it points to is the one that is replaced.

    Args:
        path: the file to write; its folder must exist.
        overwrite: whether a file already there may be replaced.

    Raises:
        InputError: something is already at `path` and `overwrite` is false, it is not a regular file, its folder does
            not exist or cannot be written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    _check_target(path, target, overwrite)
    try:
        temporary, handle = _locked_file(target.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose a folder you may write to.") from error
    try:
        with handle:  # closed before the rename, which Windows insists on
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
            if os.name == "nt":  # where no open file can be renamed; elsewhere the lock lasts until it has been
                handle.close()
            _check_target(path, target, overwrite)  # something may have appeared there while the block ran
            os.replace(temporary, target)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); free some space or choose another disk."
            ) from error
        if error.errno in _DISK_LOST or str(error.filename) == str(temporary):
            raise InputError(f"{path} cannot be written ({error.strerror}); check its folder and disk.") from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _sync_folder(target.parent)


@contextmanager
def replacing_folder(path: str | os.PathLike[str], *, owned_by: str, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block ends, and leaves nothing behind when it raises.

    Where there was one before, there is none for an instant, and never half a one.

    Args:
        path: the folder to write; the folder around it must exist.
        owned_by: name of a file that a folder must hold to be replaced, so that nothing else is ever deleted.
        overwrite: whether such a folder may be replaced; an empty one always may.

    Raises:
        InputError: something else is at `path`, or `overwrite` is false, or nothing can be written there.
    """
    target = Path(os.path.realpath(path))
    _check_folder(path, target, owned_by, overwrite)
    try:
        temporary, locked = locked_folder(target.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose a folder you may write to.") from error
    try:
        yield temporary
        _check_folder(path, target, owned_by, overwrite)  # something may have appeared there while the block ran
        if target.exists():
            before = _temporary_in(target.parent)
            os.replace(target, before)
            try:
                os.replace(temporary, target)
            except OSError:
                os.replace(before, target)
                raise
            shutil.rmtree(before, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except OSError as error:
        if error.errno in _DISK_FULL | _DISK_LOST:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); check its disk and the space left."
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if locked is not None:
            os.close(locked)
    _sync_folder(target.parent)


def locked_folder(place: Path) -> tuple[Path, int | None]:
    """A new folder in `place` under a temporary name, and the open file that has it locked until that is closed.

    The file is None where folders cannot be locked.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = _temporary_in(place)
        folder.mkdir()
        if os.name == "nt":  # where no folder can be opened
            return folder, None
        with suppress(FileNotFoundError):  # see `_is_ours`
            descriptor = os.open(folder, os.O_RDONLY)
            if _is_ours(folder, descriptor):
                return folder, descriptor
            os.close(descriptor)


def _locked_file(place: Path) -> tuple[Path, BinaryIO]:
    """A new file in `place` under a temporary name, and locked while it is open."""
    while True:
        path = _temporary_in(place)
        handle = open(path, "xb")  # noqa: SIM115 - whoever calls closes it
        if _is_ours(path, handle.fileno()):
            return path, handle
        handle.close()


def _is_ours(path: Path, descriptor: int) -> bool:
    """Lock a new file or folder; false where whoever tidies up took it for abandoned before it was locked."""
    with suppress(OSError):
        if try_lock(descriptor) is False:
            return False
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _temporary_in(place: Path) -> Path:
    return place / f".leansplat-{os.urandom(8).hex()}.tmp"


def write_json(path: str | os.PathLike[str], value: Any, *, overwrite: bool = False) -> None:
    """Write `value` as indented JSON in UTF-8, with a final newline.

    JSON has no NaN and no infinity: such floats are written as null, wherever in `value` they are.

    Raises:
        InputError: as `replacing` does.
        TypeError: `value` holds something JSON cannot express.
    """
    text = json.dumps(_without_nonfinite(value), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(text.encode() + b"\n")


def copy_file(source: str | os.PathLike[str], path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write what another file holds.

    Raises:
        InputError: as `replacing` does.
    """
    with open(source, "rb") as content, replacing(path, overwrite=overwrite) as handle:
        shutil.copyfileobj(content, handle)


def clear_abandoned(folder: str | os.PathLike[str]) -> None:
    """Delete what writers that were killed left in `folder`: what `replacing` and `replacing_folder` write to for now.

    Whoever writes such a file or folder has it locked, on this machine or another one.
    """
    with suppress(OSError):  # no folder, or no right to: then there is nothing to tidy
        for path in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(path.name) and not path.is_symlink() and (path.is_file() or path.is_dir()):
                with suppress(OSError):
                    _delete_unless_locked(path)


def _delete_unless_locked(path: Path) -> None:
    if path.is_dir():
        if os.name != "nt":  # where no folder can be locked, so that there is no telling
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if try_lock(descriptor):
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)
        return
    if os.name == "nt":
        path.unlink()  # fails while it is open
        return
    with open(path, "rb+") as handle:
        if try_lock(handle.fileno()):
            path.unlink()


def _check_target(path: str | os.PathLike[str], target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written because its folder does not exist; create it first.")
    if target.is_dir():
        raise InputError(f"{path} is a folder; name a file to write.")
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a regular file; choose another name.")
    if target.exists() and not overwrite:
        raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another name.")


def _check_folder(path: str | os.PathLike[str], target: Path, owned_by: str, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written because the folder around it does not exist; create it first.")
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{path} is a file; name a folder to write.")
    if not any(target.iterdir()):
        return
    if not (target / owned_by).is_file():
        raise InputError(f"{path} is a folder of something else, without a {owned_by}; choose another name.")
    if not overwrite:
        raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another name.")


def _without_nonfinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nonfinite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nonfinite(entry) for entry in value]
    return value


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the system can (not on Windows)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
