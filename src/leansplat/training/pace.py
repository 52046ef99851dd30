"""How a lean training comes to end on time: short trainings are made first, and the clock is read.

A training in some hundred steps goes up to the same peak and down to the same number of Gaussians as one in thousands,
though its Gaussians are rougher and mostly take longer to draw. So trainings are made ever longer, while the next one
is not expected to take more than a tenth of the time, and the last one says what each part of a training costs. What
it got wrong is put right on the way (`deadline`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median

from leansplat.captures.capture import Capture
from leansplat.errors import InputError
from leansplat.training.deadline import MARKS, Costs, Deadline
from leansplat.training.lengths import MOST_STEPS
from leansplat.training.recipes import LEAN_STEPS, lean
from leansplat.training.state import TrainingState
from leansplat.training.trainer import train

_log = logging.getLogger("leansplat")

_FIRST = 100
_LONGER = 4
"""How much longer each training is than the one before."""
_TIMING = 0.1
"""Share of the time that the next training may take."""
_AIM = 0.96
"""Share of the time after which everything is to be over: being early is better than being late."""
_LEAST = 200
"""Fewer steps make no scene, whatever the time."""


def check_minutes(minutes: float | None, *, resume: bool) -> None:
    """Refuse a time that is none, or that a run which is gone on with cannot have.

    Raises:
        InputError: the time is not above 0, or there is one and `resume` is true.
    """
    if minutes is None:
        return
    if not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes is {minutes}; give a finite number above 0")
    if resume:
        raise InputError(
            "a run goes on with the steps that it began with, however long they take; leave the minutes out"
        )


def lean_within(
    seconds: float,
    capture: Capture,
    count: int,
    *,
    further: float = 0.0,
    batch: int = 1,
    engine: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, Deadline]:
    """Steps of the lean recipe to begin with, 200 at least, and the deadline that changes them on the way.

    The trainings that find this out take some of the time themselves. Where the time is too short, a warning says so.

    Args:
        seconds: for everything, from now on.
        count: Gaussians to train to.
        further: share of as many steps more, through the rounding of a file.
        batch: views of a step.
        engine: what trains.
        clock: seconds, as `time.perf_counter` gives them.
    """
    began = clock()
    first = max(_FIRST, 4 * batch)
    _timed(capture, count, first // 2, batch, engine)  # compiles, and fills caches
    steps, costs, taken = first, *_timed(capture, count, first, batch, engine)
    while _LONGER * taken < _TIMING * seconds and _LONGER * steps <= LEAN_STEPS:
        steps *= _LONGER
        costs, taken = _timed(capture, count, steps, batch, engine)
    deadline = Deadline(_AIM * seconds - (clock() - began), costs, further, clock)
    fitting = deadline.steps
    if fitting < _LEAST:
        _log.warning("the time is too short to make a scene; some %d training steps are made, and take longer", _LEAST)
    return max(_LEAST, min(MOST_STEPS, fitting)), deadline


def _timed(capture: Capture, count: int, steps: int, batch: int, engine: str) -> tuple[Costs, float]:
    """What the parts of a training of `steps` cost, and the seconds of all of it."""
    began = time.perf_counter()
    ends: list[float] = []

    def look(state: TrainingState) -> None:
        ends.extend([time.perf_counter()] * state.views)

    before, _log.disabled = _log.disabled, True  # what is only timed is nothing to warn of
    try:
        train(capture, replace(lean(count, steps), batch=batch), engine=engine, after_step=look)
    finally:
        _log.disabled = before
    taken = [(end - start) / batch for start, end in pairwise(ends[::batch]) for _ in range(batch)]
    return _costs([*taken[:batch], *taken]), time.perf_counter() - began


def _costs(taken: list[float]) -> Costs:
    """The costs of a training whose steps took so many seconds each.

    Most steps of a part only train; what a part takes beyond them goes to what is done now and then.
    """
    bounds = [0, *(round(share * len(taken)) for share in MARKS), len(taken)]
    parts = [taken[first:last] for first, last in pairwise(bounds)]
    usual = [median(part) for part in parts]
    return Costs(
        tuple(usual),
        tuple(max(0.0, sum(part) - len(part) * each) for part, each in zip(parts, usual, strict=True)),
    )
