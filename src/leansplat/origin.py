"""Where the zero of a scene's positions lies, so that float32 can hold them however far out the scene is.

The steps of float32 grow with the distance from zero: at the coordinates of a map they are a quarter of a unit, and a
Gaussian is ten times smaller. So a scene far out is held relative to an `origin` near it. Cameras stay in world
coordinates, in float64, and whatever draws a scene takes them relative to its origin: no scene and capture can disagree
about where they are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leansplat.arrays import WORLD, GaussianArrays, Origin, median

if TYPE_CHECKING:
    from torch import Tensor

    from leansplat.cameras import Camera

_OF_A_PIXEL = 1 / 64
"""Steps that positions may be apart, seen from the cameras of a capture."""

_OF_A_GAUSSIAN = 1 / 16
"""Steps that positions may be apart, in the size of a scene's Gaussians; SPZ's are as fine."""

_FAR = 8
"""Distance from zero, in sizes of what lies there, below which another origin would make float32 hardly finer."""

_APART = 16
"""Distance of a scene from the cameras, in the sizes of both, from which it is hardly theirs."""

_MOST_ROWS = 1 << 12
"""Positions looked at to find where a scene is; medians of more would say the same."""

_log = logging.getLogger("leansplat")


def origin_of_capture(cameras: Sequence[Camera], points: Tensor | None = None) -> Origin:
    """Where to put the zero of a scene that is seen by some cameras.

    That is `WORLD` unless float32 would move what they see by a notable part of a pixel. Medians decide, so that single
    cameras and points that are far off do not.

    Args:
        cameras: at least one.
        points: (P, 3) some positions of the scene.
    """
    middle, size = _middle_and_size(_positions(cameras))
    if points is not None and len(points) > 0:
        depths = np.linalg.norm(points[:: 1 + len(points) // _MOST_ROWS].double().numpy() - middle, axis=1)
        size = max(size, float(median(depths)))
    size = size if size > 0 else 1.0  # as the scene extent of a single camera
    focal = sorted(max(camera.fx, camera.fy) for camera in cameras)[len(cameras) // 2]
    return _near(middle, size, _OF_A_PIXEL * size / focal)


def origin_of_scene(positions: np.ndarray, scales: np.ndarray) -> Origin:
    """Where to put the zero of a scene: `WORLD` unless float32 is notably coarse for its Gaussians where they are.

    Args:
        positions: (N, 3) in world units.
        scales: (N, 3) log standard deviations; the largest of a Gaussian says how large it is.
    """
    rows = slice(None, None, 1 + len(positions) // _MOST_ROWS)
    with np.errstate(invalid="ignore"):  # of a NaN
        positions, lengths = positions[rows].astype(np.float64), scales[rows].max(axis=1).astype(np.float64)
    finite = np.isfinite(positions).all(axis=1) & np.isfinite(lengths)
    if not finite.any():
        return WORLD
    middle, spread = _middle_and_size(positions[finite])
    with np.errstate(over="ignore"):
        size = float(np.exp(median(lengths[finite])))
    return _near(middle, max(spread, size), _OF_A_GAUSSIAN * size) if size > 0 else WORLD


def settled(gaussians: GaussianArrays, path: Path) -> GaussianArrays:
    """The scene of a file whose positions are float32, held relative to an origin where it lies too far out for them.

    Nothing moves; what the file's own rounding has cost is said in a warning of the `leansplat` logger.
    """
    origin = origin_of_scene(gaussians.means, gaussians.scales) if gaussians.origin == WORLD else WORLD
    if origin == WORLD:
        return gaussians
    warn_of_steps(origin, path)
    return gaussians.relative_to(origin)


def warn_of_steps(origin: Origin, path: Path) -> None:
    """Say what it costs that a file has positions around an origin in float32."""
    _log.warning(
        "%s: positions are float32 around %s, where its steps are %g; what was between them is lost",
        *(path, described(origin), _step(max(map(abs, origin)))),
    )


def warn_if_apart(means: Tensor, origin: Origin, cameras: Sequence[Camera]) -> None:
    """Warn of a scene that cannot be that of the cameras: one of them lies far out, and the other somewhere else.

    Args:
        means: (N, 3) centres of the scene, relative to `origin`.
        cameras: those that are to see it.
    """
    if not cameras or origin == WORLD == origin_of_capture(cameras):
        return
    some = means.detach()[:: 1 + len(means) // _MOST_ROWS].cpu().double().numpy()
    some = some[np.isfinite(some).all(axis=1)] + origin
    if len(some) == 0:
        return
    here, spread = _middle_and_size(some)
    there, size = _middle_and_size(_positions(cameras))
    distance = float(np.linalg.norm(here - there))
    if distance > _APART * (spread + size):
        _log.warning(
            "the scene lies around %s and the cameras around %s, %.4g units away; where a file has left out the origin "
            "that its positions are relative to, use one that records it, such as the .ply of the same scene",
            *(described(here.tolist()), described(there.tolist()), distance),
        )


def described(point: Sequence[float]) -> str:
    """A point for messages: "(552032, 4182232, 0)"."""
    return f"({', '.join(f'{value:.9g}' for value in point)})"


def _near(middle: np.ndarray, size: float, needed: float) -> Origin:
    """An origin near `middle` (3,) if float32 has coarser steps there than `needed` for what is of this `size`."""
    distance = float(np.abs(middle).max())
    if not _FAR * size < distance <= float(np.finfo(np.float32).max) or _step(distance) <= needed:
        return WORLD
    # A power of two, so that moving there and back rounds nothing; no finer than float64 is there.
    unit = 2.0 ** max(math.floor(math.log2(size)), math.frexp(distance)[1] - 52)
    x, y, z = (np.round(middle / unit) * unit).tolist()
    return x, y, z


def _step(distance: float) -> float:
    """From one float32 to the next at this distance from zero."""
    return 2.0 ** (math.frexp(distance)[1] - 24)


def _positions(cameras: Sequence[Camera]) -> np.ndarray:
    """(C, 3) float64."""
    return np.stack([camera.position.cpu().numpy() for camera in cameras])


def _middle_and_size(positions: np.ndarray) -> tuple[np.ndarray, float]:
    """Median (3,) of positions (N, 3) and median distance from it."""
    middle = median(positions)
    return middle, float(median(np.linalg.norm(positions - middle, axis=1)))
