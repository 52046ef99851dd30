"""How many steps fit into a time."""

from __future__ import annotations

import pytest

from leansplat.captures.synthetic import synthetic_capture
from leansplat.training import lean_steps_within, pace


def test_more_time_gives_more_steps_by_what_a_step_costs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """10 ms a step: 100 seconds have room for 90 / 0.01 steps, found by trainings of 50, 100 and 400 steps."""
    lengths = []

    def timed(capture, count: int, steps: int, engine: str) -> float:
        lengths.append(steps)
        return 0.01 * steps

    monkeypatch.setattr(pace.time, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(pace, "_timed", timed)
    capture = synthetic_capture(views=9, size=16)
    assert lean_steps_within(100, capture, 50) == pytest.approx(9000, abs=1)
    assert lengths == [50, 100, 400]
    assert lean_steps_within(100, capture, 50, further=0.25) == pytest.approx(9000 / 1.5, abs=1)
    assert not caplog.messages
    assert lean_steps_within(0.1, capture, 50) == 200
    assert "the time is too short to make a scene" in caplog.text


def test_the_time_is_that_of_real_trainings() -> None:
    capture = synthetic_capture(views=9, size=16)
    assert 200 < lean_steps_within(20, capture, 50) < 30_000_000
