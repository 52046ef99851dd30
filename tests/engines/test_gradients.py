"""Gradients of the renderer against the float64 reference, tensor by tensor.

The loss is linear in image and alpha with random weights, and zero at the few pixels where a blending decision is
within 1e-4 of its threshold: there float32 and float64 may rightly disagree by a whole Gaussian.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.rendered_scenes import HARD_CASES, camera, everything, scene, surfaces, to_world
from support.rendering_comparison import Pair, as_leaves, compare, gradients_of, relative_error

from leansplat.cameras import look_at
from leansplat.engines.cpu import PackedGaussians, pack, render
from leansplat.gaussians import TENSOR_NAMES, Gaussians, empty

TOLERANCE = 1e-5
"""Relative L2 error of a gradient tensor: float32 with some thousand operations between a parameter and the loss."""


def check(pair: Pair, tolerance: float = TOLERANCE) -> None:
    errors = {
        name: relative_error(pair.our_gradients[name], pair.their_gradients[name])
        for name in TENSOR_NAMES
        if pair.their_gradients[name].numel()
    }
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_gradients_of_surfaces_equal_the_reference(sh_degree: int, antialiased: bool) -> None:
    gaussians = surfaces(seed=sh_degree, sh_degree=sh_degree, antialiased=antialiased)
    pair = compare(gaussians, camera(), background=(0.1, 0.5, 0.9))
    assert (pair.their_gradients["means"].norm(dim=1) > 0).sum() > 400
    check(pair)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 40), (16, 16), (33, 17), (64, 48)])
def test_gradients_equal_the_reference_off_centre_and_at_odd_sizes(width: int, height: int) -> None:
    check(compare(surfaces(300, seed=8), camera(width, height, off_centre=True), background=(0.3, 0.2, 0.1)))


@pytest.mark.parametrize(("image", "alpha"), [(True, False), (False, True)])
def test_gradients_through_image_or_alpha_alone_equal_the_reference(image: bool, alpha: bool) -> None:
    pair = compare(surfaces(seed=4), camera(), background=(0.9, 0.4, 0.2), image=image, alpha=alpha)
    check(pair)
    assert bool(pair.our_gradients["sh0"].any()) == image


def test_gradients_of_everything_at_once_equal_the_reference() -> None:
    check(compare(everything(), camera(64, 48), background=(0.2, 0.2, 0.2)), 2e-5)


HARD_TOLERANCES = dict.fromkeys(HARD_CASES, 2e-5) | {"needles": 1e-3}
"""A needle's covariance is nearly singular, so its inverse keeps fewer of the digits that its float32 entries have."""


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", sorted(HARD_CASES))
def test_gradients_of_hard_cases_equal_the_reference(name: str, antialiased: bool) -> None:
    gaussians = replace(HARD_CASES[name](), antialiased=antialiased)
    check(compare(gaussians, camera(), background=(0.1, 0.2, 0.3)), HARD_TOLERANCES[name])


@pytest.mark.parametrize("used", [0, 1, 2])
def test_coefficients_above_the_used_degree_get_no_gradient(used: int) -> None:
    pair = compare(surfaces(seed=6), camera(), sh_degree=used)
    check(pair)
    coefficients = (used + 1) ** 2 - 1
    assert not pair.our_gradients["shN"][:, coefficients:].any()
    assert used == 0 or pair.our_gradients["shN"][:, :coefficients].any()


def test_culled_gaussians_get_no_gradient() -> None:
    gaussians = everything()
    pair = compare(gaussians, camera())
    unseen = torch.ones(len(gaussians), dtype=torch.bool)
    drawn = (pair.theirs.weights > 0).any(dim=2).any(dim=1)
    unseen[pair.theirs.projection.rows[drawn]] = False
    assert unseen.sum() > 30
    for name in TENSOR_NAMES:
        assert not pair.our_gradients[name][unseen].any(), name


def test_a_gaussian_at_the_camera_centre_leaves_all_gradients_finite() -> None:
    """It has no direction to evaluate colours in, and shares its vector with Gaussians that are drawn."""
    view = look_at((0, 0, 0), (0, 0, 1), (0, -1, 0), 1.0, 40, 30)
    gaussians = as_leaves(surfaces(16, seed=13))
    with torch.no_grad():
        gaussians.means[3] = view.position.float()
    render(gaussians, view).image.square().sum().backward()
    gradients = gradients_of(gaussians)
    assert gradients["shN"].any()
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(not gradient[3].any() for gradient in gradients.values())


