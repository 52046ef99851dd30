"""The depth of each pixel, from the formulas of blending, a tile at a time; `engines.engine.Rendering` says which."""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.engine import Depth
from leansplat.engines.torch.blending import Blending, blend, tiles
from leansplat.engines.torch.projection import project, visible
from leansplat.gaussians import Gaussians


@torch.no_grad()
def depth_image(gaussians: Gaussians, camera: Camera, depth: Depth) -> Tensor:
    """(H, W) depth in world units, 0 where there is none.

    Args:
        camera: relative to the scene's origin.

    Raises:
        ValueError: there is no such depth.
    """
    if depth not in _DEPTHS:
        raise ValueError(f"depth is {depth!r}; it is 'expected' or 'median'")
    image = gaussians.means.new_zeros(camera.height, camera.width)
    projection = project(gaussians, camera, 0, visible(gaussians, camera, gaussians.sh_degree))
    for tile in tiles(projection, camera):
        seen = projection[tile.chosen]
        if len(seen):
            place = image[tile.lines, tile.columns]
            place.copy_(_DEPTHS[depth](seen.depths[:, None], blend(seen, tile.pixels)).reshape(place.shape))
    return image


def _expected(depths: Tensor, blended: Blending) -> Tensor:
    total = blended.weights.sum(dim=0)
    return torch.where(total > 0, (blended.weights * depths).sum(dim=0) / total, 0.0)


def _median(depths: Tensor, blended: Blending) -> Tensor:
    left = torch.where(blended.drawn, 1 - blended.alphas, 1.0).cumprod(dim=0)
    first = blended.drawn & (left <= 0.5)
    return torch.where(first.any(dim=0), depths[first.int().argmax(dim=0), 0], 0.0)


_DEPTHS = {"expected": _expected, "median": _median}
