"""`ViewStatistics`: what rendering tells about each Gaussian, summed over the views rendered so far.

Densification asks where the loss pulls Gaussians across the screen, pruning asks which ones matter. Both read the same
few numbers, which the renderer adds up while it has them at hand: pass one `ViewStatistics` to every `render` call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewStatistics:
    """Sums over the rendered views, one entry per Gaussian; `render` updates the tensors in place.

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
    def zeros(cls, count: int, *, weights: bool = False, device: torch.device | str | None = None) -> ViewStatistics:
        """Empty statistics of `count` Gaussians; `weights` asks for blending weights too, a pass each."""
        return cls(
            views_seen=torch.zeros(count, dtype=torch.int32, device=device),
            max_radius=torch.zeros(count, device=device),
            gradient_sum=torch.zeros(count, device=device),
            weight_sum=torch.zeros(count, device=device) if weights else None,
            weight_max=torch.zeros(count, device=device) if weights else None,
        )

    def __getitem__(self, rows: Tensor) -> ViewStatistics:
        """Those of the Gaussians at a mask (N,) or at indices (M,)."""
        return self._map(lambda values: values[rows.to(values.device)])

    def to(self, device: torch.device | str) -> ViewStatistics:
        """The same statistics on a device; themselves where they are there."""
        return self._map(lambda values: values.to(device))

    def mean_gradient(self) -> Tensor:
        """(N,) mean norm of the screen-space position gradient over the views that see a Gaussian; 0 if none does."""
        return self.gradient_sum / self.views_seen.clamp(min=1)

    def _map(self, function: Callable[[Tensor], Tensor]) -> ViewStatistics:
        entries: dict[str, Any] = {
            name: None if values is None else function(values) for name, values in vars(self).items()
        }
        return ViewStatistics(**entries)