@pytest.mark.parametrize("count", [1, 16, 37, 600])
def test_packed_gradients_equal_unpacked_ones(count: int) -> None:
    gaussians = surfaces(count, seed=9)
    leaves = as_leaves(gaussians)
    render(leaves, camera(), background=(0.1, 0.2, 0.3)).image.square().sum().backward()
    packed = pack(gaussians)
    data = packed.data.clone().requires_grad_()
    render(replace(packed, data=data), camera(), background=(0.1, 0.2, 0.3)).image.square().sum().backward()
    assert data.grad is not None
    unpacked = PackedGaussians(data.grad, count).unpack()
    for name, gradient in gradients_of(leaves).items():
        assert torch.allclose(getattr(unpacked, name), gradient, rtol=1e-6, atol=1e-8), name
    padding = data.grad.transpose(1, 2).reshape(-1, data.shape[1])[count:]
    assert not padding.any()


def test_gradients_of_two_renders_add_up_however_they_are_taken() -> None:
    gaussians = surfaces(seed=10)
    views = [camera(52, 37), camera(41, 30, off_centre=True)]
    apart = as_leaves(gaussians)
    for view in views:
        render(apart, view).image.square().sum().backward()
    together = as_leaves(gaussians)
    images = [render(together, view).image for view in views]
    torch.stack([image.square().sum() for image in images]).sum().backward()
    for name in TENSOR_NAMES:
        assert torch.allclose(gradients_of(together)[name], gradients_of(apart)[name], rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("seed", [0, 48, 216, 295])
def test_light_that_was_stopped_stays_stopped_in_the_backward_pass(seed: int) -> None:
    """Gaussians that stop the only pixels they reach are drawn nowhere, yet end those pixels for all behind them."""
    random = torch.Generator().manual_seed(seed)
    depths = 1.5 + 4.5 * torch.rand(60, 1, generator=random)
    means = to_world(torch.cat([(torch.rand(60, 2, generator=random) - 0.5) * 1.2 * depths, depths], dim=1))
    log_scales = torch.where(torch.rand(60, 1, generator=random) < 0.5, -6.0, 0.3) + 0.3 * torch.randn(
        60, 3, generator=random
    )
    gaussians = scene(
        means,
        quats=torch.randn(60, 4, generator=random),
        log_scales=log_scales,
        opacities=1 + 2 * torch.randn(60, generator=random),
        sh_degree=0,
        seed=seed,
    )
    pair = compare(gaussians, camera(4, 4), background=(3.0, 3.0, 3.0))
    assert float(pair.theirs.alpha.detach().max()) > 0.999
    check(pair, 5e-5)


def test_image_changed_in_place_does_not_change_gradients_silently() -> None:
    gaussians = surfaces(100, seed=12)
    expected = as_leaves(gaussians)
    (3 * render(expected, camera()).image).square().sum().backward()
    found = as_leaves(gaussians)
    image = render(found, camera()).image
    try:
        image.mul_(3)
        image.square().sum().backward()
    except RuntimeError:
        return  # PyTorch's own complaint about a tensor needed by the backward pass
    for name in TENSOR_NAMES:
        assert relative_error(gradients_of(found)[name], gradients_of(expected)[name].double()) < 1e-5, name


def test_a_gaussian_is_moved_towards_a_brighter_spot() -> None:
    gaussians = as_leaves(surfaces(1, seed=0))
    with torch.no_grad():
        gaussians.means[:] = torch.tensor([0.0, 0.0, 4.0])
        gaussians.scales[:] = -1.5
        gaussians.sh0[:] = 1.0
        gaussians.shN[:] = 0.0
    image = render(gaussians, camera()).image
    columns = torch.arange(image.shape[1], dtype=torch.float32)
    (image * columns[:, None]).sum().backward()
    assert gaussians.means.grad is not None
    assert gaussians.means.grad[0, 0] > 0


def test_scene_without_gaussians_takes_part_in_autograd() -> None:
    gaussians = as_leaves(empty())
    rendering = render(gaussians, camera(), background=(0.1, 0.2, 0.3))
    (rendering.image.sum() + rendering.alpha.sum()).backward()
    assert all(not gradient.any() for gradient in gradients_of(gaussians).values())


def test_rendering_without_gradients_builds_no_graph() -> None:
    gaussians: Gaussians = as_leaves(surfaces(50))
    with torch.no_grad():
        plain = render(gaussians, camera()).image
    assert not plain.requires_grad
    assert torch.equal(plain, render(gaussians, camera()).image.detach())
