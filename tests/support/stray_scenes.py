"""Scenes with something far away: strays, skies, second places."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from leansplat.gaussians import Gaussians, concatenate


def crowd(count: int = 1000, seed: int = 0, degree: int = 1) -> Gaussians:
    """In a box 2 wide, half opaque on average, 0.05 in size."""
    random = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=2 * torch.rand(count, 3, generator=random) - 1,
        quats=torch.randn(count, 4, generator=random),
        scales=math.log(0.05) + torch.rand(count, 3, generator=random) - 0.5,
        opacities=torch.randn(count, generator=random),
        sh0=0.5 * torch.randn(count, 1, 3, generator=random),
        shN=0.1 * torch.randn(count, (degree + 1) ** 2 - 1, 3, generator=random),
    )


def gaussian(place: tuple[float, float, float], opacity: float = 0.005, size: float = 0.05) -> Gaussians:
    """A round one, of degree 1."""
    return Gaussians(
        means=torch.tensor([place], dtype=torch.float32),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.full((1, 3), math.log(size)),
        opacities=torch.tensor([opacity]).clamp(max=1 - 2.0**-24).logit(),
        sh0=torch.zeros(1, 1, 3),
        shN=torch.zeros(1, 3, 3),
    )


def sky(distance: float, count: int = 30) -> Gaussians:
    """Opaque Gaussians all around, each a tenth of the distance in size."""
    random = torch.Generator().manual_seed(1)
    places = distance * torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=1)
    return concatenate([gaussian((x, y, z), 1, distance / 10) for x, y, z in places.tolist()])


def moved(gaussians: Gaussians, x: float) -> Gaussians:
    return replace(gaussians, means=gaussians.means + torch.tensor([x, 0, 0]))


def two_places(distance: float) -> Gaussians:
    return concatenate([crowd(500), moved(crowd(500, seed=1), distance)])


STRAYS = {
    "one faint": [gaussian((1e6, 0, 0))],
    "farther than 24 bits": [gaussian((0, 0, -5e8))],
    "opaque": [gaussian((5e8, 0, 0), 1)],
    "all around": [
        gaussian(place)
        for place in ((1e6, 0, 0), (-1e6, 0, 0), (0, 2e6, 0), (0, -3e4, 0), (0, 40, 5e8), (1e5, 1e5, -1e5))
    ],
}


def worst_move(found: Gaussians, expected: Gaussians) -> float:
    """The largest distance from a Gaussian to the nearest that was found."""
    distances = torch.cdist(expected.means.double(), found.means.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.min(dim=1).values.max())
