"""The learned mask of Compact-3DGS (Lee et al. 2024, section 3.1): every Gaussian learns whether it is needed.

A Gaussian has a mask logit m. It is drawn, with opacity M sigma and scale M s, where M = 1 if sigmoid(m) is above a
threshold and 0 below (their Eqs. 3 and 4); the gradient takes M for sigmoid(m) (straight through), and a penalty,
weight times the mean of sigmoid(m), pulls every mask down. Where M is 1 the renderer needs to know nothing of the mask,
and its gradient follows from those of opacity and scale:

    dL/dM = dL/d(M sigma) sigma + dL/d(M s) . s = dL/d(logit of sigma) / (1 - sigma) + sum of dL/d(log s).

Where M is 0 nothing is drawn, so nothing but the penalty acts and M stays 0: hiding such a Gaussian until the next
removal is the same as removing it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from leansplat.engines.adam import BETA1, BETA2, EPSILON, bias_corrections
from leansplat.engines.engine import Model
from leansplat.training.config import TrainingConfig

GRADIENTS = ("opacities", "scales")
"""Attributes whose gradients a mask learns from."""

LOGIT, FIRST_MOMENT, SECOND_MOMENT = range(3)
"""Columns of a mask: the logit m and the moments of its Adam."""

_FIRST_LOGIT = 1.0
_HIDDEN = -30.0  # as a logit: an opacity that no image shows


def fresh_mask(count: int) -> Tensor:
    """(N, 3) float32 mask of N Gaussians that are all drawn."""
    mask = torch.zeros(count, 3)
    mask[:, LOGIT] = _FIRST_LOGIT
    return mask


def drawn(mask: Tensor, config: TrainingConfig) -> Tensor:
    """(N,) bool, M of every Gaussian."""
    return mask[:, LOGIT].sigmoid() > config.mask_threshold


def update_mask(mask: Tensor, model: Model, gradients: Mapping[str, Tensor], config: TrainingConfig) -> None:
    """One step of Adam on the logits of `mask` (N, 3), in place, and hide the Gaussians whose M has become 0.

    Args:
        model: the scene, after the step that `gradients` belong to.
        gradients: by `GRADIENTS`, without the mask's penalty.
    """
    count = len(model)
    by_logit = gradients["opacities"]
    by_log_scale = gradients["scales"].sum(dim=1)
    opacity = model.attribute("opacities").sigmoid()
    soft = mask[:, LOGIT].sigmoid()
    visible = drawn(mask, config)
    by_mask = torch.where(visible, by_logit / (1 - opacity).clamp(min=1e-6) + by_log_scale, 0.0)
    g = (by_mask + config.mask_weight / count) * soft * (1 - soft)

    first, second = bias_corrections(model.facts.steps)
    mask[:, FIRST_MOMENT].lerp_(g, 1 - BETA1)
    mask[:, SECOND_MOMENT].lerp_(g * g, 1 - BETA2)
    mask[:, LOGIT] -= (
        config.mask_rate * first * mask[:, FIRST_MOMENT] / ((second * mask[:, SECOND_MOMENT]).sqrt() + EPSILON)
    )
    hidden = (visible & ~drawn(mask, config)).nonzero()[:, 0]
    model.write("opacities", hidden, torch.full((len(hidden),), _HIDDEN))
