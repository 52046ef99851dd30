"""`scratch_folder`: a folder for one piece of work that goes when the work ends, however it ends.

The folder is locked while its process lives. What a process that was killed has left can be told by that, and goes when
the next piece of work begins on the same machine.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leansplat.errors import InputError
from leansplat.files import clear_abandoned, locked_folder

VARIABLE = "LEANSPLAT_SCRATCH"
"""Variable of the environment that names another folder for scratch than the system's temporary one."""


def scratch_root() -> Path:
    """The folder that scratch folders and the cache of a machine are in, which is made if needed.

    Raises:
        InputError: it cannot be made, or it is another user's, where nobody has named it.
    """
    given = os.environ.get(VARIABLE)
    root = Path(given) if given else Path(tempfile.gettempdir()) / f"leansplat-{_user()}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o777 if given else 0o700)
    except OSError as error:
        raise InputError(f"{root} cannot be made for scratch ({error.strerror}); set {VARIABLE} to a folder") from error
    if not given and hasattr(os, "getuid") and root.lstat().st_uid != os.getuid():
        raise InputError(f"{root} is somebody else's, so nothing is put there; set {VARIABLE} to a folder of yours")
    return root


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder during this block.

    Raises:
        InputError: it cannot be made.
    """
    root = scratch_root()
    clear_abandoned(root)
    try:
        folder, locked = locked_folder(root)
    except OSError as error:
        raise InputError(f"{root} cannot be used for scratch ({error.strerror}); set {VARIABLE}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if locked is not None:
            os.close(locked)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as containers have them
        return str(os.getuid()) if hasattr(os, "getuid") else "user"
