"""What Gaussians are worth to the photos, for strategies that remove some: the score of GaussianPOP (2602.06830).

A Gaussian is worth how much the rendered training views would change without it, summed over pixels and channels of
dC^2. What no view shows is worth nothing; among equals, the more opaque is worth more.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from leansplat.training.strategies.strategy import AfterStep


def by_worth(after: AfterStep, most_views: int) -> Tensor:
    """(N,) int64, the Gaussians from those of least worth to those of most.

    Args:
        most_views: where there are more training views, so many are drawn anew, each at most once.
    """
    views = after.capture.train
    if len(views) > most_views:
        drawn = torch.randperm(len(views), generator=after.state.generator)[:most_views]
        views = tuple(views[index] for index in drawn.tolist())
    change = after.state.model.removal_effects(views, after.capture.background).change.cpu()
    opacity = after.state.model.attribute("opacities").cpu()
    return torch.from_numpy(np.lexsort((opacity.numpy(), change.numpy())))


def without_least(order: Tensor, count: int) -> Tensor:
    """(N,) bool, all but the first `count` of an order (N,)."""
    kept = torch.ones(len(order), dtype=torch.bool)
    kept[order[:count]] = False
    return kept
