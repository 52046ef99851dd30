"""The recipes of training by name: the published one, and a lean one that trains straight to a number of Gaussians."""

from __future__ import annotations

from leansplat.captures.capture import Capture
from leansplat.training.config import TrainingConfig
from leansplat.training.strategies import BudgetTraining

LEAN_STEPS = 5000
"""Steps of the lean recipe unless others are asked for."""

_PIXELS_PER_GAUSSIAN = 150


def lean(count: int, iterations: int = LEAN_STEPS) -> TrainingConfig:
    """The lean recipe, to exactly `count` Gaussians.

    Photos are reduced to half their size for the first 40 % of the steps; from 3 % to 60 % the scene grows to 2.5 times
    `count` Gaussians, and from 60 % to 80 % it goes down to `count` in rounds (`BudgetTraining`). Everything else is as
    published, but positions end at ten times their published rate, because the scene is smaller and the training
    shorter.

    Raises:
        InputError: a number is out of range.
    """
    return TrainingConfig(
        iterations=LEAN_STEPS,
        sh_degree_every=167,
        reduction=2,
        reduced_steps=2000,
        position_rate_steps=LEAN_STEPS,
        position_rate_final=1.6e-5,
        random_points=min(count, TrainingConfig().random_points),
        strategies=(BudgetTraining(count=count),),
    ).scaled(iterations)


def count_for(capture: Capture) -> int:
    """How many Gaussians the photos of a capture can tell apart: one for so many pixels of all training views.

    A Gaussian has up to 59 parameters, and a pixel is three measurements.
    """
    pixels = sum(view.camera.width * view.camera.height for view in capture.train)
    return max(1, round(pixels / _PIXELS_PER_GAUSSIAN))
