"""gsplat's own functions in PyTorch, where it is installed, beside ours on the same scene."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.rendered_scenes import camera, everything, surfaces
from torch import Tensor

from leansplat.engines.torch import gsplat
from leansplat.engines.torch.projection import project, spherical_harmonics
from leansplat.gaussians import TENSOR_NAMES, Gaussians


def covariances_by_gsplat(scene: Gaussians) -> Tensor:
    found: Tensor = theirs()._quat_scale_to_covar_preci(scene.quats, scene.scales.exp(), compute_preci=False)[0]
    return found


def theirs() -> Any:
    return pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat==1.5.3")


@pytest.mark.parametrize("off_centre", [False, True])
@pytest.mark.parametrize("antialiased", [False, True])
def test_projection_and_covariances_are_gsplats(off_centre: bool, antialiased: bool) -> None:
    scene = everything()
    tensors: dict[str, Any] = {name: getattr(scene, name).double() for name in TENSOR_NAMES}
    scene = Gaussians(**tensors, antialiased=antialiased)
    view = camera(64, 48, off_centre=off_centre)
    covariances = covariances_by_gsplat(scene)
    radii, means, depths, conics, compensations = theirs()._fully_fused_projection(
        scene.means, covariances, view.world_to_camera[None], view.K[None], view.width, view.height,
        near_plane=0.2, calc_compensations=True,
    )  # fmt: skip
    rows = ((radii[0] > 0).all(dim=1) & (depths[0] > 0.21)).nonzero()[:, 0]
    ours = project(scene, view, 3, rows)
    assert len(rows) > 200
    torch.testing.assert_close(ours.means, means[0, rows], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.depths, depths[0, rows])
    inverse = torch.linalg.inv(ours.covariances).flatten(1)[:, [0, 1, 3]]
    torch.testing.assert_close(inverse, conics[0, rows], rtol=1e-6, atol=1e-9)
    opacities = scene.opacities.sigmoid()[rows] * (compensations[0, rows] if antialiased else 1)
    torch.testing.assert_close(ours.opacities, opacities, rtol=1e-4, atol=1e-6)
    # What the engine makes of gsplat's conics is the extent that statistics have.
    assert (gsplat._radii(conics[0, rows]) - ours.radii()).abs().max() <= 1
    again = project(scene, view, 3, rows, covariances)
    torch.testing.assert_close(again.covariances, ours.covariances, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_are_gsplats(degree: int) -> None:
    scene = surfaces(100, seed=3)
    coefficients = torch.cat([scene.sh0, scene.shN], dim=1).double()
    directions = torch.nn.functional.normalize(scene.means.double() - camera().position, dim=1)
    basis = spherical_harmonics(directions)[:, : (degree + 1) ** 2]
    ours = torch.einsum("mk,mkc->mc", basis, coefficients[:, : basis.shape[1]])
    torch.testing.assert_close(
        ours, theirs()._spherical_harmonics(degree, directions, coefficients), rtol=1e-6, atol=1e-6
    )
