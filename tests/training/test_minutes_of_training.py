"""A lean training that is to end on time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from leansplat.captures.synthetic import synthetic_capture
from leansplat.gaussians import TENSOR_NAMES
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, lean, lean_within, pace, schedule, train
from leansplat.training.deadline import MARKS, THROUGH_FILE, Costs, Deadline
from leansplat.training.recipes import stretched
from leansplat.training.strategies import BudgetTraining

COSTS = Costs((0.004, 0.02, 0.02, 0.015, 0.01, 0.01, 0.01), (0.2, 0.0, 1.0, 1.5, 0.0, 0.0, 0.0))


class Clock:
    """A clock that stands still unless it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def simulated(seconds: float, slower: float, later: float = 1.0, further: float = 0.0) -> tuple[float, TrainingConfig]:
    """Seconds that a training takes whose steps really cost more, and how it ends.

    Args:
        slower: than the short training said, of everything.
        later: once more, from two thirds of the time on.
    """
    clock = Clock()
    deadline = Deadline(seconds, COSTS, further, clock)
    config = lean(1000, max(200, deadline.steps))
    step, part = 0, 0
    while step < config.iterations:
        until = deadline.next_mark(config)
        factor = slower * (later if clock.now - 100 > seconds * 2 / 3 else 1.0)
        clock.now += factor * (COSTS.besides[part] + (until - step) * COSTS.step[part])
        step, part = until, part + 1
        if step < config.iterations:
            config = deadline.adapted(config, step)
    clock.now += slower * later * further * THROUGH_FILE * step * COSTS.step[-1]
    return clock.now - 100, config


@pytest.mark.parametrize("further", [0.0, 0.25])
@pytest.mark.parametrize("slower", [0.3, 0.6, 1.0, 1.7])
def test_a_training_ends_on_time_however_wrong_the_plan_was(slower: float, further: float) -> None:
    taken, _ = simulated(120, slower, further=further)
    assert taken == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("later", [0.5, 1.5])
def test_a_machine_that_becomes_quicker_or_slower_is_noticed_on_the_way(later: float) -> None:
    taken, _ = simulated(120, 1.0, later)
    assert taken == pytest.approx(120, rel=0.08)


def test_where_the_time_is_over_the_rest_becomes_short_and_keeps_all_rounds() -> None:
    _, config = simulated(12, 5.0)
    budget = config.strategy(BudgetTraining)
    assert budget is not None
    assert config.iterations < lean(1000, 500).iterations
    assert sum(budget.rounds_left(step) == 1 for step in range(config.iterations + 1)) == 1


def schedule_of(config: TrainingConfig) -> list[tuple[int, float]]:
    """Wanted Gaussians and position rate after every step."""
    budget = config.strategy(BudgetTraining)
    assert budget is not None
    steps = range(1, config.iterations + 1)
    return [(budget.wanted(step, 100), schedule.position_rate(config, step, 1.0)) for step in steps]


@pytest.mark.parametrize("made", [900, 1200, 1600, 1950])
@pytest.mark.parametrize("total", [2600, 5000, 1951 + 10])
def test_what_is_over_stays_and_the_rest_goes_on_from_there(made: int, total: int) -> None:
    before = lean(1000, 2000)
    after = stretched(before, made, total)
    old, new = schedule_of(before), schedule_of(after)
    assert [wanted for wanted, _ in new[made:]] == [2500] * (total - made)
    assert new[made - 1][1] == pytest.approx(old[made - 1][1])
    assert new[-1][1] == pytest.approx(1.6e-5)
    assert all(later < sooner for (_, sooner), (_, later) in pairwise(new[made - 1 :]))
    assert after.reduced_steps == before.reduced_steps

    def rounds(config: TrainingConfig) -> list[int]:
        budget = config.strategy(BudgetTraining)
        assert budget is not None
        return [step for step in range(made + 1, config.iterations + 1) if budget.rounds_left(step)]

    share = (total - made) / (2000 - made)
    assert rounds(after) == pytest.approx([made + (step - made) * share for step in rounds(before)], abs=1.5)


class FakeDeadline(Deadline):
    """Draws out what is left by half at one mark."""

    def __init__(self) -> None:
        super().__init__(100.0, COSTS, clock=Clock())
        self._adaptations = 0

    def adapted(self, config: TrainingConfig, step: int) -> TrainingConfig:
        self._adaptations += 1
        self._passed += 1
        return stretched(config, step, config.iterations + 20) if self._adaptations == 2 else config


class InterruptionError(Exception):
    pass


def test_a_run_that_was_drawn_out_and_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    capture, config = synthetic_capture(views=10, size=32), lean(60, 60)
    once = train(capture, config, tmp_path / "once", deadline=FakeDeadline())
    assert once.state.step == 80
    assert len(once.gaussians) == 60

    def interrupt(state: TrainingState) -> None:
        if state.step == 50:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(capture, config, tmp_path / "run", deadline=FakeDeadline(), after_step=interrupt)
    again = train(capture, None, tmp_path / "run", resume=True)
    assert again.state.step == 80
    assert all(torch.equal(getattr(again.gaussians, name), getattr(once.gaussians, name)) for name in TENSOR_NAMES)
    (told,) = (event for event in open_run(tmp_path / "run").events() if event["event"] == "paced")
    assert (told["step"], told["iterations"]) == (round(MARKS[1] * 60), 80)


def test_the_costs_are_those_of_a_usual_step_and_of_what_is_done_besides() -> None:
    taken = [0.01] * 100
    taken[50] = 1.01
    costs = pace._costs(taken)
    assert costs.step == pytest.approx([0.01] * 7)
    assert costs.besides == pytest.approx([0, 0, 1.0, 0, 0, 0, 0])
    clock = Clock()
    assert Deadline(91.0, costs, clock=clock).steps == pytest.approx(9000, abs=1)
    assert Deadline(91.0, costs, 0.25, clock).steps == pytest.approx(9000 / 1.5, abs=1)


def test_longer_trainings_are_timed_where_there_is_time_and_too_little_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lengths: list[int] = []

    def timed(capture, count: int, steps: int, batch: int, engine: str) -> tuple[Costs, float]:
        lengths.append(steps)
        return Costs((0.01,) * 7, (0.0,) * 7), 0.01 * steps

    monkeypatch.setattr(pace, "_timed", timed)
    capture = synthetic_capture(views=9, size=16)
    steps, _ = lean_within(100, capture, 50, clock=Clock())
    assert steps == pytest.approx(9600, rel=0.01)
    assert lengths == [50, 100, 400]
    assert "too short" not in caplog.text
    assert lean_within(0.1, capture, 50, clock=Clock())[0] == 200
    assert "the time is too short to make a scene" in caplog.text


def test_a_plan_is_made_of_real_trainings() -> None:
    capture = synthetic_capture(views=9, size=16)
    train(capture, lean(50, 60))  # compiles, which on a new machine takes longer than all that is planned here
    steps, _ = lean_within(20, capture, 50)
    assert 200 < steps < 30_000_000
