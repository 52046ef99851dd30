"""`grow`: add a number of Gaussians to a scene, where the loss pulls hardest at those that are there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from leansplat.engines.statistics import ViewStatistics
from leansplat.ordering import morton_order
from leansplat.training.strategies.densification import SPLIT_SHRINK, random_offsets

if TYPE_CHECKING:
    from leansplat.training.state import TrainingState


def grow(state: TrainingState, kept: Tensor, added: int, size: float) -> dict[str, int]:
    """Keep some Gaussians, and clone or split as many of them as are to be added.

    Those with the largest mean screen-space gradients since the last growth are taken, each once at most, and only such
    as have any. Each adds one Gaussian. The scene is in Morton order afterwards, and statistics begin anew.

    Args:
        kept: (N,) bool.
        added: how many to add at most.
        size: up to this longest axis, in units of the scene extent, a Gaussian is cloned, above it is split.
    """
    model, extent = state.model, state.extent
    scores = torch.where(kept, state.statistics.to("cpu").mean_gradient(), 0.0)
    order = torch.from_numpy(np.argsort(-scores.numpy(), kind="stable"))[: max(added, 0)]
    chosen = torch.zeros_like(kept)
    chosen[order[scores[order] > 0]] = True
    scales = model.attribute("scales").cpu()
    large = scales.amax(dim=1).exp() > size * extent

    cloned = (chosen & ~large).nonzero()[:, 0]
    split = (chosen & large).nonzero()[:, 0]
    stays = (kept & ~(chosen & large)).nonzero()[:, 0]
    sources = torch.cat([stays, cloned, split, split])
    places = torch.arange(len(sources))
    is_half, fresh = places >= len(stays) + len(cloned), places >= len(stays)

    means = model.attribute("means").cpu()[sources]
    halves = sources[is_half]
    means[is_half] += random_offsets(model.attribute("quats").cpu()[halves], scales[halves], state.generator)
    ordered = morton_order(means)
    state.rebuild(sources[ordered], fresh[ordered])
    state.statistics = ViewStatistics.zeros(len(model), device=model.device)
    halves = is_half[ordered].nonzero()[:, 0]
    model.write("means", halves, means[ordered[halves]])
    model.write("scales", halves, scales[sources[ordered[halves]]] - math.log(SPLIT_SHRINK))
    return {"cloned": len(cloned), "split": len(split)}
