"""Steps that fit into a time."""

from __future__ import annotations

import pytest
from support.arrangements import place, ring

from leansplat.shrinking import pace
from leansplat.shrinking.pace import steps_within
from leansplat.shrinking.teacher import teacher_capture

SCENE = place(300)
TEACHER = teacher_capture(SCENE, {f"{number}": camera for number, camera in enumerate(ring(4, 6.0, 0.0))})


def within(seconds: float, count: int, through: float, trims: bool | None = None) -> int:
    fewer = count < len(SCENE) if trims is None else trims
    return steps_within(seconds, SCENE, count, TEACHER, through, trims=fewer, engine="cpu")


@pytest.mark.parametrize(("through", "count"), [(0.0, 100), (0.35, 100), (1.0, 660)])
def test_twice_the_time_has_room_for_twice_the_steps(
    through: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_seconds_of", lambda step, teacher: (step(teacher.train[0]) and 0.0) or 0.01)
    first, second = (within(seconds, count, through) for seconds in (10.0, 20.0))
    assert first > 0
    assert abs(second - 2 * first) <= 1


def test_no_steps_are_planned_where_there_is_no_time_or_nothing_to_train() -> None:
    assert within(0.0, 100, 0.35) == 0
    assert within(-5.0, 100, 0.35) == 0
    assert within(60.0, len(SCENE), 0.0) == 0
    assert within(60.0, len(SCENE), 0.0, trims=True) > 0, "what was merged already is still to be trained"


def test_steps_are_timed_by_taking_some() -> None:
    assert 1 <= within(2.0, 100, 0.35) <= 30_000
