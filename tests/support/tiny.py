"""A capture small enough to train on in seconds: a few dozen coloured blobs, photographed by our own renderer."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Capture, Points, View
from leansplat.engines.cpu import render
from leansplat.gaussians import Gaussians

SIZE = 40


def blobs(count: int = 60, seed: int = 3) -> Gaussians:
    """Opaque round Gaussians of random colours in a unit ball."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    return Gaussians(
        means=directions * torch.rand(count, 1, generator=generator) ** (1 / 3),
        quats=quats,
        scales=torch.full((count, 3), math.log(0.12)),
        opacities=torch.full((count,), 3.0),
        sh0=2 * torch.rand(count, 1, 3, generator=generator),
        shN=torch.zeros(count, 0, 3),
    )


def ring_of_cameras(count: int, size: int = SIZE) -> list[Camera]:
    """Cameras at distance 4 around the origin, alternately from above and from below."""
    angles = [2 * math.pi * i / count for i in range(count)]
    return [
        look_at((4 * math.cos(a), 4 * math.sin(a), 0.8 * (-1) ** i), (0, 0, 0), (0, 0, 1), 0.7, size, size)
        for i, a in enumerate(angles)
    ]


def tiny_capture(views: int = 10, background: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Capture:
    """`views` photos of `blobs`, two of them held out; the points are near the blobs, in wrong colours."""
    scene = blobs()
    shots = []
    for index, camera in enumerate(ring_of_cameras(views)):
        image = render(scene, camera, background=background).image.detach().clamp(0, 1)
        shots.append(View(f"{index:03d}.png", camera, (image * 255).round().to(torch.uint8).contiguous()))
    generator = torch.Generator().manual_seed(5)
    positions = scene.means[::2] + 0.05 * torch.randn(30, 3, generator=generator)
    points = Points(positions, torch.full((30, 3), 0.5))
    return Capture("tiny", tuple(shots[2:]), tuple(shots[:2]), points, background)


def distant_capture() -> Capture:
    """11 photos, two of them held out, by cameras within 5 units, of what is 20 to 45 away; 200 points show where."""
    generator = torch.Generator().manual_seed(7)

    def within(half_size: tuple[float, float, float], count: int) -> torch.Tensor:
        return (2 * torch.rand(count, 3, generator=generator) - 1) * torch.tensor(half_size)

    means = within((20.0, 15.0, 12.5), 1500) + torch.tensor([0.0, 0.0, 32.5])
    waves = torch.tensor([[0.2, -0.1, 0.15], [0.1, 0.25, -0.1], [0.05, 0.1, 0.1]])
    colors = 0.5 + 0.45 * torch.sin(means @ waves)
    scene = replace(
        blobs(1500),
        means=means,
        scales=torch.full((1500, 3), math.log(1.2)),
        sh0=((colors - 0.5) / 0.28209479177387814)[:, None, :],
    )
    shots = []
    for index in range(11):
        position = within((4.0, 2.5, 1.0), 1)[0].tolist()
        target = (within((4.0, 3.0, 1.0), 1)[0] + torch.tensor([0.0, 0.0, 30.0])).tolist()
        camera = look_at(position, target, (0, -1, 0), 0.9, 80, 60)
        image = render(scene, camera).image.detach().clamp(0, 1)
        shots.append(View(f"{index:03d}.png", camera, (image * 255).round().to(torch.uint8).contiguous()))
    points = Points(means[:200].contiguous(), colors[:200].contiguous())
    return Capture("distant", tuple(shots[2:]), tuple(shots[:2]), points)
