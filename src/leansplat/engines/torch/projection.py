"""From Gaussians in space to Gaussians on the image, as PyTorch that autograd can differentiate.

Every step is written from its formula over whole arrays, in whatever precision the scene comes in. In float64 this is
also what the kernels of the CPU engine are tested against: it has no gradient code of its own that could be wrong in
the same way as theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.gaussians import TENSOR_NAMES, Gaussians

DILATION = 0.3
"""Added to both variances of every projected Gaussian, in square pixels."""

SMALLEST_ALPHA = 1 / 255

_LARGEST_DETERMINANT = 1e37


@dataclass(frozen=True)
class Projection:
    """M Gaussians on the image, front to back.

    Args:
        rows: (M,) which Gaussians of the scene they are.
        depths: (M,) view-space z.
        means: (M, 2) projected centres in pixels.
        covariances: (M, 2, 2) projected covariances in square pixels, dilated.
        opacities: (M,) opacity, with the antialiasing compensation where the scene asks for it.
        colors: (M, 3) colour seen from this camera, at least 0.
    """

    rows: Tensor
    depths: Tensor
    means: Tensor
    covariances: Tensor
    opacities: Tensor
    colors: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Tensor) -> Projection:
        """Some of them, by indices (K,)."""
        return Projection(**{name: values.index_select(0, chosen) for name, values in vars(self).items()})

    def half_extents(self) -> Tensor:
        """(M, 2) half the width and height in pixels of the box around where alpha is at least 1/255."""
        level = 2 * torch.log(self.opacities / SMALLEST_ALPHA)
        return (level.clamp(min=0)[:, None] * torch.diagonal(self.covariances, dim1=1, dim2=2)).sqrt()

    def radii(self) -> Tensor:
        """(M,) extent in pixels: three standard deviations along the long axis, rounded up."""
        a, b, c = self.covariances[:, 0, 0], self.covariances[:, 0, 1], self.covariances[:, 1, 1]
        return torch.ceil(3 * (0.5 * (a + c) + (0.25 * (a - c).square() + b.square()).sqrt()).sqrt())


def in_front(gaussians: Gaussians, camera: Camera) -> Tensor:
    """(M,) the Gaussians beyond the near plane, front to back, those at the very same depth in the scene's order."""
    forward = camera.world_to_camera[2].to(gaussians.means)
    depths = gaussians.means.detach() @ forward[:3] + forward[3]
    near = float(torch.tensor(camera.near, dtype=torch.float32))  # so that a mean exactly there is judged as elsewhere
    rows = torch.nonzero(depths > near)[:, 0]
    return rows[torch.argsort(depths[rows], stable=True)]


def visible(gaussians: Gaussians, camera: Camera, sh_degree: int) -> Tensor:
    """(M,) the Gaussians that `render` draws some of, front to back.

    Left out are those whose box, where alpha is at least 1/255, does not meet the image, and those with NaN or an
    infinity that means nothing.
    """
    with torch.no_grad():
        rows = in_front(gaussians, camera)
        sane = (gaussians.scales[rows] < math.inf).all(dim=1) & (gaussians.opacities[rows] <= math.inf)
        seen = project(gaussians, camera, sh_degree, rows[sane])
        half = seen.half_extents()
        size = torch.tensor([camera.width, camera.height], device=half.device)
        determinants = torch.linalg.det(seen.covariances)
        drawn = (seen.opacities > SMALLEST_ALPHA) & (determinants > 0) & (determinants < _LARGEST_DETERMINANT)
        drawn &= ((seen.means + half >= 0.5) & (seen.means - half <= size - 0.5)).all(dim=1)
        return seen.rows[drawn & seen.colors.sum(dim=1).isfinite()]


