"""Where training starts."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.cameras import look_at
from leansplat.captures.capture import Points
from leansplat.training.initialisation import (
    gaussians_from_points,
    initial_gaussians,
    neighbour_distances,
)
from leansplat.training.random_start import scene_box


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


def test_random_points_fill_the_box_and_follow_the_seed() -> None:
    capture = replace(tiny_capture(views=4), points=None)
    first, again, other = (
        initial_gaussians(capture, torch.Generator().manual_seed(seed), random_points=500) for seed in (1, 1, 2)
    )
    box = scene_box([view.camera for view in capture.train])
    assert box is not None
    offsets = (first.means - box[0].float()) / box[1]
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


def test_points_that_no_view_sees_give_way_to_random_ones(caplog: pytest.LogCaptureFixture) -> None:
    capture = tiny_capture(views=8)
    assert capture.points is not None
    elsewhere = Points(capture.points.positions + 500, capture.points.colors)
    with caplog.at_level(logging.WARNING, "leansplat"):
        scene = initial_gaussians(replace(capture, points=elsewhere), torch.Generator(), random_points=400)
    assert "no training view of tiny sees its 30 points" in caplog.text
    assert len(scene) == 400
    assert float(scene.means.abs().max()) < 3
    without = initial_gaussians(replace(capture, points=None), torch.Generator(), random_points=400)
    assert torch.equal(scene.means, without.means)


def test_a_few_points_that_are_seen_by_chance_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    capture = tiny_capture(views=8)
    elsewhere = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) + 500
    points = torch.cat([elsewhere, torch.zeros(4, 3)])
    with caplog.at_level(logging.WARNING, "leansplat"):
        scene = initial_gaussians(replace(capture, points=grey(points)), torch.Generator(), random_points=400)
    assert "no training view" in caplog.text
    assert len(scene) == 400


def test_a_view_that_sees_no_points_gets_its_share_of_random_ones(caplog: pytest.LogCaptureFixture) -> None:
    capture = tiny_capture(views=10)
    assert capture.points is not None
    away = look_at((4, 0, 0), (9, 0, 0), (0, 0, 1), 0.7, 40, 40)
    turned = replace(capture.train[3], camera=away)
    mixed = replace(capture, train=(*capture.train[:3], turned, *capture.train[4:]))
    with caplog.at_level(logging.WARNING, "leansplat"):
        scene = initial_gaussians(mixed, torch.Generator(), random_points=800)
    assert f"1 of 8 training views of tiny see nearly none of its 30 points (first: {turned.name})" in caplog.text
    assert torch.equal(scene.means[:30], capture.points.positions)
    pixels, depths = away.project(scene.means[30:])
    assert len(pixels) == 100
    assert bool((depths > 0.2).all())
    assert bool(((pixels > -0.01) & (pixels < 40.01)).all())
