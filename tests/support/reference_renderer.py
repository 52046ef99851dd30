"""The renderer once more, as plain float64 PyTorch that autograd can differentiate: what kernels are tested against.

It is the torch engine's projection and blending, over a whole image at once. Here it also says at which pixels the
answer hangs on rounding (a blending decision within a hair of its threshold), so that a test can leave those out and be
strict about all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.torch.blending import LARGEST_ALPHA, SMALLEST_TRANSMITTANCE, Blending, blend, pixel_centres
from leansplat.engines.torch.projection import (
    SMALLEST_ALPHA,
    Projection,
    in_front,
    project,
    rotation_matrices,
)
from leansplat.gaussians import TENSOR_NAMES, Gaussians


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
    double = gaussians._map(torch.Tensor.double)
    projection = project(double, camera, degree, in_front(double, camera), covariances)
    pixels = pixel_centres(0, 0, camera.width, camera.height, projection.means)
    blended = blend(projection, pixels.reshape(-1, 2), falloff)
    transmittance = blended.transmittance.reshape(camera.height, camera.width)
    image = torch.einsum("mp,mc->pc", blended.weights, projection.colors).reshape(*pixels.shape[:2], 3)
    image = image + transmittance[..., None] * torch.tensor(background, dtype=torch.float64)
    alphas, weights = (
        values.reshape(len(projection), camera.height, camera.width) for values in (blended.brightness, blended.weights)
    )
    decided = _decided(blended, projection.depths.detach(), margin).reshape(camera.height, camera.width)
    return Reference(image, 1 - transmittance, projection, alphas, weights, decided)


def reaches_image(reference: Reference, camera: Camera) -> tuple[Tensor, Tensor]:
    """Bounds on "the Gaussian reaches the image": (M,) bool that must hold, and (M,) bool outside of which it must not.

    It surely does where a pixel centre has alpha of at least 1/255, and surely not where the box around the ellipse
    alpha = 1/255 lies outside the image. A renderer may settle the cases between as it likes.
    """
    projection = reference.projection
    half = projection.half_extents()
    surely = (reference.alphas.detach() >= SMALLEST_ALPHA).any(dim=2).any(dim=1)
    size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
    overlaps = ((projection.means + half > 0) & (projection.means - half < size)).all(dim=1)
    return surely, (projection.opacities > SMALLEST_ALPHA) & overlaps


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


def _decided(blended: Blending, depths: Tensor, margin: float) -> Tensor:
    alphas, after, reaches = blended.brightness.detach(), blended.after.detach(), blended.reaches
    alive = blended.before.detach() >= SMALLEST_TRANSMITTANCE * (1 - margin)
    near_threshold = (alphas / SMALLEST_ALPHA - 1).abs() < margin
    near_cap = (alphas / LARGEST_ALPHA - 1).abs() < margin
    # Transmittance carries the rounding of every factor in it, so its margin is wider.
    near_stop = reaches & ((after / SMALLEST_TRANSMITTANCE - 1).abs() < 10 * margin)
    doubtful = (alive & (near_threshold | near_cap | near_stop)).any(dim=0)
    # Gaussians at the very same depth blend in the order of the scene, but ones a rounding error apart may swap.
    gap = depths.diff()
    swappable = (gap > 0) & (gap < 1e-6 * depths[1:])
    doubtful |= (swappable[:, None] & alive[1:] & reaches[1:] & reaches[:-1]).any(dim=0)
    return ~doubtful


def depths(reference: Reference) -> tuple[Tensor, Tensor]:
    """The expected and the median depth (H, W) of each pixel, 0 where there is none.

    The mean of z over the blending weights; and the z of the Gaussian at which transmittance falls to a half.
    """
    z, weights = reference.projection.depths.detach()[:, None, None], reference.weights.detach()
    total = weights.sum(dim=0)
    expected = torch.where(total > 0, (weights * z).sum(dim=0) / total.clamp(min=1e-30), 0.0)
    covered = weights.cumsum(dim=0) >= 0.5
    first = covered & (covered.cumsum(dim=0) == 1)
    return expected, (first * z).sum(dim=0)
