"""`unsaid`: what is logged while a file is made that nobody asked for, and so nobody shall hear of.

The best of several files is known only after all were written and read again. What there is to say of the others, or of
a file under the name that it has meanwhile, would puzzle who reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("leansplat")


@contextmanager
def unsaid() -> Iterator[list[logging.LogRecord]]:
    """Keep what is logged during this block; the list has it, for who wants to say it after all. Of a block within a
    block, the inner one keeps it."""
    said: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record)
        return False

    _log.filters.insert(0, keep)
    try:
        yield said
    finally:
        _log.removeFilter(keep)
