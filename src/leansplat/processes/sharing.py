"""A share of what views say, and the sum of all shares: what every process does alike, at the same word.

Each is called with the views that this process is to look at, which may be none, and ends with the same numbers
everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.distributed.channel import Channel
from leansplat.engines.engine import AddingModel, Background, Model, Step
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError

PAIRS = (("change", "slope"), ("value_gradient", "visibility"))
"""Effects of removal that are found together."""


def adding(model: Model) -> AddingModel:
    """A model as one that can be shared.

    Raises:
        InputError: its engine has none of that kind.
    """
    if not isinstance(model, AddingModel):
        raise InputError(f"several processes cannot share the engine {model.engine}; choose another (--engine)")
    return model


def shared_step(
    channel: Channel,
    model: AddingModel,
    views: Sequence[View],
    places: Sequence[int],
    of: int,
    background: Background,
    sh_degree: int,
    ssim_weight: float,
    statistics: ViewStatistics | None,
    gradients_of: Sequence[str],
) -> Step:
    """`Model.step_batch` with a batch of `of` views, of which this process looks at those that have these places."""
    seen = None if statistics is None else ViewStatistics.zeros(len(model), device=model.device)
    losses = torch.zeros(of, dtype=torch.float64)
    found = model.add_gradients(views, background, sh_degree, ssim_weight, seen) if views else []
    losses[list(places)] = torch.tensor(found, dtype=torch.float64)
    sums = model.gradient_sums()
    try:
        channel.add_up([losses, *sums])
        if seen is not None:
            add_up_statistics(channel, seen)
    except BaseException:
        model.forget_gradients()
        raise
    loss = math.fsum(losses.tolist()) / of if bool(losses.isfinite().all()) else math.nan
    if not math.isfinite(loss):
        model.forget_gradients()
        return Step(loss, {})
    if seen is not None and statistics is not None:
        statistics.views_seen.add_(seen.views_seen)
        statistics.gradient_sum.add_(seen.gradient_sum)
        torch.maximum(statistics.max_radius, seen.max_radius, out=statistics.max_radius)
    return Step(loss, model.update_by_mean(of, gradients_of))


def add_up_statistics(channel: Channel, statistics: ViewStatistics) -> None:
    """Make those of this process's views those of all views."""
    channel.add_up([statistics.views_seen, statistics.gradient_sum])
    channel.add_up([statistics.max_radius], largest=True)


def shared_statistics(
    channel: Channel, model: Model, views: Sequence[View], background: Background, ssim_weight: float
) -> ViewStatistics:
    """`Model.gather_statistics` over the views of all processes."""
    statistics = model.gather_statistics(views, background, ssim_weight)
    add_up_statistics(channel, statistics)
    return statistics


def shared_weights(channel: Channel, model: Model, views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """`Model.blending_weights` over the views of all processes."""
    total, largest = model.blending_weights(views)
    channel.add_up([total])
    channel.add_up([largest], largest=True)
    return total, largest


def shared_effects(channel: Channel, effects: RemovalEffects, names: Sequence[str]) -> list[Tensor]:
    """The sums over all processes of some effects of removal."""
    sums: list[Any] = [getattr(effects, name).contiguous() for name in names]
    channel.add_up(sums)
    return sums
