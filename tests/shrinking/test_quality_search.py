"""How far down the search for the smallest scene of a target of quality looks, on scenes that are only counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from leansplat.shrinking.quality_search import QualitySearch, _Trials
from leansplat.shrinking.targets import Target

TARGET = Target(max_drop=0.1)


@dataclass(frozen=True)
class Counted:
    """A stage of so many Gaussians, made of one of so many."""

    count: int
    before: int
    steps: int = 0

    @property
    def gaussians(self) -> range:
        return range(self.count)


def searched(holds: Callable[[Counted], bool]) -> tuple[list[int], list[int]]:
    """Counts of the stages that hold, and of those that do not, of a scene of 1,000 Gaussians."""

    def down(above: Counted, count: int, steps: int, *, one_of_many: bool) -> Counted:
        assert one_of_many
        return Counted(count, above.count, above.steps + steps)

    def loss(stage: Counted) -> Any:
        return SimpleNamespace(used=lambda _: 0.5 if holds(stage) else 2.0)

    descent = SimpleNamespace(down=down, freedom=SimpleNamespace(least=0), given=range(1000))
    maker: Any = SimpleNamespace(descent=descent, encoded_loss=loss)
    whole: Any = Counted(1000, 1000)
    trials = _Trials([whole], {whole: 0.1}, 10)
    QualitySearch(maker)._go_down(trials, TARGET, 1.0, 0.5)
    return [len(stage.gaussians) for stage in trials.held], [len(stage.gaussians) for stage in trials.failed]


@pytest.mark.parametrize("end", [300, 500, 800])
def test_a_scene_that_changes_with_every_gaussian_goes_down_in_small_stages(end: int) -> None:
    held, failed = searched(lambda stage: stage.count > 0.9 * stage.before and stage.count >= end)
    assert end <= held[-1] < end / 0.9
    assert failed[:3] == [500, 707, 841]


def test_a_scene_that_goes_down_by_much_is_not_looked_at_nearer_than_a_tenth() -> None:
    held, failed = searched(lambda stage: stage.count >= 450)
    assert held == [1000, 500]
    assert failed == [250, 354, 420]


def test_a_scene_of_which_every_gaussian_is_needed_stays_whole() -> None:
    held, failed = searched(lambda stage: False)
    assert held == [1000]
    assert failed == [500, 707, 841, 917]


@pytest.mark.parametrize(("least", "expected"), [(600, [1000, 707]), (240, [1000, 500, 250])])
def test_what_does_not_hold_trained_may_hold_untrained(least: int, expected: list[int]) -> None:
    """As if training lost more than removing."""
    held, failed = searched(lambda stage: stage.steps == 0 and stage.count >= least)
    assert held == expected
    assert all(count < least for count in failed)
