"""How many training steps fit into a given time: a few of each kind are taken, and the clock is read."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.training import schedule
from leansplat.training.config import TrainingConfig

_TIMED = 6
_SSIM_WEIGHT = 0.2

_SHARE_OF_STEPS = 0.6
"""Of the time, that steps may take; the rest goes to scoring, clustering and writing."""

_CODING = 1.5
"""A step through the rounding of a file in one that renders the same Gaussians with autograd."""

_MOST = 30_000
"""As many steps as a training from photos has; more are not worth their time."""


def steps_within(
    seconds: float, gaussians: Gaussians, count: int, teacher: Capture, through: float, *, trims: bool, engine: str
) -> int:
    """Training steps that fit into some seconds, on the way from a scene to `count` of its Gaussians.

    Args:
        seconds: from now on.
        count: Gaussians at the end.
        through: share of the steps that go through the rounding of a file.
        trims: whether the others are made at all, on the way down.
    """
    few = gaussians[_spread(len(gaussians), count)]
    each = 0.0
    if trims:
        between = gaussians[_spread(len(gaussians), (count + len(gaussians)) // 2)]
        timed = [_seconds_of(_training(some, teacher, engine), teacher) for some in (between, few)]
        each += (1 - through) * statistics.fmean(timed)
    if through:
        each += through * _CODING * _seconds_of(_rendering(few, teacher, engine), teacher)
    return max(0, min(_MOST, int(_SHARE_OF_STEPS * seconds / each))) if each else 0


def _spread(total: int, count: int) -> Tensor:
    """(count,) rows, evenly spread over `total`."""
    return torch.linspace(0, total - 1, count, dtype=torch.float64).round().long()


def _seconds_of(step: Callable[[View], object], teacher: Capture) -> float:
    """What a step takes once kernels are compiled and caches are filled."""
    step(teacher.train[0])
    began = time.perf_counter()
    for number in range(_TIMED):
        step(teacher.train[number * len(teacher.train) // _TIMED])
    return (time.perf_counter() - began) / _TIMED


def _training(gaussians: Gaussians, teacher: Capture, engine: str) -> Callable[[View], object]:
    rates = schedule.rates(TrainingConfig(sh_degree=gaussians.sh_degree))
    model = engines.named(engine).begin(gaussians, rates)
    return lambda view: model.step(view, teacher.background, gaussians.sh_degree, _SSIM_WEIGHT)


def _rendering(gaussians: Gaussians, teacher: Capture, engine: str) -> Callable[[View], object]:
    tensors = {name: getattr(gaussians, name).clone().requires_grad_() for name in TENSOR_NAMES}
    scene, its = SharedGaussians(replace(gaussians, **tensors, extras={})), engines.named(engine)

    def step(view: View) -> None:
        loss, _ = its.mean_loss(scene, [view], teacher.background, _SSIM_WEIGHT)
        loss.backward()

    return step
