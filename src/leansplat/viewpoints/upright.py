"""Which way is up, so that pictures have a level horizon.

People carry a camera at one height over a floor. So the vertical is the line along which cameras differ least and which
most flat Gaussians face; and down is where what lies flat is nearer, a floor rather than a ceiling.
"""

from __future__ import annotations

import numpy as np

from leansplat.activation import opacity_of, unit
from leansplat.arrays import GaussianArrays
from leansplat.viewpoints.trained_directions import evenly_spread

_TRIED = evenly_spread(2000)
_MOST = 50_000
_USUAL = np.array([0.0, -1.0, 0.0])
"""Up in scenes from COLMAP's photos and in most viewers; told by nothing but that."""
_PARTS = 20
"""Parts of them, of which one is compared with all Gaussians at a time."""


def up_direction(scene: GaussianArrays, places: np.ndarray, known: bool) -> np.ndarray:
    """(3,) unit vector.

    Args:
        scene: at least one Gaussian, all finite.
        places: (P, 3) where cameras are, relative to the scene's origin.
        known: whether these are the scene's own, and not anybody's.
    """
    scene = scene[:: -(-len(scene) // _MOST)]
    normals, weights = _flat_sides(scene)
    facing = np.concatenate([_facing(part, normals) @ weights for part in np.array_split(_TRIED, _PARTS)])
    likely = facing / max(float(facing.max()), 1e-12)
    if not known:
        axis = _TRIED[int((likely + np.abs(_TRIED @ _USUAL)).argmax())]
        return axis if float(axis @ _USUAL) > 0 else -axis
    spread = ((places - places.mean(axis=0)) @ _TRIED.T).std(axis=0)
    likely += 1 - spread / max(float(spread.max()), 1e-12)
    axis = _TRIED[int(likely.argmax())]
    # What lies flat is a floor where most of it, as large as it looks, is below the cameras.
    weights = weights * _facing(axis, normals)
    above = 0.0
    for place in places:
        offsets = scene.means - place
        squares = (offsets**2).sum(axis=1)
        softening = 0.01 * float(np.median(squares)) + 1e-30
        above += float((weights / (squares + softening) ** 1.5) @ (offsets @ axis))
    return -axis if above > 0 else axis


def _facing(axes: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(..., N) how much flat Gaussians count for verticals (..., 3): by the eighth power of the cosine, which is to say
    within some 20 degrees."""
    squares = (axes @ normals.T) ** 2
    squares *= squares
    squares *= squares
    return squares


def _flat_sides(scene: GaussianArrays) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) the direction in which each Gaussian is thinnest, and (N,) how flat, large and opaque it is."""
    scales = scene.scales.astype(np.float64)
    order = np.argsort(scales, axis=1)
    w, x, y, z = unit(scene.quats).T
    columns = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1),
            np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], axis=1),
            np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )
    normals = np.take_along_axis(columns, order[:, :1, None], axis=1)[:, 0]
    small, middle, large = np.exp(np.take_along_axis(scales, order, axis=1)).T
    # Without a limit, a few Gaussians as large as the sky would decide.
    area = np.minimum(middle * large, np.quantile(middle * large, 0.9))
    return normals, opacity_of(scene.opacities) * (1 - small / np.maximum(middle, 1e-30)) * area
