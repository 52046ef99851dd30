"""Where training starts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from training.tiny import ring_of_cameras, tiny_capture

from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Points
from leansplat.training.initialisation import (
    gaussians_from_points,
    initial_gaussians,
    neighbour_distances,
    scene_box,
)


def grid(side: int, spacing: float) -> torch.Tensor:
    axis = spacing * torch.arange(side, dtype=torch.float32)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def grey(positions: torch.Tensor) -> Points:
    return Points(positions, torch.full_like(positions, 0.5))


def test_on_a_grid_scales_are_its_spacing() -> None:
    scene = gaussians_from_points(grey(grid(4, 0.25)), extent=1.0)
    torch.testing.assert_close(scene.scales.exp(), torch.full((64, 3), 0.25))


def test_neighbour_distances_equal_brute_force() -> None:
    positions = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    squared = ((positions[:, None] - positions[None]) ** 2).sum(-1)
    expected = squared.sort(dim=1).values[:, 1:4].mean(dim=1)
    torch.testing.assert_close(neighbour_distances(positions, 1.0), expected, rtol=1e-5, atol=1e-9)


def test_points_in_one_place_get_the_smallest_scale() -> None:
    scene = gaussians_from_points(grey(torch.zeros(5, 3)), extent=1.0)
    torch.testing.assert_close(scene.scales.exp(), torch.full((5, 3), math.sqrt(1e-7)))


def test_a_lone_point_gets_a_scale_from_the_scene_extent() -> None:
    scene = gaussians_from_points(grey(torch.ones(1, 3)), extent=5.0)
    torch.testing.assert_close(scene.scales.exp(), torch.full((1, 3), 0.05))


def test_gaussians_start_round_faint_and_in_the_points_colours() -> None:
    colors = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    scene = gaussians_from_points(Points(grid(4, 1.0), colors), extent=1.0)
    torch.testing.assert_close(scene.opacities.sigmoid(), torch.full((64,), 0.1))
    assert bool((scene.quats == torch.tensor([1.0, 0, 0, 0])).all())
    # The constant harmonic is 1 / (2 sqrt(pi)).
    torch.testing.assert_close(0.5 + scene.sh0[:, 0] / (2 * math.sqrt(math.pi)), colors)
    assert scene.sh_degree == 3
    assert not scene.shN.any()


def test_points_that_are_not_finite_are_left_out() -> None:
    positions = grid(2, 1.0)
    positions[3, 1] = float("nan")
    assert len(gaussians_from_points(grey(positions), extent=1.0)) == 7


def test_the_box_around_an_object_is_where_the_cameras_look() -> None:
    shift = torch.tensor([1.0, 2.0, 3.0])
    directions = [(1, 0, 0.5), (0, 1, 0.5), (-1, 0, 0.5), (0.6, -0.8, -0.5)]
    cameras = [
        look_at([float(s) + 4 * d for s, d in zip(shift, direction, strict=True)], shift.tolist(), (0, 0, 1), 0.7, 8, 8)
        for direction in directions
    ]
    centre, half_size = scene_box(cameras, extent=4.0)
    torch.testing.assert_close(centre.float(), shift)
    assert half_size == pytest.approx(4 * math.sqrt(1.25) * math.tan(0.35), rel=1e-2)


def parallel() -> list[Camera]:
    return [look_at((x, 0, 0), (x, 0, 5), (0, -1, 0), 0.7, 8, 8) for x in (0.0, 1.0, 2.0)]


def outward() -> list[Camera]:
    directions = [(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)]
    return [look_at(d, (3 * d[0], 3 * d[1], 0), (0, 0, 1), 0.7, 8, 8) for d in directions]


@pytest.mark.parametrize("cameras", [parallel(), outward()], ids=["parallel", "outward"])
def test_without_a_common_point_the_box_is_around_the_cameras(cameras: list[Camera]) -> None:
    centre, half_size = scene_box(cameras, extent=2.0)
    torch.testing.assert_close(centre, torch.stack([c.position for c in cameras]).mean(dim=0))
    assert half_size == 6.0


def test_random_points_fill_the_box_and_follow_the_seed() -> None:
    capture = replace(tiny_capture(views=4), points=None)
    first, again, other = (
        initial_gaussians(capture, torch.Generator().manual_seed(seed), random_points=500) for seed in (1, 1, 2)
    )
    centre, half_size = scene_box([view.camera for view in capture.train], capture.extent)
    offsets = (first.means - centre.float()) / half_size
    assert len(first) == 500
    assert float(offsets.abs().max()) <= 1
    assert float(offsets.std()) == pytest.approx(1 / math.sqrt(3), rel=0.1)
    assert bool((first.means == again.means).all())
    assert not bool((first.means == other.means).any())


def test_a_capture_with_points_starts_from_them() -> None:
    capture = tiny_capture(views=4)
    assert capture.points is not None
    scene = initial_gaussians(capture, torch.Generator())
    assert bool((scene.means == capture.points.positions).all())


def test_the_ring_of_test_cameras_looks_at_the_origin() -> None:
    centre, _ = scene_box(ring_of_cameras(6), 1.0)
    torch.testing.assert_close(centre, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
