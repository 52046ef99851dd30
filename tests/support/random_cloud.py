"""A cloud of Gaussians in the middle of a capture's cameras, for tests in which no more than a scene is needed."""

from __future__ import annotations

import torch

from leansplat.gaussians import Gaussians


def cloud(count: int) -> Gaussians:
    """Gaussians between -1 and 1 along each axis, with harmonics of degree 1."""
    random = torch.Generator().manual_seed(3)
    return Gaussians(
        means=torch.rand(count, 3, generator=random) * 2 - 1,
        quats=torch.randn(count, 4, generator=random),
        scales=torch.rand(count, 3, generator=random) - 3.5,
        opacities=torch.randn(count, generator=random) * 2,
        sh0=torch.randn(count, 1, 3, generator=random),
        shN=torch.randn(count, 3, 3, generator=random) * 0.1,
    )
