"""The reference itself: its gradients against finite differences, its image against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support.reference_renderer import Reference, in_double, loss_weights, render_reference
from support.rendered_scenes import HARD_CASES, camera, scene, surfaces, to_world

from leansplat.engines.torch.projection import spherical_harmonics
from leansplat.gaussians import TENSOR_NAMES, Gaussians

BLANK = {"behind"}
"""Hard cases of which nothing is to be seen."""


def small(name: str, antialiased: bool) -> Gaussians:
    gaussians = surfaces(60, seed=2) if name == "surfaces" else HARD_CASES[name]()
    return replace(gaussians, antialiased=antialiased)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", ["surfaces", *sorted(HARD_CASES.keys() - BLANK)])
def test_reference_gradients_equal_finite_differences(name: str, antialiased: bool) -> None:
    view = camera(29, 22, off_centre=True)
    gaussians = in_double(small(name, antialiased), requires_grad=True)
    reference = render_reference(gaussians, view)
    image_weights, alpha_weights = loss_weights(reference.decided)

    def loss_of(reference: Reference) -> torch.Tensor:
        return (reference.image * image_weights).sum() + (reference.alpha * alpha_weights).sum()

    loss_of(reference).backward()
    random = torch.Generator().manual_seed(1)
    for tensor in TENSOR_NAMES:
        values = getattr(gaussians, tensor)
        for _ in range(3):
            direction = torch.randn(values.shape, generator=random, dtype=torch.float64)
            if name == "coincident" and tensor == "means":
                direction = direction[:1].expand_as(values)  # apart from each other they would change places in depth
            step = 1e-6 / direction.norm() * values.detach().norm().clamp(min=0.1)
            with torch.no_grad():
                ahead, behind = (
                    loss_of(render_reference(replace(gaussians, **{tensor: values + sign * step * direction}), view))
                    for sign in (1, -1)
                )
            measured = float(ahead - behind) / float(2 * step)
            derivative = float((values.grad * direction).sum())
            # Central differences: the truncation error falls with the square of the step, 1e-12 here.
            assert measured == pytest.approx(derivative, rel=1e-5, abs=1e-6 * float(values.grad.norm())), tensor


def test_reference_draws_a_round_gaussian_as_its_closed_form() -> None:
    view = camera(31, 31)
    sigma, depth, logit = 0.2, 3.0, 0.4
    gaussians = scene(
        to_world(torch.tensor([[0.0, 0.0, depth]])),
        log_scales=torch.full((1, 3), math.log(sigma)),
        opacities=torch.tensor([logit]),
        sh_degree=0,
    )
    alpha = render_reference(gaussians, view).alpha
    variance = (view.fx * sigma / depth) ** 2 + 0.3
    offset = torch.arange(31, dtype=torch.float64) + 0.5 - 15.5
    squared = offset[:, None] ** 2 + offset**2
    expected = torch.exp(-0.5 * squared / variance) / (1 + math.exp(-logit))
    expected[expected < 1 / 255] = 0
    assert torch.allclose(alpha, expected, atol=1e-6)


def test_spherical_harmonics_are_orthonormal() -> None:
    # Exact quadrature on the sphere for polynomials of degree 6: Gauss-Legendre in z, even steps around the axis.
    z = torch.tensor([-0.9324695142031521, -0.6612093864662645, -0.2386191860831969])
    weight = torch.tensor([0.1713244923791704, 0.3607615730481386, 0.4679139345726910])
    z, weight = torch.cat([z, -z]).double(), torch.cat([weight, weight]).double()
    angle = torch.arange(8, dtype=torch.float64) * (2 * math.pi / 8)
    ring = (1 - z**2).sqrt()
    directions = torch.stack(
        [ring[:, None] * angle.cos(), ring[:, None] * angle.sin(), z[:, None].expand(-1, 8)], dim=-1
    ).reshape(-1, 3)
    basis = spherical_harmonics(directions)
    weights = (weight[:, None] * (2 * math.pi / 8)).expand(-1, 8).reshape(-1)
    products = torch.einsum("d,di,dj->ij", weights, basis, basis)
    assert torch.allclose(products, torch.eye(16, dtype=torch.float64), atol=1e-6)


def test_reference_counts_undecided_pixels_only_near_thresholds() -> None:
    gaussians = scene(to_world(torch.tensor([[0.0, 0.0, 3.0]])), opacities=torch.tensor([-1.0]), sh_degree=0)
    reference = render_reference(gaussians, camera(31, 31))
    ratio = reference.alphas[0] * 255
    assert reference.decided.all()
    wide = render_reference(gaussians, camera(31, 31), margin=0.5)
    assert torch.equal(~wide.decided, (ratio - 1).abs() < 0.5)
