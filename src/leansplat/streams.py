"""`standard_streams`: how the command line talks. Results must arrive on standard output; all other talk may get lost.

A standard stream may be closed, full, or a pipe that nobody reads any more. Where results cannot be written that is
`OutputError`, which ends the command; where progress or a warning cannot be, the work goes on.
"""

from __future__ import annotations

import errno
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO


class OutputError(Exception):
    """Standard output cannot be written.

    Args:
        reason: what the system says.
        unread: whether it is a pipe whose reader has gone, as in `leansplat info scene.ply | head -1`.
    """

    def __init__(self, reason: str, *, unread: bool) -> None:
        super().__init__(reason)
        self.unread = unread


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` during this block by such as fail in the way that this module describes."""
    _occupy_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Results(sys.stdout), _Talk(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Stream(ABC):
    """Hands everything on to another stream, None for one that is closed, and what fails to `_failed`."""

    def __init__(self, stream: TextIO | None) -> None:
        # What the encoding of the terminal cannot say is better escaped than an error.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        self._closed = stream is None
        self._stream = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    def write(self, text: str) -> int:
        try:
            if self._closed:
                raise OSError(errno.EBADF, "it is closed")
            return self._stream.write(text)
        except OSError as error:
            return self._failed(error, len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @abstractmethod
    def _failed(self, error: OSError, length: int) -> int:
        """Deal with an error in writing `length` characters; what this returns is how many were taken."""

    def _give_up(self) -> None:
        """Send what is still in the buffer to nowhere, so that the interpreter does not stumble over it at its end."""
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Results(_Stream):
    def _failed(self, error: OSError, length: int) -> int:
        self._give_up()
        # Windows says EINVAL of a pipe without a reader.
        unread = isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)
        raise OutputError(error.strerror or str(error), unread=unread) from error


class _Talk(_Stream):
    def _failed(self, error: OSError, length: int) -> int:
        self._give_up()
        return length


def _occupy_descriptors() -> None:
    """Let no file that is opened later become descriptor 0, 1 or 2, where libraries written in C print to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
