"""Orbits: what there is to see is in every picture, whole and large, whatever else the scene holds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from leansplat.camera_paths import Up, orbit
from leansplat.cameras import Camera
from leansplat.engines.cpu import pack, render
from leansplat.errors import InputError
from leansplat.formats import read
from leansplat.gaussians import Gaussians, concatenate

SCENES = Path(__file__).parents[1] / "../shared/data/scenes"
SHAPES = [(800, 600), (300, 600), (900, 200)]
AXES = {"x": (0, 1), "y": (1, 1), "z": (2, 1), "minus-x": (0, -1), "minus-y": (1, -1), "minus-z": (2, -1)}


def scene(means: Tensor, *, opacity: float = 0.8, size: float = 0.01) -> Gaussians:
    n = len(means)
    quats = torch.zeros(n, 4)
    quats[:, 0] = 1
    return Gaussians(
        means=means.to(torch.float32),
        quats=quats,
        scales=torch.full((n, 3), math.log(size)),
        opacities=torch.full((n,), math.log(opacity / (1 - opacity))),
        sh0=torch.ones(n, 1, 3),
        shN=torch.zeros(n, 0, 3),
    )


def uniform(count: int, sizes: tuple[float, float, float], seed: int = 0) -> Tensor:
    """`count` points in a box around the origin."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor(sizes)


def shell(count: int, radius: float, *, dome: bool = False) -> Tensor:
    """`count` points all around, or above (y is down)."""
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(9)), dim=1)
    if dome:
        directions[:, 1] = -directions[:, 1].abs()
    return radius * directions


def pole(up: Up) -> Tensor:
    axis, _ = AXES[up]
    return uniform(2000, tuple(10.0 if k == axis else 1.0 for k in range(3)))  # type: ignore[arg-type]


def used(cameras: list[Camera], points: Tensor) -> float:
    """The largest share of a picture's width or height that points take in any view; they must be inside in all."""
    shares = []
    for camera in cameras:
        pixels, depths = camera.project(points)
        size = torch.tensor([camera.width, camera.height])
        assert bool((depths > 0.2).all())
        assert bool(((pixels > 0) & (pixels < size)).all())
        shares.append(float(((pixels.amax(dim=0) - pixels.amin(dim=0)) / size).max()))
    return max(shares)


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("up", list(AXES))
def test_a_tall_pole_is_whole_and_large_in_every_picture(up: Up, width: int, height: int) -> None:
    points = pole(up)
    assert used(orbit(scene(points), 7, up=up, width=width, height=height), points) > 0.75


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("sizes", [(10.0, 0.2, 10.0), (10.0, 0.5, 0.5), (1.0, 1.0, 1.0)], ids=["disc", "beam", "cube"])
def test_flat_long_and_compact_things_are_whole_and_large(
    sizes: tuple[float, float, float], width: int, height: int
) -> None:
    points = uniform(2000, sizes)
    assert used(orbit(scene(points), 12, width=width, height=height), points) > 0.7


def test_a_scene_of_which_most_is_at_one_end_is_framed_by_its_bounds() -> None:
    foot = uniform(3000, (1.0, 0.5, 1.0)) + torch.tensor([0.0, 4.0, 0.0])
    stem = uniform(1000, (0.3, 8.0, 0.3))
    points = torch.cat([foot, stem])
    assert used(orbit(scene(points), 5), points) > 0.8


