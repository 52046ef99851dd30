"""`ShrinkingConfig`: at what pace a scene is shrunk, whatever it is shrunk to; with a sentence on each field."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.pruning.criteria import CRITERIA
from leansplat.seeds import check_seed
from leansplat.training.lengths import MOST_STEPS

USUAL_STEPS = 2000
VIEW_SIZE = 640
"""Longest side of a view, in pixels, where none is asked for."""


@dataclass(frozen=True)
class ShrinkingConfig(Config):
    """How a scene is shrunk.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    steps: int | None = None
    """Training steps in all, one view each; 2,000 by default, or as many as fit into `minutes`. 0 trains nothing:
    Gaussians are merged and removed, which takes seconds."""

    minutes: float | None = None
    """Time for everything, above 0, from which the number of steps follows by timing some first."""

    batch: int = 1
    """Views of a step, at least 1, with rates that follow; all numbers of steps count views. See
    `TrainingConfig.batch`."""

    criterion: str = "gaussianpop"
    """What a Gaussian is judged by: a name in `leansplat.pruning.criteria.CRITERIA`."""

    view_size: int | None = None
    """Longest side, in pixels, of the views it is shrunk by, 32 to 4,096; photos and cameras that are larger are
    reduced. Where cameras are made up, it is best that of the photos that the scene was trained on. By default
    `VIEW_SIZE`, about which training sees an object from made-up cameras in pictures of several sizes."""

    views: int = 128
    """Cameras to make up where there are none, at least 9, of which every eighth only judges."""

    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)
        if self.steps is not None and self.minutes is not None:
            raise InputError("settings steps and minutes both say how long to train; give one of them")
        if self.steps is not None and not 0 <= self.steps <= MOST_STEPS:
            raise InputError(f"setting steps is {self.steps}; give 0 to {MOST_STEPS:,}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"setting minutes is {self.minutes}; give a finite number above 0")
        if self.criterion not in CRITERIA:
            raise InputError(f"setting criterion is {self.criterion!r}; give one of {', '.join(CRITERIA)}")
        for name, least, most in (("view_size", 32, 4096), ("views", 9, 10_000), ("batch", 1, 10_000)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"setting {name} is {value}; give {least} to {most:,}")
