"""`ViewStatistics`: what rendering tells about each Gaussian, summed over the views rendered so far.

Densification asks where the loss pulls Gaussians across the screen, pruning asks which ones matter. Both read the same
few numbers, which the renderer adds up while it has them at hand: pass one `ViewStatistics` to every `render` call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewStatistics:
    """Sums over the rendered views, one entry a Gaussian; `render` updates the tensors in place.

    Args:
        views_seen: (N,) int32, views in which the Gaussian's box, where alpha would be at least 1/255, meets the image.
        max_radius: (N,) float32, largest extent over those views in pixels: ceil(3 deviations of the long axis).
        gradient_sum: (N,) float32, sum over views of the norm of the loss gradient by the projected mean,
            in normalised device units (pixel gradient times half the image size, as in 3DGS). Backward adds it.
        weight_sum: (N,) float32, sum over views and pixels of the blending weight alpha T; None unless asked for.
        weight_max: (N,) float32, its maximum; None unless asked for.
    """

    views_seen: Tensor
    max_radius: Tensor
    gradient_sum: Tensor
    weight_sum: Tensor | None = None
    weight_max: Tensor | None = None

    @classmethod
    def zeros(cls, count: int, *, weights: bool = False) -> ViewStatistics:
        """Empty statistics of `count` Gaussians; `weights` asks for blending weights too, a pass each."""
        return cls(
            views_seen=torch.zeros(count, dtype=torch.int32),
            max_radius=torch.zeros(count),
            gradient_sum=torch.zeros(count),
            weight_sum=torch.zeros(count) if weights else None,
            weight_max=torch.zeros(count) if weights else None,
        )

    def mean_gradient(self) -> Tensor:
        """(N,) mean norm of the screen-space position gradient over the views that see a Gaussian; 0 if none does."""
        return self.gradient_sum / self.views_seen.clamp(min=1)
