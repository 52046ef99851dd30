"""Working memory for kernels, handed out again when nobody holds it any more.

A training step needs the same few large arrays every time. Fresh ones from the operating system cost a page fault every
4 KiB, more than some kernels take; so `empty` gives out an array whose memory goes back to a pool the moment the last
reference (NumPy view or PyTorch tensor) is dropped. Nothing is shared between two holders, so a caller may keep what it
was given for as long as it likes.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 64
_MAX_IDLE_BYTES = 512 * 2**20


class _Pool:
    """Idle buffers by size, the least recently returned ones dropped first once too many bytes lie idle."""

    def __init__(self, max_idle_bytes: int) -> None:
        self._idle: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._idle_bytes = 0
        self._max_idle_bytes = max_idle_bytes
        self._lock = threading.RLock()  # a finaliser may run in the middle of `take` on the same thread

    def take(self, size: int) -> NDArray[np.uint8]:
        with self._lock:
            for key in reversed(self._idle):
                if self._idle[key].nbytes == size:
                    self._idle_bytes -= size
                    return self._idle.pop(key)
        return _aligned(np.empty(size + _ALIGNMENT, np.uint8), size)

    def clear(self) -> None:
        with self._lock:
            self._idle.clear()
            self._idle_bytes = 0

    def give_back(self, buffer: NDArray[np.uint8]) -> None:
        with self._lock:
            self._idle[buffer.ctypes.data] = buffer
            self._idle_bytes += buffer.nbytes
            while self._idle_bytes > self._max_idle_bytes:
                self._idle_bytes -= self._idle.popitem(last=False)[1].nbytes


_pool = _Pool(_MAX_IDLE_BYTES)


def _size_class(size: int) -> int:
    """Round up to one of eight sizes per power of two, so that slowly varying needs meet the same buffers."""
    step = max(4096, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An uninitialised, 64-byte aligned array; its memory is recycled after the last reference to it is gone."""
    dtype = np.dtype(dtype)
    count = shape if isinstance(shape, int) else math.prod(shape)
    buffer = _pool.take(_size_class(max(1, count * dtype.itemsize)))
    # A view made through a memoryview has no NumPy base that outlives it: when it dies, nothing uses the buffer.
    owner = np.frombuffer(memoryview(buffer), np.uint8)
    weakref.finalize(owner, _pool.give_back, buffer).atexit = False
    return owner[: count * dtype.itemsize].view(dtype).reshape(shape)


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """A 64-byte aligned array of zeros, which is not recycled: where it is large, the operating system has them, and
    what is never written takes no memory."""
    dtype = np.dtype(dtype)
    size = (shape if isinstance(shape, int) else math.prod(shape)) * dtype.itemsize
    return _aligned(np.zeros(size + _ALIGNMENT, np.uint8), size).view(dtype).reshape(shape)


def release() -> None:
    """Give what lies idle to the operating system: the pool's, and what the allocator of C keeps of arrays that are
    gone. Between two pieces of work on a large scene that may be more than the scene takes."""
    _pool.clear()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # there is no such function but in the library of GNU
            ctypes.CDLL(None).malloc_trim(0)


def _aligned(memory: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]
