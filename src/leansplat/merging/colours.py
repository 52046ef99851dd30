"""Colours fitted to pictures while all else stays: a pixel is linear in them, so a few passes over the views do."""

from __future__ import annotations

import math
import random

from leansplat import engines
from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians

_RATE = 0.01
"""Of the coefficients of degree 0 at first; those of higher degrees get a twentieth, as in training."""

_LAST = 0.1
"""What is left of the rates in the end."""

_STEPS = 60, 200
_PASSES = 2
"""Over the views, within these limits of steps."""

_SSIM_WEIGHT = 0.2


def fit_colours(gaussians: Gaussians, capture: Capture, engine: str, seed: int) -> Gaussians:
    """The scene with colours that fit the training views better; the same seed sees them in the same order."""
    model = engines.named(engine).begin(gaussians, {})
    steps = min(max(_STEPS[0], _PASSES * len(capture.train)), _STEPS[1])
    shuffled = random.Random(seed)
    waiting: list[int] = []
    for step in range(steps):
        if not waiting:
            waiting = list(range(len(capture.train)))
            shuffled.shuffle(waiting)
        rate = _RATE * math.exp(math.log(_LAST) * step / steps)
        model.set_rate("sh0", rate)
        model.set_rate("shN", rate / 20)
        model.step(capture.train[waiting.pop()], capture.background, gaussians.sh_degree, _SSIM_WEIGHT)
    return model.gaussians()
