"""Gradients by covariances against the float64 reference, which autograd differentiates by the same six numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.reference_renderer import covariance_leaves, in_double, loss_weights, render_reference
from support.rendered_scenes import HARD_CASES, camera, surfaces
from support.rendering_comparison import relative_error
from torch import Tensor

from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.packed import SH0, pack, unpack_rows
from leansplat.gaussians import Gaussians

BACKGROUND = (0.1, 0.5, 0.9)


def gradients(gaussians: Gaussians, weights: Tensor) -> Tensor:
    """(N, rows) by covariances (the first six) and, from `SH0` on, by colour coefficients."""
    packed = pack(gaussians)
    rendered = rasterizer.forward(
        packed.data.numpy(), packed.count, camera(), np.array(BACKGROUND, np.float32), packed.sh_degree,
        packed.antialiased,
    )  # fmt: skip
    found = rasterizer.covariance_gradient(rendered, weights.permute(2, 0, 1).contiguous().numpy())
    return unpack_rows(torch.from_numpy(found), packed.count)


def reference_gradients(gaussians: Gaussians) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 6) by covariances and (N, 3 K) by colours of a random linear loss, whose weights (H, W, 3) come first."""
    double = in_double(gaussians, requires_grad=True)
    six, covariances = covariance_leaves(double)
    theirs = render_reference(double, camera(), background=BACKGROUND, covariances=covariances)
    weights, _ = loss_weights(theirs.decided)
    by_six, by_sh0, by_shN = torch.autograd.grad((theirs.image * weights).sum(), [six, double.sh0, double.shN])
    return weights, by_six, torch.cat([by_sh0, by_shN], dim=1).flatten(1)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("sh_degree", [1, 3])
def test_gradients_by_covariance_and_color_equal_the_reference(sh_degree: int, antialiased: bool) -> None:
    gaussians = surfaces(seed=21, sh_degree=sh_degree, antialiased=antialiased)
    weights, by_six, by_colors = reference_gradients(gaussians)
    found = gradients(gaussians, weights)
    assert (by_six.norm(dim=1) > 0).sum() > 400
    assert relative_error(found[:, :6], by_six) < 1e-5
    assert relative_error(found[:, SH0.start :], by_colors) < 1e-5


@pytest.mark.parametrize("name", sorted(HARD_CASES))
def test_gradients_by_covariance_of_hard_cases_equal_the_reference(name: str) -> None:
    """By normalised covariances, since sizes differ by orders of magnitude."""
    gaussians = HARD_CASES[name]()
    weights, by_six, _ = reference_gradients(gaussians)
    size = (2 * gaussians.scales).exp().sum(dim=1, keepdim=True)
    error = relative_error(gradients(gaussians, weights)[:, :6] * size, by_six * size)
    assert error < (1e-3 if name == "needles" else 1e-4)


def test_rows_that_are_neither_covariance_nor_color_are_zero() -> None:
    gaussians = surfaces(100, seed=22)
    found = gradients(gaussians, torch.ones(camera().height, camera().width, 3))
    assert found[:, :6].any()
    assert not found[:, 6 : SH0.start].any()


def test_a_pass_leaves_the_next_backward_pass_clean() -> None:
    gaussians, weights = surfaces(100, seed=23), torch.ones(camera().height, camera().width, 3)
    first = gradients(gaussians, weights).clone()
    assert torch.equal(gradients(gaussians, weights), first)
