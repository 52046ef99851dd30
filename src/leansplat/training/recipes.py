"""The recipes of training by name: the published one, and a lean one that trains straight to a number of Gaussians."""

from __future__ import annotations

import math
from dataclasses import replace

from leansplat.captures.capture import Capture
from leansplat.captures.reduction import lost_detail
from leansplat.training.config import TrainingConfig
from leansplat.training.lengths import scaled_interval
from leansplat.training.strategies import BudgetTraining

LEAN_STEPS = 10_000
"""Steps of the lean recipe unless others are asked for."""

_WRITTEN_FOR = 5000
"""Steps that its settings are written for; other lengths scale them."""

_BEGINNING = 2250
"""Of those, in which the scene comes to its peak, photos become as large as they are, and random points are cleared."""

_MANY_POINTS = 20_000
"""Random points from which on a long beginning pays: chair gained 0.25 dB by it with 25,000 of them, while fruit never
came over 16 dB with 6,754."""

_DETAIL_PER_GAUSSIAN = 500
"""Levels of 8 bits, summed over pixels (means of channels) and photos: fox at 270x480 then has 36,000 Gaussians."""

_VIEWS_LOOKED_AT = 100

_STEEPEST = 300.0
"""Logarithm of a rate of positions that still fits a float, for a training that has all but run out of time."""


def lean(count: int, iterations: int = LEAN_STEPS, *, points: bool = True) -> TrainingConfig:
    """The lean recipe, to exactly `count` Gaussians.

    Photos are reduced to half their size for the first 40 % of the steps; from 3 % to 60 % the scene grows to 2.5 times
    `count` Gaussians, and from 60 % to 80 % it goes down to `count` in rounds (`BudgetTraining`). Everything else is as
    published, with two exceptions. Positions end at ten times their published rate, because the training is shorter and
    what is left has gaps to move into. SSIM has twice its published weight, because few Gaussians show contrast before
    they show fine detail: that wins in PSNR, SSIM and LPIPS.

    Args:
        count: Gaussians at the end.
        iterations: steps in all.
        points: whether the capture has points to start from. Few random ones are large, since they fill the gaps
            between them, and are in the photos' way. What is there for a thousand steps learns to look right in single
            photos, and stays. So with fewer than 20,000, the beginning of a longer training takes as many steps as in
            5,000, and only the rest is longer.

    Raises:
        InputError: a number is out of range.
    """
    recipe = TrainingConfig(
        iterations=_WRITTEN_FOR,
        sh_degree_every=167,
        ssim_weight=0.4,
        reduction=2,
        reduced_steps=2000,
        position_rate_steps=_WRITTEN_FOR,
        position_rate_final=1.6e-5,
        random_points=min(count, TrainingConfig().random_points),
        strategies=(BudgetTraining(count=count),),
    )
    if points or count >= _MANY_POINTS or iterations <= _WRITTEN_FOR:
        return recipe.scaled(iterations)
    return stretched(recipe, _BEGINNING, iterations)


def stretched(config: TrainingConfig, made: int, iterations: int) -> TrainingConfig:
    """The lean recipe, when `made` of its steps are over, so that it ends after `iterations`.

    What is still to come stays in its order and keeps its distances, in proportion; what is over stays as it was. The
    rate of positions goes on from where it is.

    Args:
        made: fewer than there are, and past the step at which the scene reaches its peak.
        iterations: more than `made`.
    """
    budget = config.strategy(BudgetTraining)
    assert budget is not None
    before, after = config.iterations - made, iterations - made

    def moved(step: int) -> int:
        return step if step <= made else made + max(1, round((step - made) * after / before))

    until = moved(budget.until)
    peak_at = budget.peak_at * (budget.until - budget.after) / max(until - budget.after, 1)
    now = made / config.position_rate_steps
    start, end = math.log(config.position_rate), math.log(config.position_rate_final)
    there = made / iterations
    start = ((1 - now) * start + now * end - there * end) / (1 - there)
    return replace(
        config,
        iterations=iterations,
        position_rate=math.exp(min(start, _STEEPEST)),
        position_rate_steps=iterations,
    ).adjusted(
        BudgetTraining,
        until=until,
        peak_at=min(peak_at, 1.0),
        every=scaled_interval(budget.every, until - budget.after, before, after),
        fewer_until=moved(budget.fewer_until),
    )


def count_for(capture: Capture) -> int:
    """How many Gaussians the photos of a capture call for: one for so much detail in all training views.

    Detail is what photos lose when they are reduced to half their size and enlarged again. Smooth surfaces and empty
    backgrounds have little of it and need few Gaussians, however many pixels they fill. What noise adds is bounded: a
    Gaussian has 59 parameters, and a pixel that counts is three measurements.
    """
    views = capture.train[:: max(1, len(capture.train) // _VIEWS_LOOKED_AT)]
    detail, pixels = 0.0, 0
    for view in views:
        lost, counted = lost_detail(view)
        detail, pixels = detail + lost, pixels + counted
    share = len(capture.train) / len(views)
    return max(1, round(share * min(detail / _DETAIL_PER_GAUSSIAN, pixels * 3 / 59)))
