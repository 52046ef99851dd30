"""How many training steps fit into a given time: a few are taken, and the clock is read."""

from __future__ import annotations

import time

import torch

from leansplat import engines
from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians
from leansplat.training import schedule
from leansplat.training.config import TrainingConfig

_TIMED = 3
_SHARE_OF_STEPS = 0.75
"""Of the time, that steps may take; the rest goes to scoring, clustering and writing."""

_MOST = 30_000
"""As many steps as a training from photos has; more are not worth their time."""


def steps_within(seconds: float, gaussians: Gaussians, count: int, teacher: Capture, engine: str = "cpu") -> int:
    """Training steps that fit into some seconds, on the way from a scene to `count` of its Gaussians.

    Half of the steps are thought to be as long as those of the scene between, whose count is the mean of both ends.

    Args:
        seconds: from now on.
        count: Gaussians at the end.
    """
    rates = schedule.rates(TrainingConfig(sh_degree=gaussians.sh_degree))
    spent = [
        _seconds_of_step(gaussians[_spread(len(gaussians), size)], teacher, rates, engine)
        for size in {count, (count + len(gaussians)) // 2}
    ]
    return max(0, min(_MOST, int(_SHARE_OF_STEPS * seconds * len(spent) / sum(spent))))


def _spread(total: int, count: int) -> torch.Tensor:
    """(count,) rows, evenly spread over `total`."""
    return torch.linspace(0, total - 1, count).round().long()


def _seconds_of_step(gaussians: Gaussians, teacher: Capture, rates: dict[str, float], engine: str) -> float:
    model = engines.named(engine).begin(gaussians, rates)
    degree = gaussians.sh_degree
    model.step(teacher.train[0], teacher.background, degree, 0.2)  # kernels are compiled, caches filled
    began = time.perf_counter()
    for number in range(_TIMED):
        model.step(teacher.train[number * len(teacher.train) // _TIMED], teacher.background, degree, 0.2)
    return (time.perf_counter() - began) / _TIMED
