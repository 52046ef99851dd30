"""Normalised covariances: against matrices, and what they do not depend on."""

from __future__ import annotations

import math

import torch
from support.scene_comparison import random_scene

from leansplat.compression.covariance import COLUMNS, ROWS, log_size, normalised_covariance, rotation_and_scales
from leansplat.engines.torch.projection import rotation_matrices


def matrices(quats: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    axes = rotation_matrices(quats.double()) * scales.double().exp()[:, None]
    return axes @ axes.mT


def test_covariances_are_those_of_rotation_and_scales_over_their_trace() -> None:
    scene = random_scene()
    expected = matrices(scene.quats, scene.scales)
    trace = expected.diagonal(dim1=1, dim2=2).sum(dim=1)
    found = normalised_covariance(scene.quats, scene.scales)
    torch.testing.assert_close(found.double(), (expected / trace[:, None, None])[:, ROWS, COLUMNS], rtol=0, atol=1e-6)
    torch.testing.assert_close(log_size(scene.scales).double(), 0.5 * trace.log(), rtol=1e-5, atol=1e-5)


def test_size_sign_and_names_of_axes_do_not_matter() -> None:
    """Half a turn about an axis, the quaternion's sign and length, and a quarter turn with two scales swapped."""
    scene = random_scene(100)
    expected = normalised_covariance(scene.quats, scene.scales)
    w, x, y, z = scene.quats.unbind(dim=1)
    half_turn = torch.stack([-z, y, -x, w], dim=1)
    quarter_turn = torch.stack([w - z, x + y, y - x, z + w], dim=1)
    for quats, scales in (
        (-3 * scene.quats, scene.scales + 2.5),
        (half_turn, scene.scales),
        (quarter_turn, scene.scales[:, [1, 0, 2]]),
    ):
        torch.testing.assert_close(normalised_covariance(quats, scales), expected, rtol=0, atol=2e-6)


def test_rotation_and_scales_make_the_covariance_again() -> None:
    scene = random_scene()
    covariances = normalised_covariance(scene.quats, scene.scales)
    quats, scales = rotation_and_scales(covariances)
    torch.testing.assert_close(quats.norm(dim=1), torch.ones(len(quats)))
    assert (scales.diff(dim=1) >= 0).all()
    torch.testing.assert_close(normalised_covariance(quats, scales), covariances, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_size(scales), torch.zeros(len(scales)), rtol=0, atol=1e-5)


def test_every_half_turn_has_a_quaternion() -> None:
    """Where the real part is 0, a formula that divides by it would fail."""
    for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8), (0.6, 0.64, 0.48)):
        quats = torch.tensor([[0.0, *axis]])
        scales = torch.tensor([[-3.0, -2.0, -1.0]])
        covariances = normalised_covariance(quats, scales)
        found = normalised_covariance(*rotation_and_scales(covariances))
        torch.testing.assert_close(found, covariances, rtol=0, atol=1e-6)


def test_flat_and_pointed_covariances_have_finite_scales() -> None:
    covariances = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0.5, 0.0, 0.0, 0.5, 0.0, 0.0], [0.5, 0.5, 0.0, 0.5, 0.0, 0.0]])
    quats, scales = rotation_and_scales(covariances)
    assert quats.isfinite().all()
    assert math.isclose(float(scales.min()), math.log(1e-6), rel_tol=1e-6)
