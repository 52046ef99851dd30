"""How many steps of the lean recipe fit into a given time: two short trainings are made, and the clock is read.

A training in a hundred steps goes up to the same peak and down to the same number of Gaussians as one in thousands, and
so costs on average what a step of that will cost. What does not grow with the steps, such as judging Gaussians before
each round, is told apart by making two of different lengths.
"""

from __future__ import annotations

import logging
import math
import time

from leansplat.captures.capture import Capture
from leansplat.errors import InputError
from leansplat.training.lengths import MOST_STEPS
from leansplat.training.recipes import lean
from leansplat.training.trainer import train

_log = logging.getLogger("leansplat")

_SHORT, _LONGER = 60, 180
_SHARE = 0.85
"""Of the time, that is planned for: steps of a finished scene cost a little more than those of a rough one."""
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


def lean_steps_within(
    seconds: float, capture: Capture, count: int, *, further: float = 0.0, engine: str = "cpu"
) -> int:
    """Steps of the lean recipe that fit into some seconds, from 200 on.

    The two trainings take time, too, some seconds for captures of ordinary size, which count from here on.

    Args:
        seconds: for everything, from now on.
        count: Gaussians to train to.
        further: share of as many steps more, which cost twice as much each (through the rounding of a file).
        engine: what trains.
    """
    began = time.perf_counter()
    _timed(capture, count, _SHORT // 2, engine)  # compiles, and fills caches
    short, longer = (_timed(capture, count, steps, engine) for steps in (_SHORT, _LONGER))
    each = max((longer - short) / (_LONGER - _SHORT), 1e-6)
    fixed = max(0.0, short - each * _SHORT)
    left = _SHARE * (seconds - (time.perf_counter() - began)) - fixed
    return max(_LEAST, min(MOST_STEPS, int(left / each / (1 + 2 * further))))


def _timed(capture: Capture, count: int, steps: int, engine: str) -> float:
    began = time.perf_counter()
    before, _log.disabled = _log.disabled, True  # what is only timed is nothing to warn of
    try:
        train(capture, lean(count).scaled(steps), engine=engine)
    finally:
        _log.disabled = before
    return time.perf_counter() - began
