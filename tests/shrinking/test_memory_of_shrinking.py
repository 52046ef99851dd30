"""A scene that may not fit into memory is told of before it is shrunk, with what takes less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.random_cloud import cloud

from leansplat.blocks import parse_blocks
from leansplat.shrinking import ShrinkingConfig, Target, memory, shrink

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(("free", "most"), [(10, 800_000), (4, 200_000), (0.5, 10_000)])
def test_too_little_memory_is_said_with_blocks_that_fit(
    free: float, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: int(free * 1e9))
    memory.say_if_short(5_000_000)
    assert f"shrinking 5,000,000 Gaussians may take 11.5 GB of memory, and {free:.1f} GB are free" in caplog.text
    advised = parse_blocks(caplog.text.split("--blocks ")[1].split()[0]).most
    assert advised == most
    assert free < 1 or memory.memory_for(2 * advised) < free * 1e9


@pytest.mark.parametrize("free", [11_500_000_000, None])
def test_nothing_is_said_where_there_is_enough_or_nobody_knows(
    free: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: free)
    memory.say_if_short(5_000_000)
    assert not caplog.messages


def test_it_is_said_when_a_scene_is_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    shrink(cloud(60), tmp_path / "small.ply", Target(count=30), ShrinkingConfig(steps=0, views=9, view_size=32))
    assert "shrinking 60 Gaussians may take" in caplog.text


@pytest.mark.parametrize("name", ["shrink_million.json", "shrink_5_million.json"])
def test_a_million_and_five_took_no_more(name: str) -> None:
    found = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    assert found["peak_memory"] <= memory.memory_for(found["gaussians"]["given"])
