"""`Evidence`: all that a criterion may judge a Gaussian by, gathered when it is first asked for.

Each kind of evidence is one pass over the training views: gradients of the loss, blending weights, effects of removal.
A criterion pays for the passes it reads and for no other. No pass changes the scene. Pixels that a view's mask hides
are no evidence of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from leansplat.captures.capture import View
from leansplat.engines.engine import Background, Model
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics


@dataclass(frozen=True)
class Evidence:
    """A scene and what its training views say about each Gaussian.

    Args:
        model: the scene of N Gaussians.
        views: those that it is trained on.
        background: (r, g, b) it is rendered on.
        gathered: statistics to judge by; by default they are gathered over the views when a criterion reads them.
        ssim_weight: of the loss whose gradients they have.
    """

    model: Model
    views: Sequence[View]
    background: Background
    gathered: ViewStatistics | None = None
    ssim_weight: float = 0.2

    @cached_property
    def statistics(self) -> ViewStatistics:
        """Of the loss' gradient over the views; see `Model.gather_statistics`."""
        if self.gathered is not None:
            return self.gathered
        return self.model.gather_statistics(self.views, self.background, self.ssim_weight)

    @cached_property
    def opacity(self) -> Tensor:
        """(N,) in [0, 1]."""
        return self.model.attribute("opacities").sigmoid()

    @cached_property
    def volume(self) -> Tensor:
        """(N,) product of the three scales, in cubed units of the scene."""
        return self.model.attribute("scales").sum(dim=1).exp()

    @cached_property
    def gradient(self) -> Tensor:
        """(N,) mean norm of the screen-space position gradient of the loss over the views that see a Gaussian."""
        return self.statistics.mean_gradient()

    @property
    def seen(self) -> Tensor:
        """(N,) bool, whether any view sees a Gaussian.

        It does where the box of a Gaussian meets the image. A criterion that knows the effects of removal and has no
        statistics spares that pass: there a view sees what it draws in any pixel.
        """
        if self.gathered is None and "statistics" not in vars(self) and "removal" in vars(self):
            return self.removal.drawn
        return self.statistics.views_seen > 0

    @cached_property
    def weight_sum(self) -> Tensor:
        """(N,) sum of the blending weight alpha T over pixels and views."""
        return self._weights[0]

    @cached_property
    def weight_max(self) -> Tensor:
        """(N,) maximum of the blending weight alpha T over pixels and views, in [0, 1]."""
        return self._weights[1]

    @cached_property
    def removal(self) -> RemovalEffects:
        """What the views would lose with each Gaussian."""
        return self.model.removal_effects(self.views, self.background)

    @cached_property
    def _weights(self) -> tuple[Tensor, Tensor]:
        return self.model.blending_weights(self.views)
