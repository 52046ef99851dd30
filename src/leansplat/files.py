"""Writing files so that they appear whole or not at all.

Everything leansplat writes goes to a temporary name in the target's folder, is flushed to the disk and then renamed
over the target in one step, so that a reader, or a run that was killed, never meets half a file.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leansplat.errors import InputError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
    temporary = target.parent / f".leansplat-{secrets.token_hex(8)}.tmp"
    try:
        handle = open(temporary, "xb")  # noqa: SIM115 - closed before the rename, which Windows insists on
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose a folder you may write to.") from error
    try:
        with handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        _check_target(path, target, overwrite)  # something may have appeared there while the block ran
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); free some space or choose another disk."
            ) from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _sync_folder(target.parent)


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


def _check_target(path: str | os.PathLike[str], target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written because its folder does not exist; create it first.")
    if target.is_dir():
        raise InputError(f"{path} is a folder; name a file to write.")
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a regular file; choose another name.")
    if target.exists() and not overwrite:
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
