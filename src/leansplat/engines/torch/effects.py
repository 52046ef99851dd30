"""What each Gaussian does in a view, from the formulas of blending, a tile at a time: its weights, and its absence.

With c_i a Gaussian's colour, T_i the transmittance in front of it and R_i the light that comes from behind it, the
background included, a pixel changes without it by -alpha_i d_i, d_i = T_i c_i - R_i / (1 - alpha_i).
"""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.torch.blending import Blending, blend, tiles
from leansplat.engines.torch.projection import Projection, project, visible
from leansplat.gaussians import Gaussians


@torch.no_grad()
def add_blending_weights(
    gaussians: Gaussians, camera: Camera, mask: Tensor | None, total: Tensor, largest: Tensor
) -> None:
    """Add the blending weights of a view, in the pixels (H, W) where `mask` is true, to sums (N,) and maxima (N,)."""
    projection = project(gaussians, camera, 0, visible(gaussians, camera, gaussians.sh_degree))
    for tile in tiles(projection, camera):
        rows = projection.rows[tile.chosen]
        weights = blend(projection[tile.chosen], tile.pixels).weights
        if mask is not None:
            weights = weights * mask[tile.lines, tile.columns].reshape(-1)
        total[rows] += weights.sum(dim=1)
        largest[rows] = torch.maximum(largest[rows], weights.amax(dim=1))


@torch.no_grad()
def add_removal_effects(
    gaussians: Gaussians,
    camera: Camera,
    photo: Tensor,
    background: Tensor,
    mask: Tensor | None,
    effects: RemovalEffects,
) -> None:
    """Add what a view would lose without each Gaussian to `effects`, in place.

    Args:
        photo: (H, W, 3) in [0, 1].
        mask: (H, W) bool, true where a pixel counts; None where all do.
    """
    degree = gaussians.sh_degree
    projection = project(gaussians, camera, degree, visible(gaussians, camera, degree))
    for tile in tiles(projection, camera):
        seen = projection[tile.chosen]
        blended = blend(seen, tile.pixels)
        target = photo[tile.lines, tile.columns].reshape(-1, 3)
        counts = blended.drawn
        if mask is not None:
            counts = counts & mask[tile.lines, tile.columns].reshape(-1)
        _add(effects, seen, blended, target, background, counts)


def _add(
    effects: RemovalEffects,
    seen: Projection,
    blended: Blending,
    target: Tensor,
    background: Tensor,
    counts: Tensor,
) -> None:
    light = blended.weights[..., None] * seen.colors[:, None]
    image = light.sum(dim=0) + blended.transmittance[:, None] * background
    behind = image - light.cumsum(dim=0)
    d = blended.before[..., None] * seen.colors[:, None] - behind / (1 - blended.alphas[..., None])
    square = d.square().sum(dim=2)
    along_error = (d * (image - target)).sum(dim=2)
    per_pair = {
        "change": blended.alphas.square() * square,
        "slope": -2 * blended.alphas * along_error,
        "value_gradient": seen.opacities[:, None].square() * square,
        "visibility": seen.opacities[:, None] * blended.before,
    }
    for name, values in per_pair.items():
        getattr(effects, name)[seen.rows] += torch.where(counts, values, 0.0).sum(dim=1)
