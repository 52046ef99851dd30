"""Small scenes and cameras for renderer tests: surfaces, and a maker for each kind of Gaussian that breaks renderers.

All are float32 and reproducible. The makers place things in the view of `camera()`, which stands at the origin of its
own axes a little off the world's, looking along +z; its matrix is rounded to float32, so that the reference and the
kernels start from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.gaussians import Gaussians, concatenate


def camera(width: int = 52, height: int = 37, *, off_centre: bool = False) -> Camera:
    """A view of the scenes below, 60 degrees wide; `off_centre` moves the principal point and stretches pixels."""
    angle = 0.1
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 0], pose[0, 2] = math.cos(angle), math.sin(angle)
    pose[2, 0], pose[2, 2] = -math.sin(angle), math.cos(angle)
    pose[:3, 3] = torch.tensor([0.05, 0.02, 0.1])
    focal = 0.85 * width
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    if off_centre:
        K[0, 2], K[1, 2], K[1, 1] = 0.31 * width, 0.72 * height, 1.1 * focal
    return Camera(pose.float().double(), K.float().double(), width, height)


def surfaces(count: int = 600, *, seed: int = 0, sh_degree: int = 3, antialiased: bool = False) -> Gaussians:
    """Flat Gaussians on spheres and a back wall at depths 2 to 9, in all opacities: what training produces."""
    random = torch.Generator().manual_seed(seed)
    patches = 8
    centres = torch.rand(patches, 3, generator=random) * torch.tensor([4.0, 3.0, 4.0]) - torch.tensor([2.0, 1.5, -3.0])
    sphere_radii = 0.3 + torch.rand(patches, generator=random)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=1)
    patch = torch.randint(patches, (count,), generator=random)
    means = centres[patch] + normals * sphere_radii[patch, None]
    wall = torch.rand(count, generator=random) < 0.2
    on_wall = torch.rand(count, 3, generator=random) * torch.tensor([12.0, 8.0, 0.3]) + torch.tensor([-6.0, -4.0, 8.0])
    means = torch.where(wall[:, None], on_wall, means)
    log_scales = -2.3 + 0.5 * torch.randn(count, 3, generator=random) + torch.tensor([0.0, 0.0, -1.5])
    return scene(
        means,
        quats=torch.randn(count, 4, generator=random),
        log_scales=log_scales + wall[:, None] * 0.8,
        opacities=3 * torch.randn(count, generator=random),
        sh_degree=sh_degree,
        antialiased=antialiased,
        seed=seed + 1,
    )


def needles(count: int = 20) -> Gaussians:
    """A thousand times longer than wide, in all directions, some pointing at the camera."""
    random = torch.Generator().manual_seed(11)
    means = in_view(count, random)
    log_scales = torch.tensor([[math.log(0.5), math.log(5e-4), math.log(5e-4)]]).repeat(count, 1)
    return scene(means, quats=torch.randn(count, 4, generator=random), log_scales=log_scales, seed=12)


def sub_pixel(count: int = 40) -> Gaussians:
    """A hundredth of a pixel wide: what reaches the image is the dilation alone."""
    random = torch.Generator().manual_seed(21)
    means = in_view(count, random)
    return scene(means, quats=torch.randn(count, 4, generator=random), log_scales=spread(5e-4, count, random), seed=22)


def huge(count: int = 6) -> Gaussians:
    """Wider than the image many times over, and close enough to reach past the camera."""
    random = torch.Generator().manual_seed(31)
    means = in_view(count, random)
    return scene(
        means,
        quats=torch.randn(count, 4, generator=random),
        log_scales=spread(8.0, count, random),
        opacities=torch.full((count,), -1.0),
        seed=32,
    )


def behind(count: int = 10) -> Gaussians:
    """Mirror images of visible ones, behind the camera."""
    random = torch.Generator().manual_seed(41)
    return scene(in_view(count, random) * torch.tensor([1.0, 1.0, -1.0]), seed=42)


def outside(count: int = 30) -> Gaussians:
    """In front of the camera but off to the sides: some reach in over the border, most do not."""
    random = torch.Generator().manual_seed(51)
    angles = 2 * math.pi * torch.rand(count, generator=random)
    sideways = 1.5 + 4 * torch.rand(count, generator=random)
    means = torch.stack([sideways * angles.cos(), sideways * angles.sin(), torch.full((count,), 1.5)], dim=1)
    means[:, 2] += torch.rand(count, generator=random)
    return scene(means, quats=torch.randn(count, 4, generator=random), log_scales=spread(0.25, count, random), seed=52)


def near_plane(count: int = 16) -> Gaussians:
    """At depths just before and just behind the near plane, small enough to cover only part of the image."""
    random = torch.Generator().manual_seed(61)
    depths = 0.2 * (1 + torch.linspace(-0.03, 0.03, count))
    spots = 0.16 * (torch.rand(count, 2, generator=random) - 0.5)
    means = to_world(torch.cat([spots, depths[:, None]], dim=1))
    return scene(means, quats=torch.randn(count, 4, generator=random), log_scales=spread(0.01, count, random), seed=62)


def coincident(count: int = 12) -> Gaussians:
    """All with the same mean: they blend in the order of the scene."""
    random = torch.Generator().manual_seed(71)
    means = to_world(torch.tensor([[0.1, -0.1, 2.0]])).repeat(count, 1)
    return scene(means, quats=torch.randn(count, 4, generator=random), log_scales=spread(0.15, count, random), seed=72)


def opaque(count: int = 30) -> Gaussians:
    """Opacity next to one, overlapping: alphas at the cap and pixels that stop early."""
    random = torch.Generator().manual_seed(81)
    return scene(
        in_view(count, random),
        quats=torch.randn(count, 4, generator=random),
        log_scales=spread(0.3, count, random),
        opacities=torch.full((count,), 7.0),
        seed=82,
    )


def transparent(count: int = 40) -> Gaussians:
    """Opacities around 1/255: half can never be drawn, the others only close to their centre."""
    random = torch.Generator().manual_seed(91)
    opacities = torch.logit(torch.linspace(0.6, 2.0, count) / 255)
    return scene(
        in_view(count, random),
        quats=torch.randn(count, 4, generator=random),
        log_scales=spread(0.35, count, random),
        opacities=opacities,
        seed=92,
    )


HARD_CASES: dict[str, Callable[[], Gaussians]] = {
    maker.__name__: maker
    for maker in (needles, sub_pixel, huge, behind, outside, near_plane, coincident, opaque, transparent)
}


def everything() -> Gaussians:
    """Surfaces with all hard cases mixed in."""
    mixed = concatenate([surfaces(200, seed=3)] + [maker() for maker in HARD_CASES.values()])
    return mixed[torch.randperm(len(mixed), generator=torch.Generator().manual_seed(5))]


def scene(
    means: Tensor,
    *,
    quats: Tensor | None = None,
    log_scales: Tensor | None = None,
    opacities: Tensor | None = None,
    sh_degree: int = 3,
    antialiased: bool = False,
    seed: int = 0,
) -> Gaussians:
    """Gaussians at `means` (N, 3) in world axes, with random colours, and defaults for what is not given."""
    random = torch.Generator().manual_seed(seed)
    count = len(means)
    coefficients = (sh_degree + 1) ** 2 - 1
    return Gaussians(
        means=means.float(),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1) if quats is None else quats,
        scales=torch.full((count, 3), -2.5) if log_scales is None else log_scales,
        opacities=torch.randn(count, generator=random) if opacities is None else opacities,
        sh0=torch.randn(count, 1, 3, generator=random),
        shN=0.3 * torch.randn(count, coefficients, 3, generator=random),
        antialiased=antialiased,
    )


def spread(size: float, count: int, random: torch.Generator) -> Tensor:
    """(count, 3) log scales around `size`, each axis its own."""
    return math.log(size) + 0.4 * torch.randn(count, 3, generator=random)


def in_view(count: int, random: torch.Generator) -> Tensor:
    """(count, 3) world positions spread over the image at depths 1.5 to 6."""
    depths = 1.5 + 4.5 * torch.rand(count, generator=random)
    across = (torch.rand(count, 2, generator=random) - 0.5) * torch.tensor([1.1, 0.8])
    return to_world(torch.cat([across * depths[:, None], depths[:, None]], dim=1))


def to_world(seen: Tensor) -> Tensor:
    """World positions (N, 3) of points given in the axes of `camera()`."""
    pose = camera().world_to_camera
    return ((seen.double() - pose[:3, 3]) @ pose[:3, :3]).float()
