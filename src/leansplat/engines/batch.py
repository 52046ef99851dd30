"""A training step with several views: their gradients are added up, and one update is made by the mean of them.

What an engine does for it is in the methods of `AddingModel`, so that whoever trains with several processes can add up
what each of them has found in between. Where autograd does it, `mean_of` is all there is to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.engines.engine import AddingModel, Background, Step
from leansplat.engines.statistics import ViewStatistics


def step_with(
    model: AddingModel,
    views: Sequence[View],
    background: Background,
    sh_degree: int,
    ssim_weight: float,
    statistics: ViewStatistics | None,
    gradients_of: Sequence[str],
) -> Step:
    """See `engines.engine.Model.step_batch`."""
    losses = model.add_gradients(views, background, sh_degree, ssim_weight, statistics)
    loss = math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.nan
    if not math.isfinite(loss):
        model.forget_gradients()
        return Step(loss, {})
    return Step(loss, model.update_by_mean(len(views), gradients_of))


def mean_of(losses: Iterable[Tensor]) -> tuple[Tensor, list[float]]:
    """See `engines.engine.Engine.mean_loss`."""
    found = list(losses)
    mean = found[0] if len(found) == 1 else torch.stack(found).mean()
    return mean, [float(loss.detach()) for loss in found]
