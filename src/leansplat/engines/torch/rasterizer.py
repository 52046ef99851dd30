"""`rasterise`: a scene as an image, in PyTorch that one can read. What else draws Gaussians can take its place.

A rasteriser of another package becomes one for the torch engine in a dozen lines: call it, and say which Gaussians it
drew, where on the image, and how large. The engine takes gradients by autograd, that of the centres on the image too.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from leansplat.cameras import Camera
from leansplat.engines.torch.blending import blend, tiles
from leansplat.engines.torch.projection import Projection, project, visible
from leansplat.gaussians import Gaussians


class Rasterised(NamedTuple):
    """A view, and what was drawn in it.

    Args:
        image: (H, W, 3), not clamped; alpha: (H, W).
        rows: (M,) int64, the Gaussians that reach the image; each once.
        means: (M, 2) their centres on the image in pixels, on the way from the scene to the image in autograd's graph.
        radii: (M,) their extents in pixels: three standard deviations of the long axis, rounded up.
        places: (M,) int64, where there are other centres too among `means`: then it is (..., 2), and these are the
            lines of theirs.
    """

    image: Tensor
    alpha: Tensor
    rows: Tensor
    means: Tensor
    radii: Tensor
    places: Tensor | None = None


class Rasteriser(Protocol):
    """Draws scenes, differentiably in their tensors."""

    def __call__(
        self,
        gaussians: Gaussians,
        camera: Camera,
        background: Tensor,
        sh_degree: int,
        covariances: Tensor | None = None,
        /,
    ) -> Rasterised:
        """A view of a scene.

        Args:
            camera: relative to the scene's origin.
            background: (3,).
            sh_degree: highest degree of spherical harmonics to render.
            covariances: (N, 3, 3) to use instead of those that rotations and scales make.
        """


def rasterise(
    gaussians: Gaussians,
    camera: Camera,
    background: Tensor,
    sh_degree: int,
    covariances: Tensor | None = None,
    /,
) -> Rasterised:
    """See `Rasteriser`. It goes through the image in tiles and keeps nothing of one for the backward pass, which
    computes it again: memory is for the pairs of Gaussians and pixels of one tile."""
    projection = project(gaussians, camera, sh_degree, visible(gaussians, camera, sh_degree), covariances)
    image, alpha = picture(projection, camera, background)
    return Rasterised(image, alpha, projection.rows, projection.means, projection.radii().detach())


def picture(projection: Projection, camera: Camera, background: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W, 3) image and (H, W) alpha of projected Gaussians."""
    lines: dict[int, list[Tensor]] = {}
    for tile in tiles(projection, camera):
        drawn: Tensor = checkpoint(_draw, projection[tile.chosen], tile.pixels, background, use_reentrant=False)
        height = tile.lines.stop - tile.lines.start
        lines.setdefault(tile.lines.start, []).append(drawn.reshape(height, -1, 4))
    whole = torch.cat([torch.cat(line, dim=1) for line in lines.values()])
    return whole[..., :3], 1 - whole[..., 3]


def _draw(projection: Projection, pixels: Tensor, background: Tensor) -> Tensor:
    """(P, 4) colour and transmittance of pixels."""
    blended = blend(projection, pixels)
    transmittance = blended.transmittance[:, None]
    return torch.cat([blended.weights.T @ projection.colors + transmittance * background, transmittance], dim=1)
