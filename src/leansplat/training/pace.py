"""How many steps of the lean recipe fit into a given time: short trainings are made, and the clock is read.

A training in some hundred steps goes up to the same peak and down to the same number of Gaussians as one in thousands,
though its Gaussians are rougher and mostly take longer to draw. So trainings are made ever longer, while the next one
is not expected to take more than a tenth of the time, and the last one says what a step costs.
"""

from __future__ import annotations

import logging
import math
import time

from leansplat.captures.capture import Capture
from leansplat.errors import InputError
from leansplat.training.lengths import MOST_STEPS
from leansplat.training.recipes import LEAN_STEPS, lean
from leansplat.training.trainer import train

_log = logging.getLogger("leansplat")

_FIRST = 100
_LONGER = 4
"""How much longer each training is than the one before."""
_TIMING = 0.1
"""Share of the time that the next training may take."""
_SHARE = 0.9
"""Of what is left, that is planned for."""
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
    """Steps of the lean recipe that fit into some seconds; 200, with a warning, where fewer do.

    The trainings that find this out take some of the time themselves.

    Args:
        seconds: for everything, from now on.
        count: Gaussians to train to.
        further: share of as many steps more, which cost twice as much each (through the rounding of a file).
        engine: what trains.
    """
    began = time.perf_counter()
    _timed(capture, count, _FIRST // 2, engine)  # compiles, and fills caches
    steps, taken = _FIRST, _timed(capture, count, _FIRST, engine)
    while _LONGER * taken < _TIMING * seconds and _LONGER * steps <= LEAN_STEPS:
        steps *= _LONGER
        taken = _timed(capture, count, steps, engine)
    left = _SHARE * (seconds - (time.perf_counter() - began))
    fitting = int(left / (taken / steps) / (1 + 2 * further))
    if fitting < _LEAST:
        _log.warning("the time is too short to make a scene; %d training steps are made, and take longer", _LEAST)
    return max(_LEAST, min(MOST_STEPS, fitting))


def _timed(capture: Capture, count: int, steps: int, engine: str) -> float:
    began = time.perf_counter()
    before, _log.disabled = _log.disabled, True  # what is only timed is nothing to warn of
    try:
        train(capture, lean(count).scaled(steps), engine=engine)
    finally:
        _log.disabled = before
    return time.perf_counter() - began
