"""Depth against the float64 reference and closed forms, and that asking for it changes nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.reference_renderer import depths, in_double, render_reference
from support.rendered_scenes import camera, everything, scene, surfaces, to_world
from support.rendering_comparison import as_leaves
from torch import Tensor

from leansplat.engines.cpu import Depth, pack, render
from leansplat.gaussians import Gaussians, empty
from leansplat.simd.threads import set_thread_count, thread_count

KINDS: tuple[Depth, ...] = ("expected", "median")
MIDDLE = (15, 15)


def rendered(gaussians: Gaussians, kind: Depth, width: int = 31, height: int = 31) -> Tensor:
    depth = render(gaussians, camera(width, height), depth=kind).depth
    assert depth is not None
    return depth


def layers(*zs: float, opacity: float) -> Gaussians:
    """Wide round Gaussians one behind the other, in front of the middle of `camera(31, 31)`."""
    means = to_world(torch.tensor([[0.0, 0.0, z] for z in zs]))
    opacities = torch.full((len(zs),), opacity).logit()
    return scene(means, log_scales=torch.zeros(len(zs), 3), opacities=opacities, sh_degree=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "height"), [(52, 37), (17, 33), (1, 1)])
@pytest.mark.parametrize("antialiased", [False, True])
def test_depth_of_surfaces_equals_the_reference(kind: Depth, width: int, height: int, antialiased: bool) -> None:
    gaussians = surfaces(seed=40, antialiased=antialiased)
    reference = render_reference(in_double(gaussians), camera(width, height))
    expected = depths(reference)[KINDS.index(kind)]
    covered = reference.weights.cumsum(dim=0)
    clear = reference.decided & ((covered - 0.5).abs() > 1e-5).all(dim=0)
    found = rendered(gaussians, kind, width, height)
    assert found.dtype == torch.float32
    assert found.shape == (height, width)
    assert torch.allclose(found.double()[clear], expected[clear], rtol=1e-5, atol=1e-5)
    assert clear.double().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_depth_of_everything_at_once_equals_the_reference(kind: Depth) -> None:
    reference = render_reference(in_double(everything()), camera(64, 48))
    expected = depths(reference)[KINDS.index(kind)]
    clear = reference.decided & ((reference.weights.cumsum(dim=0) - 0.5).abs() > 1e-5).all(dim=0)
    found = rendered(everything(), kind, 64, 48)
    assert torch.allclose(found.double()[clear], expected[clear], rtol=1e-4, atol=1e-4)


def test_expected_depth_is_the_mean_over_the_blending_weights() -> None:
    depth = rendered(layers(2.0, 4.0, 8.0, opacity=0.5), "expected")
    weights = torch.tensor([0.5, 0.25, 0.125])
    expected = float((weights * torch.tensor([2.0, 4.0, 8.0])).sum() / weights.sum())
    assert float(depth[MIDDLE]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("opacity", "expected"), [(0.6, 2.0), (0.4, 4.0), (0.25, 8.0), (0.1, 0.0)])
def test_median_depth_is_that_of_the_gaussian_at_which_transmittance_falls_to_a_half(
    opacity: float, expected: float
) -> None:
    assert float(rendered(layers(2.0, 4.0, 8.0, opacity=opacity), "median")[MIDDLE]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_depth_is_zero_where_nothing_is_drawn(kind: Depth) -> None:
    gaussians = surfaces(40, seed=41)
    rendering = render(gaussians, camera(), depth=kind)
    assert rendering.depth is not None
    assert (rendering.alpha == 0).any()
    assert not rendering.depth[rendering.alpha == 0].any()
    assert not rendered(empty(), kind).any()


@pytest.mark.parametrize("kind", KINDS)
def test_asking_for_depth_changes_no_bit_of_image_or_gradient(kind: Depth) -> None:
    gaussians = surfaces(seed=42)
    found = []
    for depth in (None, kind):
        leaves = as_leaves(gaussians)
        rendering = render(leaves, camera(), depth=depth)
        (rendering.image.square().sum() + rendering.alpha.sum()).backward()
        found.append((rendering.image.detach(), rendering.alpha.detach(), leaves.means.grad, leaves.shN.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_depth_carries_no_gradient_and_is_not_there_unless_asked_for() -> None:
    leaves = as_leaves(surfaces(50, seed=43))
    assert render(leaves, camera()).depth is None
    depth = render(leaves, camera(), depth="median").depth
    assert depth is not None
    assert not depth.requires_grad


def test_depth_is_measured_from_the_camera_wherever_the_origin_lies() -> None:
    gaussians = surfaces(100, seed=44)
    far = replace(gaussians, origin=(1e6, -2e6, 5e5))
    there = render(far, camera().relative_to((-1e6, 2e6, -5e5)), depth="expected").depth
    here = render(gaussians, camera(), depth="expected").depth
    assert here is not None
    assert there is not None
    assert torch.allclose(there, here, rtol=1e-4, atol=1e-4)


def test_depth_has_the_same_bits_on_any_number_of_threads() -> None:
    before = thread_count()
    try:
        set_thread_count(1)
        alone = rendered(surfaces(seed=45), "expected", 160, 120)
    finally:
        set_thread_count(before)
    assert torch.equal(alone, rendered(surfaces(seed=45), "expected", 160, 120))


def test_depth_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'expected' or 'median'"):
        render(pack(surfaces(5)), camera(), depth="mean")  # type: ignore[arg-type]
