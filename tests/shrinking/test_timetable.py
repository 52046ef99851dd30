"""All in some minutes: merging ends in time, few steps begin with more, and resuming goes on with what was fitted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.arrangements import place, ring

from leansplat.errors import RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.merging import simplify
from leansplat.shrinking import timetable
from leansplat.shrinking.descent import Descent, Stage
from leansplat.shrinking.regions import Freedom
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.timetable import Timetable, overtime

SCENE = place(600)
TEACHER = teacher_capture(SCENE, {f"{number}": camera for number, camera in enumerate(ring(9, 6.0, 0.0))})
FEW, MANY = 4, 4000


def begun(
    folder: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch, *, minutes: float = 1.0, resume: bool = False
) -> tuple[Stage, int, list[int]]:
    """The stage that a tenth is trained from, its steps, and how many Gaussians each merging came to; `steps` are what
    there seems to be time for, time after time."""
    found = iter(steps)
    monkeypatch.setattr(timetable, "steps_within", lambda *args, **how: next(found))
    merged: list[int] = []
    first = Descent.merged_first

    def watched(self: Descent, *args: Any, **how: Any) -> Stage:
        stage = first(self, *args, **how)
        merged.append(len(stage.gaussians))
        return stage

    monkeypatch.setattr(Descent, "merged_first", watched)
    way = Descent(SCENE, TEACHER, Freedom.of(SCENE), folder, "gaussianpop", 0, merges=True, resume=resume)
    table = Timetable(way, minutes, time.perf_counter(), 1, lambda steps: 0)
    above, planned = table.begun(way.top, 60, 0)
    return above, planned, merged


def same_bits(one: Gaussians, other: Gaussians) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in TENSOR_NAMES)


@pytest.mark.parametrize(
    ("steps", "merged"), [([MANY] * 3, 90), ([FEW] * 3, 60), ([MANY, FEW, FEW, FEW], 60), ([0, 0, 0], 60)]
)
def test_what_few_steps_would_have_to_learn_is_merged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int], merged: int
) -> None:
    above, planned, _ = begun(tmp_path, steps, monkeypatch)
    assert len(above.gaussians) == merged
    assert above.before == len(SCENE)
    assert planned == steps[-1]


def test_a_stage_that_is_merged_already_is_trained_all_the_same(tmp_path: Path) -> None:
    way = Descent(SCENE, TEACHER, Freedom.of(SCENE), tmp_path, "gaussianpop", 0, merges=True)
    merged = way.merged_first(way.top, 60, FEW)
    assert len(merged.gaussians) == 60
    trained = way.down(merged, 60, FEW)
    assert len(trained.gaussians) == 60
    assert trained.steps == FEW
    assert not same_bits(trained.gaussians, merged.gaussians)
    assert way.down(merged, 60, 0) is merged


def test_without_time_for_views_all_is_merged_by_geometry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measured(*args: Any) -> Any:
        asked.append(1)
        return by_views(*args)

    from leansplat.merging import simplifier

    by_views = simplifier.by_views
    monkeypatch.setattr(simplifier, "by_views", measured)
    above, _, _ = begun(tmp_path, [FEW] * 3, monkeypatch, minutes=0.0)
    assert len(above.gaussians) == 60
    assert len(asked) == 1, "views were asked once, which Gaussians they show"


def test_merging_by_views_ends_when_it_is_told_so() -> None:
    rounds = iter([True, True, False])
    fewer = simplify(SCENE, 60, TEACHER, another=lambda: next(rounds))
    assert len(fewer.gaussians) == 60
    assert next(rounds, None) is None
    whole = simplify(SCENE, 60, TEACHER)
    assert not same_bits(fewer.gaussians, whole.gaussians)
    assert same_bits(simplify(SCENE, 60, TEACHER, another=lambda: True).gaussians, whole.gaussians)


def test_resuming_goes_on_with_the_same_bits_and_steps_however_much_time_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first, planned, merged = begun(tmp_path, [MANY, FEW, FEW, FEW], patch)
    with monkeypatch.context() as patch:
        again, steps, once_more = begun(tmp_path, [], patch, minutes=0.0, resume=True)
    assert steps == planned == FEW
    assert once_more == merged
    assert same_bits(again.gaussians, first.gaussians)
    assert torch.equal(again.rows, first.rows)


@pytest.mark.parametrize(
    "text", ['{"count": "many"}', "{", '{"count": 60, "steps": 5, "trimming": [5, 5], "rounds": [1]}']
)
def test_a_damaged_timetable_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "timetable-01.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"timetable-01\.json cannot be read"):
        begun(tmp_path, [MANY] * 3, monkeypatch, resume=True)


@pytest.mark.parametrize(
    ("minutes", "seconds", "said"), [(None, 1e6, 0), (1.0, 59.0, 0), (1.0, 61.0, 1), (0.5, 300.0, 1)]
)
def test_more_time_than_was_given_is_said(minutes: float | None, seconds: float, said: int) -> None:
    assert len(overtime(minutes, seconds)) == said