def project(
    gaussians: Gaussians, camera: Camera, sh_degree: int, rows: Tensor, covariances: Tensor | None = None
) -> Projection:
    """EWA projection (Zwicker et al. 2001) as 3DGS uses it, and the colours seen from the camera.

    Args:
        rows: (M,) which Gaussians, front to back; see `in_front`.
        covariances: (N, 3, 3) to use instead of those that rotations and scales make.
    """
    means, quats, scales, opacities, sh0, shN = (
        getattr(gaussians, name).index_select(0, rows) for name in TENSOR_NAMES
    )
    pose = camera.world_to_camera.to(means)
    rotation, translation = pose[:3, :3], pose[:3, 3]
    seen = means @ rotation.T + translation
    x, y, z = seen.unbind(dim=1)
    projected = torch.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], dim=1)

    # The affine approximation of perspective degrades off axis: its point of expansion stays near the image.
    slack_x, slack_y = 0.3 * 0.5 * camera.width / camera.fx, 0.3 * 0.5 * camera.height / camera.fy
    tangent_x = (x / z).clamp(-camera.cx / camera.fx - slack_x, (camera.width - camera.cx) / camera.fx + slack_x)
    tangent_y = (y / z).clamp(-camera.cy / camera.fy - slack_y, (camera.height - camera.cy) / camera.fy + slack_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [
            torch.stack([camera.fx / z, zero, -camera.fx * tangent_x / z], dim=1),
            torch.stack([zero, camera.fy / z, -camera.fy * tangent_y / z], dim=1),
        ],
        dim=1,
    )
    affine = jacobian @ rotation
    if covariances is None:
        footprint = affine @ (rotation_matrices(quats) * scales.exp()[:, None, :])
        sharp = footprint @ footprint.mT
        # Cauchy-Binet: det(B B^T) is the sum of the squared 2x2 minors of B, free of cancellation.
        determinants = torch.linalg.cross(footprint[:, 0], footprint[:, 1]).square().sum(dim=1)
    else:
        sharp = affine @ covariances.index_select(0, rows) @ affine.mT
        determinants = torch.linalg.det(sharp)
    dilated = sharp + DILATION * torch.eye(2).to(sharp)

    opacity = torch.sigmoid(opacities)
    if gaussians.antialiased:
        opacity = opacity * torch.sqrt(determinants / torch.linalg.det(dilated))

    directions = means - camera.position.to(means)
    directions = directions / directions.norm(dim=1, keepdim=True)
    basis = spherical_harmonics(directions)[:, : (sh_degree + 1) ** 2]
    coefficients = torch.cat([sh0, shN], dim=1)[:, : basis.shape[1]]
    colors = (torch.einsum("mk,mkc->mc", basis, coefficients) + 0.5).clamp(min=0)
    return Projection(rows, z, projected, dilated, opacity, colors)


def rotation_matrices(quats: Tensor) -> Tensor:
    """(M, 3, 3) rotations of quaternions (M, 4) wxyz of any length but zero."""
    w, x, y, z = (quats / quats.norm(dim=1, keepdim=True)).unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def spherical_harmonics(directions: Tensor) -> Tensor:
    """(M, 16) real spherical harmonics of degree 0 to 3 at unit vectors (M, 3), with the signs 3DGS files use."""
    x, y, z = directions.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    pi = math.pi
    return torch.stack(
        [
            torch.full_like(x, math.sqrt(1 / pi) / 2),
            -math.sqrt(3 / pi) / 2 * y,
            math.sqrt(3 / pi) / 2 * z,
            -math.sqrt(3 / pi) / 2 * x,
            math.sqrt(15 / pi) / 2 * x * y,
            -math.sqrt(15 / pi) / 2 * y * z,
            math.sqrt(5 / pi) / 4 * (2 * zz - xx - yy),
            -math.sqrt(15 / pi) / 2 * x * z,
            math.sqrt(15 / pi) / 4 * (xx - yy),
            -math.sqrt(35 / (2 * pi)) / 4 * y * (3 * xx - yy),
            math.sqrt(105 / pi) / 2 * x * y * z,
            -math.sqrt(21 / (2 * pi)) / 4 * y * (4 * zz - xx - yy),
            math.sqrt(7 / pi) / 4 * z * (2 * zz - 3 * xx - 3 * yy),
            -math.sqrt(21 / (2 * pi)) / 4 * x * (4 * zz - xx - yy),
            math.sqrt(105 / pi) / 4 * z * (xx - yy),
            -math.sqrt(35 / (2 * pi)) / 4 * x * (xx - 3 * yy),
        ],
        dim=1,
    )
