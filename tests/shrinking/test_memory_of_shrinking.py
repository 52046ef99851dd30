"""A scene that may not fit into memory is told of before it is shrunk, with what takes less."""

from __future__ import annotations

import pytest

from leansplat.blocks import parse_blocks
from leansplat.shrinking import memory


@pytest.mark.parametrize(("free", "most"), [(12, 1_000_000), (4, 300_000), (0.5, 10_000)])
def test_too_little_memory_is_said_with_blocks_that_fit(
    free: float, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: int(free * 1e9))
    memory.say_if_short(5_000_000)
    assert f"shrinking 5,000,000 Gaussians takes up to 18.0 GB of memory, and {free:.1f} GB are free" in caplog.text
    advised = parse_blocks(caplog.text.split("--blocks ")[1].split()[0]).most
    assert advised == most
    assert free < 1 or memory.memory_for(2 * advised) < free * 1e9


@pytest.mark.parametrize("free", [18_000_000_000, None])
def test_nothing_is_said_where_there_is_enough_or_nobody_knows(
    free: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: free)
    memory.say_if_short(5_000_000)
    assert not caplog.messages
