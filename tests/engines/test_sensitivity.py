"""Sensitivity against autograd: of the renderer for colours, of the float64 reference for covariances."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.reference_renderer import covariance_leaves, in_double, render_reference
from support.rendered_scenes import camera, outside, surfaces
from support.rendering_comparison import as_leaves, gradients_of, relative_error

from leansplat import engines
from leansplat.engines.cpu import render
from leansplat.gaussians import concatenate

BACKGROUND = (0.2, 0.1, 0.4)
CAMERAS = [camera(), camera(31, 45, off_centre=True)]
sensitivity = engines.named("cpu").sensitivity
PIXELS = 52 * 37 + 31 * 45


def test_that_of_colors_is_the_sum_over_views_of_absolute_gradients_for_each_pixel() -> None:
    gaussians = surfaces(300, seed=31)
    expected = torch.zeros(300, 48)
    for view in CAMERAS:
        leaves = as_leaves(gaussians)
        render(leaves, view, background=BACKGROUND).image.sum().backward()
        found = gradients_of(leaves)
        expected += torch.cat([found["sh0"], found["shN"]], dim=1).flatten(1).abs()
    colors = sensitivity(gaussians, CAMERAS, BACKGROUND).colors
    assert relative_error(colors, expected.double() / PIXELS) < 1e-5


def test_pixels_that_a_mask_hides_count_neither_in_the_gradients_nor_among_the_pixels() -> None:
    gaussians = surfaces(300, seed=31)
    mask = torch.rand(37, 52, generator=torch.Generator().manual_seed(33)) < 0.5
    expected = torch.zeros(300, 48)
    for view, kept in zip(CAMERAS, (mask, torch.ones(45, 31, dtype=torch.bool)), strict=True):
        leaves = as_leaves(gaussians)
        render(leaves, view, background=BACKGROUND).image[kept].sum().backward()
        found = gradients_of(leaves)
        expected += torch.cat([found["sh0"], found["shN"]], dim=1).flatten(1).abs()
    colors = sensitivity(gaussians, CAMERAS, BACKGROUND, masks=[mask, None]).colors
    assert relative_error(colors, expected.double() / (int(mask.sum()) + 31 * 45)) < 1e-5


@pytest.mark.parametrize("antialiased", [False, True])
def test_that_of_covariances_is_by_the_six_numbers_with_the_trace_held_fixed(antialiased: bool) -> None:
    gaussians = surfaces(60, seed=34, antialiased=antialiased)
    expected = torch.zeros(60, 6, dtype=torch.float64)
    for view in CAMERAS:
        double = in_double(gaussians)
        six, covariances = covariance_leaves(double)
        theirs = render_reference(double, view, background=BACKGROUND, covariances=covariances, margin=3e-6)
        assert theirs.decided.all(), "choose another scene: a rounding may change this one's image"
        (by_six,) = torch.autograd.grad(theirs.image.sum(), six)
        trace = covariances.detach().diagonal(dim1=1, dim2=2).sum(dim=1, keepdim=True)
        expected += (by_six * trace).abs()
    covariances = sensitivity(gaussians, CAMERAS, BACKGROUND).covariances
    assert relative_error(covariances, expected / PIXELS) < 1e-4


def test_views_that_pull_in_opposite_directions_add_up() -> None:
    """The gradient by a colour changes its sign with the direction it is seen from; its size does not."""
    gaussians = surfaces(50, seed=32, sh_degree=1)
    apart = [sensitivity(gaussians, [view], BACKGROUND) for view in CAMERAS]
    sizes = [view.width * view.height for view in CAMERAS]
    together = sensitivity(gaussians, CAMERAS, BACKGROUND)
    for name in ("colors", "covariances"):
        expected = sum(getattr(one, name) * size for one, size in zip(apart, sizes, strict=True)) / PIXELS
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-5, atol=1e-12)


def test_what_no_view_shows_has_none_and_a_gaussian_counts_by_its_largest() -> None:
    shown = surfaces(40, seed=33)
    hidden = replace(outside(10), opacities=torch.full((10,), -20.0))
    found = sensitivity(concatenate([shown, hidden]), CAMERAS, BACKGROUND)
    assert not found.of_color[40:].any()
    assert not found.of_shape[40:].any()
    assert found.of_color[:40].any()
    assert torch.equal(found.of_color, found.colors.max(dim=1).values)
    assert torch.equal(found[found.of_color > 0].of_shape, found.of_shape[found.of_color > 0])


def test_progress_is_told_after_every_view() -> None:
    told: list[tuple[int, int]] = []
    sensitivity(surfaces(5, seed=35), CAMERAS, BACKGROUND, progress=lambda *done: told.append(done[:2]))
    assert told == [(1, 2), (2, 2)]
