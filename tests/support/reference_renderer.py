"""The renderer once more, as plain float64 PyTorch that autograd can differentiate: what kernels are tested against.

Every step is written from its formula over whole (M, H, W) arrays, so it is slow, takes memory for every pair of
Gaussian and pixel, and has no gradient code of its own that could be wrong in the same way as the kernels'. It also
says at which pixels the answer hangs on rounding (a blending decision within a hair of its threshold), so that a test
can leave those out and be strict about all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.gaussians import TENSOR_NAMES, Gaussians

NEAR_PLANE = float(torch.tensor(0.2, dtype=torch.float32))
"""View-space depth a Gaussian must exceed; 0.2 as float32 has it, so that a mean exactly there is judged alike."""

DILATION = 0.3
"""Added to both variances of every projected Gaussian, in square pixels."""

SMALLEST_ALPHA = 1 / 255
LARGEST_ALPHA = 0.99
SMALLEST_TRANSMITTANCE = 1e-4


@dataclass(frozen=True)
class Projection:
    """The M Gaussians in front of the camera, front to back.

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


@dataclass(frozen=True)
class Reference:
    """A reference render.

    Args:
        image: (H, W, 3) and alpha: (H, W), float64.
        alphas: (M, H, W) alpha of every Gaussian at every pixel, before any threshold; rows as in `projection`.
        weights: (M, H, W) blending weights alpha T, zero where a Gaussian is skipped.
        decided: (H, W) bool, pixels where no decision (alpha threshold and cap, early stop, depth order) is so close
            that float32 rounding may turn it.
    """

    image: Tensor
    alpha: Tensor
    projection: Projection
    alphas: Tensor
    weights: Tensor
    decided: Tensor


