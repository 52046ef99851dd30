"""The command line that this process is working for, so that what it makes can say how to make it again.

The program sets it; a script that calls the library has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_line: ContextVar[tuple[str, ...] | None] = ContextVar("line", default=None)


@contextmanager
def invoked_as(words: Sequence[str]) -> Iterator[None]:
    """Work for a command line, without the name of the program, during this block."""
    token = _line.set(("leansplat", *words))
    try:
        yield
    finally:
        _line.reset(token)


def invocation() -> dict[str, Any]:
    """To record beside a result: the words of the command line, None without one, and the folder they were said in."""
    line = _line.get()
    return {"line": None if line is None else list(line), "directory": os.getcwd()}
