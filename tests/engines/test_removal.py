"""What an image would lose with each Gaussian, against really removing it and rendering again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.rendered_scenes import camera, surfaces
from support.rendering_comparison import relative_error
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.cpu import render
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.gaussians import Gaussians

BACKGROUND = (0.3, 0.5, 0.1)
VIEWS = {"even": camera(), "off centre": camera(45, 33, off_centre=True)}
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())


def scene() -> Gaussians:
    """Translucent enough that no pixel ends early, which is where removal is exact."""
    gaussians = surfaces(80, seed=70)
    return replace(gaussians, opacities=gaussians.opacities.clamp(max=1.5))


def image(gaussians: Gaussians, view: Camera) -> Tensor:
    return render(gaussians, view, background=BACKGROUND).image.double()


def photo(view: Camera) -> Tensor:
    return torch.rand(view.height, view.width, 3, generator=torch.Generator().manual_seed(71))


def effects_of(gaussians: Gaussians, view: Camera, target: Tensor) -> RemovalEffects:
    return engines.named("cpu").begin(gaussians, {}).removal_effects([View("view", view, target)], BACKGROUND)


def sums_of(effects: RemovalEffects) -> Tensor:
    """(N, 4) all that there is of them."""
    return torch.stack(list(vars(effects).values()), dim=1)


def without(gaussians: Gaussians, index: int) -> Gaussians:
    return gaussians[torch.arange(len(gaussians)) != index]


@each_view
def test_effects_are_those_of_really_removing_each_gaussian(view: Camera) -> None:
    gaussians, target = scene(), photo(view)
    effects = effects_of(gaussians, view, target)
    whole = image(gaussians, view)
    error = (whole - target).square().sum()
    changes, error_changes = [], []
    for index in range(len(gaussians)):
        left = image(without(gaussians, index), view)
        changes.append((left - whole).square().sum())
        error_changes.append((left - target).square().sum() - error)
    assert sum(change > 1e-3 for change in changes) > 30
    assert sum(change < 0 for change in error_changes) > 5
    assert relative_error(effects.change, torch.stack(changes)) < 1e-4
    assert relative_error(effects.error_change, torch.stack(error_changes)) < 1e-4


@each_view
def test_value_gradient_and_visibility_follow_from_removal_and_a_gaussians_own_image(view: Camera) -> None:
    """A lone Gaussian's alpha is opacity g, so dC/dg = -dC / g and opacity T = weight opacity / alpha."""
    gaussians, target = scene(), photo(view)
    effects = effects_of(gaussians, view, target)
    whole = image(gaussians, view)
    opacity = gaussians.opacities.double().sigmoid()
    black = replace(gaussians, sh0=torch.full_like(gaussians.sh0, -2.0), shN=torch.zeros_like(gaussians.shN))
    gradients, visibilities = [], []
    for index in range(len(gaussians)):
        alpha = render(gaussians[index : index + 1], view).alpha.double()
        hit = alpha > 1 / 512
        change = image(without(gaussians, index), view) - whole
        value = torch.where(hit, alpha / opacity[index], 1.0)
        gradients.append((torch.where(hit[..., None], change, 0) / value[..., None]).square().sum())
        # Its weight alpha T is what the image shows when it alone is white, before black.
        white = replace(black, sh0=black.sh0.clone())
        white.sh0[index] = 0.5 / 0.28209479177387814
        weight = render(white, view).image[..., 0].double()
        visibilities.append((weight[hit] / alpha[hit]).sum() * opacity[index])
    assert relative_error(effects.value_gradient, torch.stack(gradients)) < 1e-3
    assert relative_error(effects.visibility, torch.stack(visibilities)) < 1e-4


def test_effects_add_up_over_views_and_take_photos_of_bytes() -> None:
    gaussians = scene()
    views = [View(name, view, (photo(view) * 255).round().to(torch.uint8)) for name, view in VIEWS.items()]
    together = engines.named("cpu").begin(gaussians, {}).removal_effects(views, BACKGROUND)
    apart = [effects_of(gaussians, view.camera, view.photo / 255) for view in views]
    torch.testing.assert_close(sums_of(together), sums_of(apart[0]) + sums_of(apart[1]))


def test_the_sum_of_squared_gradients_by_log_opacity_is_the_change() -> None:
    """dC_i = -dC / d log sigma_i: the identity behind GaussianPOP, by autograd at single pixels."""
    gaussians, view = scene(), camera(9, 7)
    leaf = gaussians.opacities.clone().requires_grad_()
    rendered = render(replace(gaussians, opacities=leaf), view, background=BACKGROUND).image
    total = torch.zeros(len(gaussians))
    for value in rendered.reshape(-1):
        (by_logit,) = torch.autograd.grad(value, leaf, retain_graph=True)
        total += (by_logit / (1 - leaf.detach().sigmoid())).square()
    effects = effects_of(gaussians, view, torch.zeros(7, 9, 3))
    assert relative_error(effects.change, total.double()) < 1e-4


@each_view
def test_pixels_that_a_mask_hides_have_no_part_in_the_effects(view: Camera) -> None:
    """Each of the four is a sum over pixels, so a mask and its opposite share the whole between them."""
    gaussians, target = scene(), photo(view)
    mask = torch.rand(view.height, view.width, generator=torch.Generator().manual_seed(72)) < 0.4
    parts = []
    for kept in (mask, ~mask):
        unknown = torch.where(kept[..., None], target, torch.nan)
        model = engines.named("cpu").begin(gaussians, {})
        parts.append(sums_of(model.removal_effects([View("view", view, unknown, kept)], BACKGROUND)))
    whole = sums_of(effects_of(gaussians, view, target))
    assert relative_error(parts[0] + parts[1], whole.double()) < 1e-5
    assert relative_error(parts[0], whole.double()) > 0.1