def render_reference(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sh_degree: int | None = None,
    margin: float = 1e-4,
    falloff: Callable[[Tensor], Tensor] = torch.exp,
    covariances: Tensor | None = None,
) -> Reference:
    """Render a small scene in float64, differentiably in all six tensors.

    Args:
        sh_degree: highest spherical harmonics degree to use; None uses all that are stored.
        margin: relative distance to a threshold below which a pixel counts as undecided.
        falloff: from minus half the squared distance in standard deviations to alpha / opacity.
        covariances: (N, 3, 3) positive definite, to use instead of those that rotations and scales make.
    """
    degree = gaussians.sh_degree if sh_degree is None else sh_degree
    projection = project(gaussians, camera, degree, covariances)
    rows, columns = torch.meshgrid(
        torch.arange(camera.height, dtype=torch.float64) + 0.5,
        torch.arange(camera.width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    pixels = torch.stack([columns, rows], dim=-1)
    offsets = pixels - projection.means[:, None, None]
    inverse = torch.linalg.inv(projection.covariances)
    power = -0.5 * torch.einsum("mhwi,mij,mhwj->mhw", offsets, inverse, offsets)
    alphas = projection.opacities[:, None, None] * falloff(power)

    # A skipped Gaussian has weight zero and lets all light through. Transmittance only falls, so "stop before it would
    # drop below the limit" is the same as skipping every Gaussian after which it would be below.
    reaches = alphas.detach() >= SMALLEST_ALPHA
    opaque = torch.where(reaches, alphas.clamp(max=LARGEST_ALPHA), 0.0)
    after = torch.cumprod(1 - opaque, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(after) else after
    blended = reaches & (after.detach() >= SMALLEST_TRANSMITTANCE)
    weights = torch.where(blended, opaque * before, 0.0)
    transmittance = torch.where(blended, 1 - opaque, 1.0).prod(dim=0)

    image = torch.einsum("mhw,mc->hwc", weights, projection.colors)
    image = image + transmittance[..., None] * torch.tensor(background, dtype=torch.float64)
    decided = _decided(alphas.detach(), before.detach(), after.detach(), reaches, projection.depths.detach(), margin)
    return Reference(image, 1 - transmittance, projection, alphas, weights, decided)


def project(gaussians: Gaussians, camera: Camera, sh_degree: int, covariances: Tensor | None = None) -> Projection:
    """EWA projection (Zwicker et al. 2001) as 3DGS uses it, and the colours seen from the camera."""
    rotation, translation = camera.world_to_camera[:3, :3], camera.world_to_camera[:3, 3]
    depths = (gaussians.means.detach().double() @ rotation.T + translation)[:, 2]
    rows = torch.nonzero(depths > NEAR_PLANE)[:, 0]
    rows = rows[torch.argsort(depths[rows], stable=True)]
    means, quats, scales, opacities, sh0, shN = (getattr(gaussians, name)[rows].double() for name in TENSOR_NAMES)

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
    axes = rotation_matrices(quats) * scales.exp()[:, None, :]
    if covariances is not None:
        axes = torch.linalg.cholesky(covariances[rows])
    footprint = jacobian @ rotation @ axes
    sharp = footprint @ footprint.mT
    dilated = sharp + DILATION * torch.eye(2, dtype=torch.float64)

    opacity = torch.sigmoid(opacities)
    if gaussians.antialiased:
        # Cauchy-Binet: det(B B^T) is the sum of the squared 2x2 minors of B, free of cancellation.
        determinant = torch.linalg.cross(footprint[:, 0], footprint[:, 1]).square().sum(dim=1)
        opacity = opacity * torch.sqrt(determinant / torch.linalg.det(dilated))

    directions = means - camera.position
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


def radii(projection: Projection) -> Tensor:
    """(M,) extent in pixels: three standard deviations along the long axis, rounded up."""
    return torch.ceil(3 * torch.linalg.eigvalsh(projection.covariances)[:, 1].sqrt())


def reaches_image(reference: Reference, camera: Camera) -> tuple[Tensor, Tensor]:
    """Bounds on "the Gaussian reaches the image": (M,) bool that must hold, and (M,) bool outside of which it must not.

    It surely does where a pixel centre has alpha of at least 1/255, and surely not where the box around the ellipse
    alpha = 1/255 lies outside the image. A renderer may settle the cases between as it likes.
    """
    projection = reference.projection
    surely = (reference.alphas.detach() >= SMALLEST_ALPHA).any(dim=2).any(dim=1)
    level = 2 * torch.log(projection.opacities / SMALLEST_ALPHA)
    half = (level.clamp(min=0)[:, None] * torch.diagonal(projection.covariances, dim1=1, dim2=2)).sqrt()
    size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
    overlaps = ((projection.means + half > 0) & (projection.means - half < size)).all(dim=1)
    return surely, (level > 0) & overlaps


def in_double(gaussians: Gaussians, *, requires_grad: bool = False) -> Gaussians:
    """A float64 copy of a scene, as leaves of autograd when gradients are wanted."""
    tensors = [getattr(gaussians, name).detach().double().requires_grad_(requires_grad) for name in TENSOR_NAMES]
    return Gaussians(*tensors, antialiased=gaussians.antialiased)


def covariance_leaves(gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """Covariances of a float64 scene: (N, 6) leaves xx, xy, xz, yy, yz, zz of autograd, and (N, 3, 3) made of them."""
    axes = rotation_matrices(gaussians.quats.detach()) * gaussians.scales.detach().exp()[:, None]
    rows, columns = torch.triu_indices(3, 3)
    leaves = (axes @ axes.mT)[:, rows, columns].requires_grad_()
    covariances = torch.zeros(len(gaussians), 3, 3, dtype=torch.float64)
    covariances[:, rows, columns] = leaves
    covariances[:, columns, rows] = leaves
    return leaves, covariances


def loss_weights(decided: Tensor, *, image: bool = True, alpha: bool = True) -> tuple[Tensor, Tensor]:
    """Random weights (H, W, 3) for the image and (H, W) for alpha, zero at undecided pixels: a linear loss in both.

    At an undecided pixel one float32 rounding may add or drop a Gaussian of alpha 1/255; nothing could be said
    about the gradient there, so no gradient is sent there.
    """
    random = torch.Generator().manual_seed(17)
    height, width = decided.shape
    image_weights = torch.randn(height, width, 3, generator=random) * decided[..., None] * image
    alpha_weights = torch.randn(height, width, generator=random) * decided * alpha
    return image_weights, alpha_weights


def _decided(alphas: Tensor, before: Tensor, after: Tensor, reaches: Tensor, depths: Tensor, margin: float) -> Tensor:
    alive = before >= SMALLEST_TRANSMITTANCE * (1 - margin)
    near_threshold = (alphas / SMALLEST_ALPHA - 1).abs() < margin
    near_cap = (alphas / LARGEST_ALPHA - 1).abs() < margin
    # Transmittance carries the rounding of every factor in it, so its margin is wider.
    near_stop = reaches & ((after / SMALLEST_TRANSMITTANCE - 1).abs() < 10 * margin)
    doubtful = (alive & (near_threshold | near_cap | near_stop)).any(dim=0)
    # Gaussians at the very same depth blend in the order of the scene, but ones a rounding error apart may swap.
    gap = depths.diff()
    swappable = (gap > 0) & (gap < 1e-6 * depths[1:])
    doubtful |= (swappable[:, None, None] & alive[1:] & reaches[1:] & reaches[:-1]).any(dim=0)
    return ~doubtful
