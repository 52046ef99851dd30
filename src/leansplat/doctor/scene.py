"""A scene and photos of it, made up from a seed: what engines are compared on."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from leansplat import engines
from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import View
from leansplat.gaussians import Gaussians

BACKGROUND = (0.3, 0.5, 0.1)
_FIELD_OF_VIEW = 0.8


def made_up_scene(count: int, *, seed: int = 0) -> Gaussians:
    """Flat Gaussians of all directions and of harmonics of degree 3, in a ball of radius 1.

    None is so opaque that engines could differ by where they cap an alpha, and together they let some light through, so
    that no rounding decides where a pixel ends.
    """
    random = torch.Generator().manual_seed(seed)
    means = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=1)
    means *= torch.rand(count, 1, generator=random) ** (1 / 3)
    size = math.log(0.9 / count**0.5)
    return Gaussians(
        means=means,
        quats=torch.randn(count, 4, generator=random),
        scales=size + 0.4 * torch.randn(count, 3, generator=random) + torch.tensor([0.0, 0.0, -1.0]),
        opacities=torch.randn(count, generator=random).clamp(max=1.0),
        sh0=torch.randn(count, 1, 3, generator=random),
        shN=0.1 * torch.randn(count, 15, 3, generator=random),
    )


def cameras_around(count: int, size: int) -> list[Camera]:
    """Cameras in a circle around the ball, alternately from above and below, which look at its middle."""
    angles = [2 * math.pi * index / count for index in range(count)]
    return [
        look_at((3 * math.cos(a), 3 * math.sin(a), 0.8 * (-1) ** i), (0, 0, 0), (0, 0, 1), _FIELD_OF_VIEW, size, size)
        for i, a in enumerate(angles)
    ]


def photos_of(scene: Gaussians, cameras: list[Camera]) -> list[View]:
    """What the CPU's engine draws, as photos."""
    renderer = engines.named("cpu").renderer(scene)
    found = []
    for number, camera in enumerate(cameras):
        image = renderer.render(camera, BACKGROUND).image.clamp(0, 1)
        found.append(View(f"{number}.png", camera, (image * 255).round().to(torch.uint8)))
    return found


def spoilt(scene: Gaussians) -> Gaussians:
    """The scene before a training: its colours are gone, its Gaussians are moved and of other sizes."""
    random = torch.Generator().manual_seed(1)
    return replace(
        scene,
        means=scene.means + 0.02 * torch.randn(scene.means.shape, generator=random),
        scales=scene.scales + 0.2 * torch.randn(scene.scales.shape, generator=random),
        sh0=0.3 * scene.sh0,
        shN=torch.zeros_like(scene.shN),
    )
