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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from leansplat.engines.adam import BatchedAdam, bias_corrections
from leansplat.errors import InputError
from leansplat.training.lengths import check_least, check_not_negative, scaled_interval
from leansplat.training.strategies.strategy import AfterStep, Memory, Strategy, strategy

if TYPE_CHECKING:
    from leansplat.engines.engine import Model
    from leansplat.training.state import TrainingState

LOGIT, FIRST_MOMENT, SECOND_MOMENT = range(3)
"""Columns of a mask: the logit m and the moments of its Adam."""

_FIRST_LOGIT = 1.0
_HIDDEN = -30.0  # as a logit: an opacity that no image shows


@strategy("learned-mask")
@dataclass(frozen=True)
class LearnedMask(Strategy):
    """Learn which Gaussians are needed, and remove the others.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    weight: float = 5e-4
    """Weight of the penalty: that of Compact-3DGS."""

    rate: float = 0.01
    """Learning rate of the mask's logits."""

    threshold: float = 0.01
    """A Gaussian whose mask falls to this is gone; between 0 and 1."""

    every: int = 100
    """Steps from one removal of those to the next, at least 1; the last step leaves none behind."""

    gradients: ClassVar[tuple[str, ...]] = ("opacities", "scales")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, every=1)
        check_not_negative(self, "weight", "rate")
        if not 0 < self.threshold < 1:
            raise InputError(f"setting threshold is {self.threshold}; give a value between 0 and 1")

    def scaled(self, before: int, after: int) -> LearnedMask:
        return replace(self, every=scaled_interval(self.every, after, before, after))

    def memory(self, count: int) -> Memory:
        mask = torch.zeros(count, 3)
        mask[:, LOGIT] = _FIRST_LOGIT
        return {"mask": mask}

    def learn(self, state: TrainingState, gradients: Mapping[str, Tensor]) -> None:
        self.update(state.memory[self.name]["mask"], state.model, gradients, state.views)

    def after_step(self, after: AfterStep) -> None:
        step = after.state.step
        if step % self.every == 0 or step == after.iterations:
            after.keep(self.drawn(after.state.memory[self.name]["mask"]), "masked_removed")

    def drawn(self, mask: Tensor) -> Tensor:
        """(N,) bool, M of every Gaussian."""
        return mask[:, LOGIT].sigmoid() > self.threshold

    def update(self, mask: Tensor, model: Model, gradients: Mapping[str, Tensor], views: int = 1) -> None:
        """One step of Adam on the logits of `mask` (N, 3), in place, and hide the Gaussians whose M has become 0.

        Args:
            model: the scene, after the step that `gradients` belong to.
            gradients: by opacities and scales, without the mask's penalty.
            views: those that the gradients are means of.
        """
        count, adam = len(model), BatchedAdam.of(views)
        by_logit = gradients["opacities"]
        by_log_scale = gradients["scales"].sum(dim=1)
        opacity = model.attribute("opacities").sigmoid()
        soft = mask[:, LOGIT].sigmoid()
        visible = self.drawn(mask)
        by_mask = torch.where(visible, by_logit / (1 - opacity).clamp(min=1e-6) + by_log_scale, 0.0)
        g = (by_mask + self.weight / count) * soft * (1 - soft)

        first, second = bias_corrections(model.facts.steps)
        mask[:, FIRST_MOMENT].lerp_(g, 1 - adam.beta1)
        mask[:, SECOND_MOMENT].lerp_(g * g, 1 - adam.beta2)
        rate = self.rate * adam.rate * first
        mask[:, LOGIT] -= rate * mask[:, FIRST_MOMENT] / ((second * mask[:, SECOND_MOMENT]).sqrt() + adam.epsilon)
        hidden = (visible & ~self.drawn(mask)).nonzero()[:, 0]
        model.write("opacities", hidden, torch.full((len(hidden),), _HIDDEN))
