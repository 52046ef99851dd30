"""Training, trimming and compressing give the bits that they gave when these were recorded."""

from __future__ import annotations

import json

import numba
import pytest
from recorded_bits import RECORDED, digests, kind_of_machine


@pytest.mark.parametrize("threads", [1, 2])
def test_a_short_train_trim_and_compress_gives_the_recorded_bits(threads: int) -> None:
    recorded = json.loads(RECORDED.read_text())
    kind = kind_of_machine()
    if kind not in recorded:
        pytest.skip(f"no bits are recorded for {kind}; `python tests/recorded_bits.py` records them")
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip(f"this machine has no {threads} cores")
    assert digests(threads) == recorded[kind][str(threads)]
