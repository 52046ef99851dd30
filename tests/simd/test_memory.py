"""Working memory: never shared between two holders, and used again once nobody holds it."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leansplat.simd import memory


def test_memory_is_not_given_out_twice_while_any_view_of_it_lives() -> None:
    held = []
    for _ in range(20):
        array = memory.empty((100, 16), np.float32)
        view = torch.from_numpy(array)[3:5] if len(held) % 2 else array[::2]
        del array
        held.append(view)
    spans = sorted((v.data_ptr(), v.data_ptr() + 4) if isinstance(v, torch.Tensor) else _span(v) for v in held)
    assert all(low[1] <= high[0] for low, high in pairwise(spans))


def _span(array: np.ndarray) -> tuple[int, int]:
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high


def test_memory_is_used_again_once_the_last_holder_is_gone() -> None:
    array = memory.empty(50_000, np.float32)
    address = array.ctypes.data
    tensor = torch.from_numpy(array)
    del array
    other = memory.empty(50_000, np.float32)
    assert other.ctypes.data != address
    del tensor
    assert memory.empty(50_000, np.float32).ctypes.data == address


@pytest.mark.parametrize("make", [memory.empty, memory.zeros])
def test_arrays_have_the_shape_type_and_alignment_asked_for(make: Any) -> None:
    for shape, dtype in (((3, 5), np.float32), (0, np.int32), (7, np.uint16), ((2, 0, 4), np.float64)):
        array = make(shape, dtype)
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.ctypes.data % 64 == 0 or array.size == 0


def test_idle_memory_is_bounded() -> None:
    pool = memory._Pool(max_idle_bytes=10_000)
    for size in (4096, 4096, 8192):
        pool.give_back(np.zeros(size, np.uint8))
    assert pool._idle_bytes <= 10_000
    assert pool.take(8192).nbytes == 8192
    assert pool._idle_bytes == 0


def test_what_lies_idle_can_be_given_back() -> None:
    array = memory.empty(70_000, np.float32)
    del array
    assert memory._pool._idle_bytes > 0
    memory.release()
    assert memory._pool._idle_bytes == 0
    assert not memory._pool._idle


def test_zeros_are_zero_and_take_no_memory_until_they_are_written() -> None:
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("this system does not say how much memory a process has")

    def resident() -> int:
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    array = memory.zeros((1 << 18, 256), np.float32)
    assert not array[::4096].any()
    assert resident() < before + array.nbytes // 4
    array += 1
    assert resident() > before + array.nbytes // 2
