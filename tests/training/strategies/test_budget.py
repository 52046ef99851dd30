"""Training straight to a number of Gaussians: the curve, the peak, the rounds, and that it can be stopped anywhere."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.errors import InputError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import CRITERIA, TrimmingConfig, trim
from leansplat.pruning.evidence import Evidence
from leansplat.runs import open_run
from leansplat.simd.threads import set_thread_count, thread_count
from leansplat.training import TrainingConfig, TrainingState, lean, train
from leansplat.training.strategies import AfterStep, BudgetTraining
from leansplat.training.strategies.growth import grow
from leansplat.training.strategies.worth import by_worth
from leansplat.training.trainer import begin_training

CAPTURE = tiny_capture()
COUNT = 70
CONFIG = replace(lean(COUNT).scaled(120), sh_degree=1, checkpoint_every=20).adjusted(BudgetTraining, every=5)


class KilledError(Exception):
    pass


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def counts(config: TrainingConfig) -> list[int]:
    """Gaussians after every step."""
    found: list[int] = []
    train(CAPTURE, config, after_step=lambda state: found.append(state.count))
    return found


def test_training_ends_with_exactly_the_wanted_number_after_a_peak_of_more() -> None:
    found = counts(CONFIG)
    assert found[0] == 30  # points of the capture
    assert max(found) == round(2.5 * COUNT)
    assert found[-1] == COUNT
    assert found[int(0.8 * len(found)) :] == [COUNT] * (len(found) - int(0.8 * len(found)))


def test_a_scene_that_begins_with_more_than_the_peak_goes_down_to_the_wanted_number() -> None:
    found = counts(CONFIG.adjusted(BudgetTraining, count=9))
    assert found[0] == 30
    assert max(found) == 30
    assert found[-1] == 9


def test_the_curve_runs_from_the_first_count_to_the_peak_and_stays_there() -> None:
    budget = BudgetTraining(count=1000, peak=2.0, after=100, until=1100, peak_at=0.5, exponent=0.5)
    assert budget.wanted(100, 500) == 500
    assert budget.wanted(225, 500) == 500 + 1500 * 0.5
    assert [budget.wanted(step, 500) for step in (600, 900, 1099)] == [2000, 2000, 2000]


def test_rounds_lie_at_equal_distances_and_each_keeps_the_same_share() -> None:
    budget = BudgetTraining(until=3000, fewer_until=4000, rounds=6)
    steps = {step: budget.rounds_left(step) for step in range(1, 5001) if budget.rounds_left(step)}
    assert steps == {3000: 6, 3200: 5, 3400: 4, 3600: 3, 3800: 2, 4000: 1}


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 25])
def test_the_shortest_training_ends_with_the_wanted_number_where_it_begins_with_more(steps: int) -> None:
    assert len(train(CAPTURE, lean(9, steps)).gaussians) == 9


def test_a_lean_scene_can_be_trimmed_further(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG, tmp_path / "run")
    further = TrimmingConfig(count=40, rounds=2, every=2, finetune=3, checkpoint_every=3)
    assert len(trim(tmp_path / "run", CAPTURE, further, tmp_path / "trimmed").gaussians) == 40
    again = trim(tmp_path / "run", CAPTURE, further, tmp_path / "trimmed", resume=True)
    assert len(again.gaussians) == 40


def test_opacities_are_reset_while_photos_are_small_and_no_longer() -> None:
    budget = BudgetTraining()
    assert [step for step in range(1, 5001) if budget.resets_opacities(step)] == [500, 1000, 1500, 2000]


@pytest.mark.parametrize("points", [True, False])
def test_opacities_are_pulled_down_where_there_are_no_points(points: bool) -> None:
    capture = CAPTURE if points else replace(CAPTURE, points=None)
    config = CONFIG.adjusted(BudgetTraining, reset_every=7, reset_until=8, after=50)
    largest: list[float] = []
    train(capture, config, after_step=lambda state: largest.append(float(state.model.attribute("opacities").max())))
    assert torch.tensor(largest[5]).sigmoid() > 0.05
    assert (float(torch.tensor(largest[6]).sigmoid()) == pytest.approx(0.01)) == (not points)


def test_what_is_worth_least_is_what_the_images_miss_least() -> None:
    state = begin_training(CAPTURE, CONFIG)
    order = by_worth(AfterStep(state, CAPTURE, 1, None), most_views=100)
    (change,) = CRITERIA["gaussianpop"](Evidence(state.model, CAPTURE.train, CAPTURE.background))
    assert bool((change[order].diff() >= 0).all())


def test_those_that_the_loss_pulls_hardest_at_grow_and_as_many_as_are_wanted() -> None:
    state = begin_training(CAPTURE, CONFIG)
    labels = state.model.attribute("sh0")[:, 0, 0] + 0.01 * torch.arange(30)
    state.model.write("sh0", torch.arange(30), labels[:, None, None].expand(30, 1, 3))
    state.statistics.views_seen.fill_(2)
    state.statistics.gradient_sum.copy_(torch.arange(30) % 7)
    kept = torch.arange(30) != 6  # one with the largest gradient, which goes
    grow(state, kept, 3, 0.01)
    after = state.model.attribute("sh0")[:, 0, 0]
    found = torch.tensor([int((after == label).sum()) for label in labels])
    assert state.count == 32
    assert found.tolist() == [0 if row == 6 else 2 if row in (13, 20, 27) else 1 for row in range(30)]


def test_what_no_gradient_pulls_at_does_not_grow() -> None:
    state = begin_training(CAPTURE, CONFIG)
    grow(state, torch.ones(30, dtype=torch.bool), 10, 0.01)
    assert state.count == 30


@pytest.mark.parametrize("step", [11, 40, 66, 83, 99])
def test_a_run_that_was_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path, step: int) -> None:
    def kill(state: TrainingState) -> None:
        if state.step == step:
            raise KilledError

    whole = train(CAPTURE, CONFIG, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(CAPTURE, CONFIG, tmp_path / "killed", after_step=kill)
    resumed = train(CAPTURE, run=tmp_path / "killed", resume=True)
    assert_same(whole.gaussians, resumed.gaussians)
    assert_same(whole.state.model.moments().second, resumed.state.model.moments().second)
    kept = [event for event in open_run(tmp_path / "killed").events() if event["event"] != "resumed"]
    assert [each["event"] for each in kept] == [each["event"] for each in open_run(tmp_path / "whole").events()]


def test_what_was_done_is_in_the_log_and_the_numbers_add_up(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG, tmp_path / "run")
    count = 30
    for event in open_run(tmp_path / "run").events():
        if event["event"] == "grown":
            count += event["cloned"] + event["split"] - event["removed"]
        elif event["event"] == "rounded_down":
            count -= event["pruned"]
        assert event.get("gaussians", count) == count
    assert count == COUNT


def test_a_number_that_training_cannot_reach_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        result = train(CAPTURE, lean(10_000).scaled(20))
    assert len(result.gaussians) < 10_000
    assert "fewer than the 10,000 asked for" in caplog.text


def test_settings_are_in_json_and_scale_with_the_steps() -> None:
    config = lean(500, 10_000)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    budget = config.strategy(BudgetTraining)
    assert budget is not None
    assert (budget.after, budget.until, budget.fewer_until, budget.every) == (300, 6000, 8000, 166)
    assert (config.reduced_steps, config.position_rate_steps) == (4000, 10_000)


@pytest.mark.parametrize("setting", [{"count": 0}, {"peak": 0.5}, {"peak_at": 0.0}, {"swapped": 1.0}, {"rounds": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        BudgetTraining(**setting)  # type: ignore[arg-type]


def test_one_and_two_threads_give_the_same_course() -> None:
    before = thread_count()
    try:
        found = []
        for threads in (1, 2):
            set_thread_count(threads)
            found.append(counts(CONFIG))
    finally:
        set_thread_count(before)
    assert found[0] == found[1]
