"""Merging pairs: mass, mean and covariance against sums over samples and matrices written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.rendered_scenes import scene, surfaces

from leansplat.gaussians import Gaussians
from leansplat.merging import simplify
from leansplat.merging.moments import AREA, OPACITY, axes, merge_pairs, moments


def covariance_of(gaussians: Gaussians) -> np.ndarray:
    """(N, 3, 3) float64, R S S R^T with the rotation by quaternion conjugation of the unit vectors."""
    q = torch.nn.functional.normalize(gaussians.quats.double(), dim=1).numpy()
    turned = np.zeros((len(q), 3, 3))
    for axis in range(3):
        w, v = q[:, :1], q[:, 1:]
        unit = np.eye(3)[axis]
        turned[:, :, axis] = unit + 2 * np.cross(v, np.cross(v, unit) + w * unit)
    sizes = gaussians.scales.double().exp().numpy()
    return np.einsum("nik,nk,njk->nij", turned, sizes**2, turned)


def masses(gaussians: Gaussians) -> np.ndarray:
    sizes = np.sort(gaussians.scales.double().exp().numpy(), axis=1)
    return gaussians.opacities.double().sigmoid().numpy() * sizes[:, 1] * sizes[:, 2]


def test_moments_are_those_of_the_matrices_written_out() -> None:
    gaussians = surfaces(50)
    rows = moments(gaussians.arrays())
    upper = covariance_of(gaussians)[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    np.testing.assert_allclose(rows[:, 3:9], upper, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(rows[:, OPACITY] * rows[:, AREA], masses(gaussians), rtol=1e-6)


def test_axes_take_a_matrix_apart_as_lapack_does() -> None:
    random = np.random.default_rng(0)
    for scales in ([1, 1, 1], [1, 1e-3, 1e-6], [5, 5, 1e-9], [2, 1, 0]):
        basis = np.linalg.qr(random.normal(size=(3, 3)))[0]
        matrix = basis @ np.diag(np.array(scales, float) ** 2) @ basis.T
        values, vectors = np.empty(3), np.empty((3, 3))
        axes(matrix.copy(), values, vectors)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1].clip(0), atol=1e-12 * values[0])
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-12 * values[0])
        assert np.linalg.det(vectors) == pytest.approx(1)


@pytest.mark.parametrize("sh_degree", range(4))
def test_a_merged_pair_has_the_mass_the_mean_and_the_covariance_of_both(sh_degree: int) -> None:
    two = surfaces(2, sh_degree=sh_degree)
    two.opacities[:] = torch.tensor([-3.0, -2.0])
    one = simplify(two, 1).gaussians
    mass = masses(two)
    share = mass / mass.sum()
    mean = share @ two.means.double().numpy()
    offsets = two.means.double().numpy() - mean
    covariance = np.einsum("n,nij->ij", share, covariance_of(two) + np.einsum("ni,nj->nij", offsets, offsets))
    np.testing.assert_allclose(one.means[0], mean, rtol=1e-6)
    np.testing.assert_allclose(covariance_of(one)[0], covariance, rtol=1e-5, atol=1e-6 * np.trace(covariance))
    assert masses(one)[0] == pytest.approx(mass.sum(), rel=1e-5)
    for name in ("sh0", "shN"):
        mixed = np.einsum("n,nkc->kc", share, getattr(two, name).double().numpy())
        np.testing.assert_allclose(getattr(one, name)[0], mixed, atol=1e-6)


def test_more_mass_than_the_area_holds_makes_an_opaque_gaussian() -> None:
    two = scene(torch.zeros(2, 3), opacities=torch.full((2,), 3.0))
    one = simplify(two, 1).gaussians
    assert 0.999 < float(one.opacities.sigmoid()[0]) < 1


def test_two_gaussians_without_mass_become_one_in_the_middle() -> None:
    rows = np.zeros((2, 11))
    rows[1, 0] = 2.0
    means, quats, scales, opacities, shares = (np.empty(shape) for shape in ((1, 3), (1, 4), (1, 3), 1, 1))
    merge_pairs(rows, np.array([0]), np.array([1]), means, quats, scales, opacities, shares)
    np.testing.assert_allclose(means, [[1, 0, 0]])
    np.testing.assert_allclose(scales, [[1, 0, 0]], atol=1e-12)
    assert np.isfinite(quats).all()
    assert 0 <= opacities[0] <= 1
