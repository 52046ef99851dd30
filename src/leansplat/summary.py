"""`summarize`: what a scene holds, without rendering it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import AnyScene, median

_BINS = 10


@dataclass(frozen=True)
class Summary:
    """What a scene holds.

    Args:
        gaussians: how many.
        bytes: size of the scene's files on disk, None for a scene in no file.
        sh_degree: degree of the spherical harmonics stored, 0 to 3.
        antialiased: whether the scene expects opacity compensation (Mip-Splatting).
        parameters: numbers stored in all.
        padding: rows that hold no Gaussian (see `GaussianArrays.padding`).
        without_rotation: Gaussians with a quaternion of zeros.
        nonfinite: Gaussians with a NaN or an infinity that means nothing; everything below leaves them out.
        bounds_min, bounds_max: corners of the box around the centres, in the world; None without Gaussians.
        middle_min, middle_max: the box between the 5th and the 95th percentile on each axis; None without Gaussians.
        median_size: the median of the geometric mean of a Gaussian's three standard deviations; None without Gaussians.
        opacity_histogram: how many Gaussians have an opacity in [0, 0.1), [0.1, 0.2), ... [0.9, 1].
        extras: names of further values a Gaussian that the file carries.
        comments: comments of the file.
    """

    gaussians: int
    bytes: int | None
    sh_degree: int
    antialiased: bool
    parameters: int
    padding: int
    without_rotation: int
    nonfinite: int
    bounds_min: tuple[float, ...] | None
    bounds_max: tuple[float, ...] | None
    middle_min: tuple[float, ...] | None
    middle_max: tuple[float, ...] | None
    median_size: float | None
    opacity_histogram: tuple[int, ...]
    extras: tuple[str, ...]
    comments: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summarize(gaussians: AnyScene, *, file_size: int | None = None) -> Summary:
    """Count and measure a scene.

    Args:
        file_size: bytes of the scene's file, handed on to the result.
    """
    gaussians = gaussians.arrays()
    padding = gaussians.padding()
    gaussians = gaussians.finite_equivalent()
    finite = gaussians[gaussians.finite()]
    bins = np.minimum((opacity_of(finite.opacities) * _BINS).astype(np.int64), _BINS - 1)
    filled = len(finite) > 0
    centres = np.sort(finite.world_means(), axis=0)
    low, high = int(0.05 * (len(finite) - 1)), round(0.95 * (len(finite) - 1))
    return Summary(
        gaussians=len(gaussians),
        bytes=file_size,
        sh_degree=gaussians.sh_degree,
        antialiased=gaussians.antialiased,
        parameters=len(gaussians) * gaussians.parameters_per_gaussian,
        padding=int(padding.sum()),
        without_rotation=int((gaussians.without_rotation() & ~padding).sum()),
        nonfinite=len(gaussians) - len(finite),
        bounds_min=tuple(centres[0].tolist()) if filled else None,
        bounds_max=tuple(centres[-1].tolist()) if filled else None,
        middle_min=tuple(centres[low].tolist()) if filled else None,
        middle_max=tuple(centres[high].tolist()) if filled else None,
        median_size=float(np.exp(median(finite.scales.mean(axis=1, dtype=np.float64)))) if filled else None,
        opacity_histogram=tuple(np.bincount(bins, minlength=_BINS).tolist()),
        extras=tuple(gaussians.extras),
        comments=gaussians.comments,
    )
