"""`Deadline`: a lean training that ends on time, since what is left of it is drawn out or pressed together as it goes.

What a step costs depends on the scene, and that is there only once training has made it. So the length of a training is
first planned from a short one (`pace`), and reconsidered at a few marks along its schedule. From the first of them on
the scene is at its peak, and all that changes is how many steps lie between what is still to come: the rounds, and
the fine-tuning after them. What is over stays as it was, and every schedule goes on from where it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from leansplat.training.config import TrainingConfig
from leansplat.training.lengths import MOST_STEPS
from leansplat.training.recipes import stretched
from leansplat.training.strategies import BudgetTraining

MARKS = (0.41, 0.45, 0.6, 0.8, 0.9, 0.96)
"""Shares of the steps with which a part of the lean recipe ends, or after which a look at the clock is due. Photos are
of full size from 40 % on, and the scene is at its peak from 43 % on: the first part after that is only timed."""

_PHASES = (0.0, 0.4, 0.6, 0.8, 1.0)
"""Shares of the steps at which photos become large, growth ends, rounds end, and all ends."""

_FIRST_CHANGE = 1
"""Number of the first mark at which the length may change."""

_LEAST_LEFT = 0.1
"""Of the steps that are left, that are made even when the time is over: a scene in the middle of the rounds is none."""

THROUGH_FILE = 2.0
"""A step through the rounding of a file in training steps of as many Gaussians."""


@dataclass(frozen=True)
class Costs:
    """What the parts of a training cost, of which there is one more than marks.

    Args:
        step: seconds of a usual step in each part.
        besides: seconds that each part takes besides, however many steps it has: for finding what Gaussians are worth.
    """

    step: tuple[float, ...]
    besides: tuple[float, ...]


class Deadline:
    """When a lean training has to end, and what is to be done about it.

    Args:
        seconds: from now on, for the training and what comes after it.
        costs: of a short training of the same capture to as many Gaussians.
        further: share of the training's steps that are made afterwards, through the rounding of a file.
        clock: seconds, as `time.perf_counter` gives them.
    """

    def __init__(
        self, seconds: float, costs: Costs, further: float = 0.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock, self._costs = clock, costs
        self._at = clock() + seconds
        self._further = further * THROUGH_FILE * costs.step[-1]  # seconds afterwards for every step of training
        self._marks: list[int] = []
        self._passed, self._when, self._slower = 0, 0.0, 1.0

    @property
    def steps(self) -> int:
        """Training steps that are expected to fit into the time that is left; may be below 1."""
        shares = [last - first for first, last in pairwise((0.0, *MARKS, 1.0))]
        each = sum(share * cost for share, cost in zip(shares, self._costs.step, strict=True)) + self._further
        return int((self._at - self._clock() - sum(self._costs.besides)) / each)

    def next_mark(self, config: TrainingConfig) -> int:
        """The step after which to look at the clock again, or the last one."""
        if not self._marks:
            self._marks = _marks(config)
        return self._marks[self._passed] if self._passed < len(MARKS) else config.iterations

    def adapted(self, config: TrainingConfig, step: int) -> TrainingConfig:
        """The recipe as it goes on after `step`, which is the one that `next_mark` gave."""
        now, part, costs = self._clock(), self._passed, self._costs
        bounds = [0, *self._marks, config.iterations]
        lengths = [last - first for first, last in pairwise(bounds)]
        if part >= _FIRST_CHANGE and lengths[part]:  # none where time has all but run out
            self._slower = (now - self._when) / (costs.besides[part] + lengths[part] * costs.step[part])
        self._passed, self._when = part + 1, now
        if part < _FIRST_CHANGE:
            return config
        rest = zip(costs.step[part + 1 :], lengths[part + 1 :], strict=True)
        left, remaining = sum(cost * steps for cost, steps in rest), config.iterations - step
        time_left = (self._at - now) / self._slower - sum(costs.besides[part + 1 :]) - self._further * step
        longer = max(time_left / (left + self._further * remaining), _LEAST_LEFT)
        total = min(MOST_STEPS, step + max(1, round(longer * remaining)))
        self._marks = [
            mark if mark <= step else step + round((mark - step) * (total - step) / remaining) for mark in self._marks
        ]
        return stretched(config, step, total)


def _marks(config: TrainingConfig) -> list[int]:
    """The steps of a recipe that are between its phases as the shares `MARKS` are between those of the usual one."""
    budget = config.strategy(BudgetTraining)
    assert budget is not None
    here = (0, config.reduced_steps, budget.until, budget.fewer_until, config.iterations)
    return [round(float(step)) for step in np.interp(MARKS, _PHASES, here)]
