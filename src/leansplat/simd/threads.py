"""How many threads the kernels use, and how many parts they split their work into.

The count is Numba's (environment variable NUMBA_NUM_THREADS, by default one per core). Every kernel splits its work
into as many fixed parts and adds partial sums in a fixed order, so results are the same bits for the same count;
another count groups the sums of gradients differently, which changes their last bits. Who works on the parts does not
matter: while other programs want the processor, fewer threads may take them one after the other (see `simd.sharing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numba

from leansplat.errors import InputError

_parts: ContextVar[int] = ContextVar("parts")
"""The thread count while fewer threads than that work. Each Python thread has its own, as it has Numba's."""


def thread_count() -> int:
    """Threads the kernels use now, and parts that they split their work into."""
    return _parts.get(0) or int(numba.get_num_threads())


def set_thread_count(count: int) -> None:
    """Use `count` threads from now on.

    Raises:
        InputError: the count is below 1 or above what Numba was started with.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= count <= most:
        raise InputError(f"--threads is {count}; it must be between 1 and {most}, the number of cores here")
    numba.set_num_threads(count)


@contextmanager
def working_threads(count: int) -> Iterator[None]:
    """Let `count` threads, at most `thread_count()`, work on as many parts as always, for results of the same bits."""
    parts, working = thread_count(), numba.get_num_threads()
    entered = _parts.set(parts)
    numba.set_num_threads(min(count, parts, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        _parts.reset(entered)
        numba.set_num_threads(working)


@contextmanager
def in_parts(parts: int) -> Iterator[None]:
    """Let results have the bits of `parts` threads, with those of them that there are."""
    working = numba.get_num_threads()
    entered = _parts.set(parts)
    numba.set_num_threads(min(parts, working))
    try:
        yield
    finally:
        _parts.reset(entered)
        numba.set_num_threads(working)
