"""Lets tests share code: pytest puts the folder of this file on the path, so `from support.tiny import ...` works
everywhere. What tests share is in `support` and nowhere else, but for the fixtures of a folder, which are in its own
`conftest.py`. PyTorch gets one thread: the references are small, and the kernels have threads of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numba
import pytest
import torch

from leansplat.simd.threads import set_thread_count

if TYPE_CHECKING:
    from support.s3_server import S3Server

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def all_threads() -> None:
    """As many threads as a process begins with, whatever a test or a fixture before has asked for (--threads)."""
    set_thread_count(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture
def gsplat_stand_in() -> Iterator[None]:
    """The engine gsplat without a card; see `support/gsplat_stand_in.py`."""
    from support.gsplat_stand_in import in_place_of_gsplat

    with in_place_of_gsplat():
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server on this machine that speaks S3; see `support/s3_server.py`."""
    from support.s3_server import serving_s3

    with serving_s3() as server:
        yield server
