"""`alone_in`: one piece of work at a time in a folder.

The operating system locks a file in the folder for an open file of this process, and takes the lock back when that is
closed or the process ends, however it ends. So a file that a killed process left behind keeps nobody out.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leansplat.errors import RunError

NAME = ".leansplat.lock"
"""Name of the file that is locked."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
_log = logging.getLogger("leansplat")
_held: dict[Path, tuple[int, int]] = {}
"""Folders that this process has locked, each with the process and the thread that did; a fork does not inherit them."""
_changing_held = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind the content, which others may then read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; False where another open file has the lock, None where there are no locks.

    Raises:
        OSError: the file cannot be locked for another reason.
    """
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


@contextmanager
def alone_in(folder: str | os.PathLike[str], *, wait: float = 0.0) -> Iterator[None]:
    """Keep other processes and threads out of this block for the same folder.

    The folder is made if needed, and goes again if the block leaves it empty. The thread that is in the block may enter
    it again.

    Args:
        wait: seconds to wait for others to leave before they are complained of.

    Raises:
        RunError: somebody else is at work there, or the folder cannot be used.
    """
    real, me = Path(os.path.realpath(folder)), (os.getpid(), threading.get_ident())
    if _held.get(real) == me:
        yield
        return
    deadline = time.monotonic() + wait
    while True:
        try:
            descriptor, made = _enter(folder, real, me)
            break
        except RunError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        with _changing_held:
            del _held[real]
            _release(real / NAME, descriptor)
        with suppress(OSError):  # one that is not empty: the usual case
            for place in made:
                place.rmdir()


def _enter(folder: str | os.PathLike[str], real: Path, me: tuple[int, int]) -> tuple[int, list[Path]]:
    with _changing_held:
        holder = _held.get(real)
        if holder is not None and holder[0] == me[0]:
            raise _refusal(folder, "another thread of this program")
        entered = _acquire(folder, real)
        _held[real] = me
        return entered


def _acquire(folder: str | os.PathLike[str], real: Path) -> tuple[int, list[Path]]:
    """The open file that holds the lock of a folder, and the folders that had to be made for it, innermost first."""
    path, made = real / NAME, [place for place in (real, *real.parents) if not place.exists()]
    while True:
        try:
            real.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, _OPEN, 0o666)
        except OSError as error:
            raise RunError(f"{folder} cannot be used as a run folder ({error.strerror}); choose another one") from error
        try:
            locked = try_lock(descriptor)
            if locked is False:
                os.lseek(descriptor, 0, os.SEEK_SET)
                raise _refusal(folder, os.read(descriptor, 200).decode(errors="replace") or "another process")
            if _is_still(path, descriptor):
                if locked is None:
                    _log.warning("files in %s cannot be locked; let nothing else work there meanwhile", folder)
                import socket  # which whoever only reads a file need not wait for

                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor, made
        except OSError as error:
            os.close(descriptor)
            raise RunError(f"{path} cannot be locked ({error.strerror}); choose another folder") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether `path` is this open file: who had the lock before may have removed it since it was opened here."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    with suppress(OSError):  # the folder may be gone; Windows removes no open file
        path.unlink()
    with suppress(OSError):
        _unlock(descriptor)  # and not only close: a fork of this process may have the file open too
    os.close(descriptor)


def _refusal(folder: str | os.PathLike[str], who: str) -> RunError:
    return RunError(f"{folder} is in use: {who} is at work there; wait for it to end or choose another folder")
