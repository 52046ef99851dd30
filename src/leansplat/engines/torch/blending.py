"""Blending projected Gaussians front to back at some pixels: the formula, over a whole array of Gaussians and pixels.

It takes memory for every pair of Gaussian and pixel, so a large image is gone through in tiles, each with those
Gaussians that can reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.torch.projection import SMALLEST_ALPHA, Projection

LARGEST_ALPHA = 0.99
SMALLEST_TRANSMITTANCE = 1e-4

_TILE = 16


@dataclass(frozen=True)
class Blending:
    """M Gaussians at P pixels.

    Args:
        brightness: (M, P) alpha of every Gaussian at every pixel, before any threshold.
        reaches: (M, P) bool, whether that is enough to be drawn.
        alphas: (M, P) alpha after threshold and cap.
        before, after: (M, P) transmittance in front of a Gaussian and behind it, as if no pixel ended early.
        drawn: (M, P) bool, which Gaussians are blended.
        weights: (M, P) blending weights alpha T, zero where a Gaussian is not drawn.
        transmittance: (P,) how much of the background is seen.
    """

    brightness: Tensor
    reaches: Tensor
    alphas: Tensor
    before: Tensor
    after: Tensor
    drawn: Tensor
    weights: Tensor
    transmittance: Tensor


def blend(projection: Projection, pixels: Tensor, falloff: Callable[[Tensor], Tensor] = torch.exp) -> Blending:
    """Blend Gaussians at pixel centres.

    Args:
        pixels: (P, 2) x and y.
        falloff: from minus half the squared distance in standard deviations to alpha / opacity.
    """
    offsets = pixels - projection.means[:, None]
    inverse = torch.linalg.inv(projection.covariances)
    power = -0.5 * torch.einsum("mpi,mij,mpj->mp", offsets, inverse, offsets)
    brightness = projection.opacities[:, None] * falloff(power)

    # A skipped Gaussian has weight zero and lets all light through. Transmittance only falls, so "stop before it would
    # drop below the limit" is the same as skipping every Gaussian after which it would be below.
    reaches = brightness.detach() >= SMALLEST_ALPHA
    alphas = torch.where(reaches, brightness.clamp(max=LARGEST_ALPHA), 0.0)
    after = torch.cumprod(1 - alphas, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(after) else after
    drawn = reaches & (after.detach() >= SMALLEST_TRANSMITTANCE)
    weights = torch.where(drawn, alphas * before, 0.0)
    transmittance = torch.where(drawn, 1 - alphas, 1.0).prod(dim=0)
    return Blending(brightness, reaches, alphas, before, after, drawn, weights, transmittance)


def pixel_centres(left: int, top: int, width: int, height: int, like: Tensor) -> Tensor:
    """(height, width, 2) x and y of the pixel centres of a rectangle, of the type and on the device of `like`."""
    rows, columns = torch.meshgrid(
        torch.arange(top, top + height).to(like) + 0.5, torch.arange(left, left + width).to(like) + 0.5, indexing="ij"
    )
    return torch.stack([columns, rows], dim=-1)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image.

    Args:
        lines, columns: of the image.
        chosen: (K,) indices of the projected Gaussians whose boxes meet it, front to back.
        pixels: (P, 2) its pixel centres, line by line.
    """

    lines: slice
    columns: slice
    chosen: Tensor
    pixels: Tensor


def tiles(projection: Projection, camera: Camera) -> Iterator[Tile]:
    """The tiles of an image, line by line from the top left."""
    means, half = projection.means.detach(), projection.half_extents().detach()
    for top in range(0, camera.height, _TILE):
        for left in range(0, camera.width, _TILE):
            height, width = min(_TILE, camera.height - top), min(_TILE, camera.width - left)
            low = torch.tensor([left, top]).to(means) + 0.5
            high = torch.tensor([left + width, top + height]).to(means) - 0.5
            # A pixel of room: rounding may not leave out what blending would draw.
            meets = ((means + half + 1 >= low) & (means - half - 1 <= high)).all(dim=1)
            pixels = pixel_centres(left, top, width, height, means).reshape(-1, 2)
            yield Tile(slice(top, top + height), slice(left, left + width), meets.nonzero()[:, 0], pixels)
