"""`RemovalEffects`: what rendered views would lose with each Gaussian, without removing any.

A pixel is affine in the alpha of each splat, so the effect of taking one away is known exactly from the render itself;
one sweep a view gives it for all of them. Effects of several Gaussians do not add up: two that hide each other both
look removable, which is why pruning goes in rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.packed import PackedGaussians
from leansplat.engines.cpu.removal import CHANGE, COLUMNS, SLOPE, VALUE_GRADIENT, VISIBILITY


@dataclass(frozen=True)
class RemovalEffects:
    """Sums over views, pixels and channels, a row a Gaussian; `add` makes them grow by a view.

    With C the image, dC what it changes by without the Gaussian, and E the photo:

    Args:
        sums: (N, 4) float32, columns as below.
    """

    sums: Tensor

    @classmethod
    def zeros(cls, count: int) -> RemovalEffects:
        """No view yet, of `count` Gaussians."""
        return cls(torch.zeros(count, COLUMNS))

    @property
    def change(self) -> Tensor:
        """(N,) sum of dC^2: how much the image changes."""
        return self.sums[:, CHANGE]

    @property
    def error_change(self) -> Tensor:
        """(N,) sum of (C + dC - E)^2 - (C - E)^2: how much the squared error grows; below 0 where removal helps."""
        return self.sums[:, CHANGE] + self.sums[:, SLOPE]

    @property
    def value_gradient(self) -> Tensor:
        """(N,) sum of (dC / dg)^2 with g the value of the projected Gaussian, 1 at its centre: alpha = opacity g."""
        return self.sums[:, VALUE_GRADIENT]

    @property
    def visibility(self) -> Tensor:
        """(N,) sum of opacity T over the pixels where the Gaussian is drawn (no channels)."""
        return self.sums[:, VISIBILITY]

    def add(
        self,
        packed: PackedGaussians,
        camera: Camera,
        photo: Tensor,
        background: tuple[float, float, float],
        mask: Tensor | None = None,
    ) -> None:
        """Render one view and add its effects.

        Args:
            packed: the scene of N Gaussians.
            photo: (H, W, 3) uint8, or float32 in [0, 1].
            mask: (H, W) bool, true where a pixel counts; None where all do.
        """
        rendered = rasterizer.forward(
            packed.data.detach().numpy(),
            packed.count,
            camera.relative_to(packed.origin),
            np.array(background, np.float32),
            packed.sh_degree,
            packed.antialiased,
        )
        target = photo.to(torch.float32) / 255 if photo.dtype == torch.uint8 else photo
        difference = torch.from_numpy(rendered.image) - target.permute(2, 0, 1)
        kept = rasterizer.ALL_PIXELS if mask is None else mask.contiguous().numpy()
        rasterizer.add_removal_effects(rendered, difference.contiguous().numpy(), self.sums.numpy(), kept)