@pytest.mark.parametrize("dome", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_strays_and_a_shell_of_sky_do_not_make_the_object_small(share: float, dome: bool) -> None:
    things = uniform(2000, (1.0, 3.0, 1.0))
    around = int(2000 * share / (1 - share))
    strays = shell(60, 1.0) * torch.logspace(0.5, 5, 60)[:, None]
    whole = concatenate([scene(things), scene(shell(around, 40.0, dome=dome), size=2.0), scene(strays)])
    assert used(orbit(whole, 5), things) > 0.7


def test_two_things_apart_are_both_in_the_picture() -> None:
    points = torch.cat([uniform(1100, (1.0, 1.0, 1.0)), uniform(900, (1.0, 1.0, 1.0)) + torch.tensor([9.0, 0.0, 0.0])])
    assert used(orbit(scene(points), 5), points) > 0.7


def test_faint_gaussians_do_not_say_where_the_scene_is() -> None:
    things = uniform(500, (1.0, 3.0, 1.0))
    haze = scene(uniform(4000, (60.0, 60.0, 60.0)) + 30, opacity=0.006)
    assert used(orbit(concatenate([scene(things), haze]), 5), things) > 0.7


def test_nine_tenths_by_opacity_are_in_every_picture_of_a_scene_without_bounds() -> None:
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(5000, 3, generator=generator) / torch.rand(5000, 1, generator=generator)
    whole = scene(points)
    opacities = torch.randn(5000, generator=generator)
    whole.opacities.copy_(opacities)
    weight = opacities.sigmoid().double()
    for camera in orbit(whole, 6):
        pixels, depths = camera.project(points)
        inside = (depths > 0.2) & ((pixels > 0) & (pixels < torch.tensor([800, 600]))).all(dim=1)
        assert float(weight[inside].sum() / weight.sum()) >= 0.9


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_scene_in_any_unit_is_drawn_and_not_hidden_by_the_near_plane(size: float) -> None:
    points = size * uniform(300, (1.0, 2.0, 1.0))
    camera = orbit(scene(points, size=0.05 * size), 1, width=60, height=80)[0]
    assert used([camera], points) > 0.6
    assert float(render(scene(points, size=0.05 * size), camera).alpha.mean()) > 0.15


def test_large_gaussians_are_framed_with_what_they_cover() -> None:
    long = scene(torch.zeros(1, 3), size=0.1)
    long.scales[0, 1] = math.log(2.0)
    tips = torch.tensor([[0.0, 4.0, 0.0], [0.0, -4.0, 0.0]])
    assert used(orbit(long, 3), tips) > 0.8


def test_cameras_are_level_twenty_degrees_above_and_evenly_spaced() -> None:
    cameras = orbit(scene(uniform(500, (1.0, 1.0, 1.0))), 4, up="z")
    middle = torch.stack([camera.position for camera in cameras]).mean(dim=0)
    for index, camera in enumerate(cameras):
        right, forward = camera.world_to_camera[0, :3], camera.world_to_camera[2, :3]
        assert float(right[2]) == pytest.approx(0, abs=1e-12)
        assert math.degrees(math.asin(-float(forward[2]))) == pytest.approx(20)
        angle = math.atan2(*(camera.position - middle)[[1, 0]].tolist())
        assert math.cos(angle - math.pi / 2 * index) == pytest.approx(1)


def test_values_that_are_not_finite_are_looked_past() -> None:
    points = uniform(500, (1.0, 3.0, 1.0))
    whole = scene(torch.cat([points, torch.full((200, 3), float("nan")), points[:50]]))
    whole.scales[-50:-25] = float("inf")
    whole.quats[-25:-10] = float("nan")
    whole.opacities[-10:] = float("inf")
    assert used(orbit(whole, 3), points) > 0.7
    with pytest.raises(InputError, match="finite centre"):
        orbit(scene(torch.full((3, 3), float("nan"))), 3)


@pytest.mark.parametrize("name", ["plant.splat", "academic_tarot_cards.splat"])
@pytest.mark.parametrize(("width", "height"), [(200, 150), (150, 200)])
def test_real_objects_are_whole_and_large(name: str, width: int, height: int) -> None:
    if not (SCENES / name).is_file():
        pytest.skip(f"the real scene {name} is not on this machine")
    packed = pack(read(SCENES / name))
    for camera in orbit(packed.unpack(), 4, width=width, height=height):
        lit = render(packed, camera).image.amax(dim=2) > 0.15
        for edge in (lit[0], lit[-1], lit[:, 0], lit[:, -1]):
            assert not bool(edge.any())
        rows, columns = lit.any(dim=1).nonzero(), lit.any(dim=0).nonzero()
        assert max(int(rows[-1] - rows[0]) / height, int(columns[-1] - columns[0]) / width) > 0.75
