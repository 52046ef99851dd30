"""`RemovalEffects`: what rendered views would lose with each Gaussian, without removing any.

A pixel is affine in the alpha of each splat, so the effect of taking one away is known exactly from the render itself;
one sweep per view gives it for all of them. Effects of several Gaussians do not add up: two that hide each other both
look removable, which is why pruning goes in rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RemovalEffects:
    """Sums over views, pixels that no mask hides, and channels, for N Gaussians.

    With C the image, dC what it changes by without the Gaussian, and E the photo:

    Args:
        change: (N,) sum of dC^2: how much the image changes.
        slope: (N,) sum of 2 (C - E) dC: how the squared error grows with a small change in that direction.
        value_gradient: (N,) sum of (dC / dg)^2 with g the value of the projected Gaussian, 1 at its centre: alpha is
            opacity times g.
        visibility: (N,) sum of opacity times transmittance over the pixels where the Gaussian is drawn (no channels).
    """

    change: Tensor
    slope: Tensor
    value_gradient: Tensor
    visibility: Tensor

    @property
    def error_change(self) -> Tensor:
        """(N,) sum of (C + dC - E)^2 - (C - E)^2: how much the squared error grows; below 0 where removal helps."""
        return self.change + self.slope

    @property
    def drawn(self) -> Tensor:
        """(N,) bool, whether it is drawn in any pixel."""
        return self.visibility > 0
