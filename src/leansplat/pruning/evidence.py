"""`Evidence`: all that a criterion may judge a Gaussian by, gathered when it is first asked for.

Each kind of evidence is one pass over the training views: gradients of the loss, blending weights, effects of removal.
A criterion pays for the passes it reads and for no other. No pass changes the scene. Pixels that a view's mask hides
are no evidence of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.engines.cpu import PackedGaussians, RemovalEffects, ViewStatistics, render
from leansplat.engines.cpu.packed import OPACITIES, SCALES
from leansplat.metrics.loss import photometric_loss


@dataclass(frozen=True)
class Evidence:
    """A scene and what its training views say about each Gaussian.

    Args:
        packed: the scene of N Gaussians, with gradients enabled.
        views: those that it is trained on.
        background: (r, g, b) it is rendered on.
        statistics: of the loss' gradient over the views; see `gather_statistics`.
    """

    packed: PackedGaussians
    views: Sequence[View]
    background: tuple[float, float, float]
    statistics: ViewStatistics

    @cached_property
    def opacity(self) -> Tensor:
        """(N,) in [0, 1]."""
        return self.packed.attribute(OPACITIES).detach()[:, 0].sigmoid()

    @cached_property
    def volume(self) -> Tensor:
        """(N,) product of the three scales, in cubed units of the scene."""
        return self.packed.attribute(SCALES).detach().sum(dim=1).exp()

    @cached_property
    def gradient(self) -> Tensor:
        """(N,) mean norm of the screen-space position gradient of the loss over the views that see a Gaussian."""
        return self.statistics.mean_gradient()

    @cached_property
    def seen(self) -> Tensor:
        """(N,) bool, whether any view sees a Gaussian."""
        return self.statistics.views_seen > 0

    @cached_property
    def weight_sum(self) -> Tensor:
        """(N,) sum of the blending weight alpha T over pixels and views."""
        return _present(self._weights.weight_sum)

    @cached_property
    def weight_max(self) -> Tensor:
        """(N,) maximum of the blending weight alpha T over pixels and views, in [0, 1]."""
        return _present(self._weights.weight_max)

    @cached_property
    def removal(self) -> RemovalEffects:
        """What the views would lose with each Gaussian."""
        effects = RemovalEffects.zeros(len(self.packed))
        for view in self.views:
            effects.add(self.packed, view.camera, view.photo, self.background, view.mask)
        return effects

    @cached_property
    def _weights(self) -> ViewStatistics:
        statistics = ViewStatistics.zeros(len(self.packed), weights=True)
        with torch.inference_mode():
            for view in self.views:
                render(self.packed, view.camera, background=self.background, statistics=statistics, mask=view.mask)
        return statistics


def gather_statistics(
    packed: PackedGaussians, views: Sequence[View], background: tuple[float, float, float], ssim_weight: float
) -> ViewStatistics:
    """Statistics over all `views` of the loss they are trained with; the scene stays as it is.

    Args:
        packed: the scene, with gradients enabled.
        ssim_weight: of the loss, see `photometric_loss`.
    """
    statistics = ViewStatistics.zeros(len(packed))
    for view in views:
        rendering = render(packed, view.camera, background=background, statistics=statistics)
        loss = photometric_loss(rendering.image, view.photo, ssim_weight, view.mask)
        torch.autograd.grad(loss, packed.data)
    return statistics


def _present(values: Tensor | None) -> Tensor:
    assert values is not None
    return values
