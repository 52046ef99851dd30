"""The depth of a view, as `engines.engine.Rendering` defines it, over whole arrays of Gaussians and pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.engine import Depth
from leansplat.engines.torch.blending import blend, tiles
from leansplat.engines.torch.projection import project, visible
from leansplat.gaussians import Gaussians


def depth_image(gaussians: Gaussians, camera: Camera, sh_degree: int, depth: Depth) -> Tensor:
    """(H, W) depths of a scene, without gradients.

    Args:
        camera: relative to the scene's origin.
        sh_degree: of the image that it is the depth of, in which a Gaussian whose colour means nothing is left out.
    """
    with torch.no_grad():
        projection = project(gaussians, camera, 0, visible(gaussians, camera, sh_degree))
        picture = gaussians.means.new_zeros(camera.height, camera.width)
        for tile in tiles(projection, camera):
            seen = projection[tile.chosen]
            blended = blend(seen, tile.pixels)
            z = seen.depths[:, None]
            if depth == "expected":
                total = blended.weights.sum(dim=0)
                found = (blended.weights * z).sum(dim=0) / total.where(total > 0, 1.0)
            else:
                halves = blended.drawn & (blended.before > 0.5) & (blended.after <= 0.5)
                found = (halves * z).sum(dim=0)
            picture[tile.lines, tile.columns] = found.reshape(picture[tile.lines, tile.columns].shape)
        return picture
