"""Numbers of steps: how long a schedule may be, how it is made shorter or longer, and what settings are held to."""

from __future__ import annotations

from leansplat.configs import Config
from leansplat.errors import InputError

MOST_STEPS = 10**9
"""No schedule is longer; at a millisecond per step this is twelve days."""

_SHORTEST = 36
"""Steps between prunings and densifications where a schedule is made shorter. The mean gradient of a Gaussian over few
views is mostly noise, and ever more of them pass the threshold, which makes scenes larger and not better:
benchmarks/schedules.py has the numbers."""
_ENOUGH = 40

_SHORTEST_RECOVERY = 75
"""A shorter schedule resets opacities no more often than this. What the photos need has to come back before the next
reset, or before the end, and a scene of random points has to be cleared of what they do not need even in a short
training."""


def scaled_length(length: int, before: int, after: int) -> int:
    """A number of steps in proportion: rounded to the nearest (halves up), at least 1, or 0 as before."""
    return max(1, (2 * length * after + before) // (2 * before)) if length > 0 else 0


def scaled_interval(every: int, span: int, before: int, after: int) -> int:
    """Steps between what happens again and again in `span` steps: in proportion, unless that is too often.

    A shorter schedule keeps the interval as long as 40 of it fit into the span; below, it shortens it to what lets
    them, but never under 36 steps, or what it was if that is less.
    """
    return max(scaled_length(every, before, after), min(every, max(span // _ENOUGH, _SHORTEST)))


def scaled_reset(every: int, before: int, after: int) -> int:
    """Steps between resets of opacities: in proportion, but no fewer than 75, or what they were if that is less."""
    return max(scaled_length(every, before, after), min(every, _SHORTEST_RECOVERY))


def check_least(settings: Config, **least: int) -> None:
    """Refuse numbers of steps or other counts that are under their least, or above what any schedule is long.

    Raises:
        InputError: the first one.
    """
    for name, floor in least.items():
        value = getattr(settings, name)
        if value < floor:
            raise InputError(f"setting {name} is {value}; give {floor} or more")
        if value > MOST_STEPS:
            raise InputError(f"setting {name} is above {MOST_STEPS:,}; give less")


def check_not_negative(settings: Config, *names: str) -> None:
    """Refuse numbers below zero.

    Raises:
        InputError: the first one.
    """
    for name in names:
        value = getattr(settings, name)
        if value < 0:
            raise InputError(f"setting {name} is {value}; give a finite number that is not negative")
