"""Ways in which cameras stand, and captures of a made place from them."""

from __future__ import annotations

import math

import torch

from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Capture, View
from leansplat.engines.cpu import render
from leansplat.gaussians import Gaussians

SIZE = 24


def looking(position: tuple[float, ...], direction: tuple[float, ...], size: int = SIZE) -> Camera:
    """A camera of 57 degrees that looks along `direction`."""
    up = (0, 1, 0) if abs(direction[2]) > 0.9 * math.hypot(*direction) else (0, 0, 1)
    target = [p + d for p, d in zip(position, direction, strict=True)]
    return look_at(position, target, up, 1.0, size, size)


def ring(count: int, radius: float, turned: float, wobble: float = 0.05) -> list[Camera]:
    """Cameras on a circle, `turned` degrees from inward: 90 looks along the tangent, 180 outwards."""
    cameras = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        heading = angle + math.pi - math.radians(turned)
        position = (radius * math.cos(angle), radius * math.sin(angle), 0.1 * math.sin(7 * index))
        cameras.append(looking(position, (math.cos(heading), math.sin(heading), wobble * math.sin(5 * index) - 0.1)))
    return cameras


def walk(count: int) -> list[Camera]:
    """A walk in a figure of eight, looking anywhere."""
    headings = 2 * math.pi * torch.rand(count, generator=torch.Generator().manual_seed(1))
    return [
        looking(
            (8 * math.cos(2 * math.pi * i / count), 3 * math.sin(4 * math.pi * i / count), 0.3 * math.sin(i)),
            (math.cos(headings[i]), math.sin(headings[i]), -0.15),
        )
        for i in range(count)
    ]


def panorama(count: int, jitter: float) -> list[Camera]:
    """Cameras in one place, up to `jitter`, that turn all around."""
    angles = [2 * math.pi * index / count for index in range(count)]
    return [
        looking(
            (1 + jitter * math.sin(9 * a), 2 + jitter * math.cos(7 * a), 0.5),
            (math.cos(a), math.sin(a), 0.2 * (-1) ** i),
        )
        for i, a in enumerate(angles)
    ]


ARRANGEMENTS = {
    "tangent, 2 degrees inward": ring(40, 5.0, 88.0),
    "tangent, half a degree outward": ring(40, 5.0, 90.5),
    "tangent, 10 degrees inward": ring(40, 5.0, 80.0),
    "turned by 60 degrees": ring(40, 5.0, 60.0),
    "turned by 40 degrees": ring(40, 5.0, 40.0),
    "outward": ring(40, 5.0, 180.0),
    "outward in a small circle": ring(40, 0.5, 180.0),
    "walk": walk(60),
    "row sideways": [looking((0.4 * i - 6, 0, 0), (0, 1, 0)) for i in range(30)],
    "row forward": [looking((0.3 * i - 6, 0, 0), (1, 0, 0)) for i in range(30)],
    "long row": [looking((0.02 * math.sin(i), 1.0 * i, 0), (0.02 * math.cos(i), 1, -0.05)) for i in range(200)],
    "panorama": panorama(30, 0.0),
    "panorama on a tripod": panorama(30, 0.003),
    "single": [looking((1, 2, 3), (1, 0, 0))],
    "drone": [looking((10 * x, 10 * y, 50), (0, 0, -1)) for x in range(6) for y in range(6)],
    "drone in wind": [
        looking((10 * x, 10 * y, 50), (0.03 * math.sin(3 * x + y), 0.03 * math.sin(x + 5 * y), -1))
        for x in range(6)
        for y in range(6)
    ],
    "inward and a few outward": ring(35, 5.0, 0.0) + ring(5, 5.0, 180.0),
    "inward and one far away": [*ring(40, 5.0, 0.0), looking((3000, 0, 0), (-1, 0, 0))],
    "two places": ring(20, 1.0, 0.0)
    + [looking((60 + x, y, 0), (-x, -y, 0)) for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1))],
}
"""Cameras that do not all look at one object."""


def place(count: int = 4000) -> Gaussians:
    """A round yard: a wall of radius 12, its floor, and a ball in the middle, in colours that vary smoothly."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    reach = torch.rand(count, generator=generator)
    wall = torch.stack([12 * angle.cos(), 12 * angle.sin(), 5 * reach - 1.5], dim=1)
    floor = torch.stack([12 * reach.sqrt() * angle.cos(), 12 * reach.sqrt() * angle.sin(), 0 * reach - 1.5], dim=1)
    ball = 1.2 * torch.nn.functional.normalize(torch.randn(count // 5, 3, generator=generator), dim=1)
    means = torch.cat([wall, floor, ball])
    waves = torch.tensor([[0.9, -0.3, 0.4], [0.2, 0.8, -0.6], [-0.5, 0.4, 1.0]])
    colors = 0.5 + 0.4 * torch.sin(means @ waves + torch.tensor([0.0, 2.0, 4.0]))
    quats = torch.zeros(len(means), 4)
    quats[:, 0] = 1
    return Gaussians(
        means=means,
        quats=quats,
        scales=torch.full((len(means), 3), math.log(0.25)),
        opacities=torch.full((len(means),), 4.0),
        sh0=((colors - 0.5) * 2 * math.sqrt(math.pi))[:, None, :],
        shN=torch.zeros(len(means), 0, 3),
    )


def photographed(cameras: list[Camera], scene: Gaussians) -> Capture:
    """A capture without points and without test views."""
    views = []
    for index, camera in enumerate(cameras):
        image = render(scene, camera).image.detach().clamp(0, 1)
        views.append(View(f"{index:03d}.png", camera, (255 * image).round().to(torch.uint8).contiguous()))
    return Capture("made", tuple(views), (), None)
