"""`summarize`: what a scene holds, without rendering it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import WORLD, AnyScene, GaussianArrays, Origin, blocks, concatenate, in_runs, median
from leansplat.origin import origin_of_scene

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
        extras: names of further values per Gaussian that the file carries.
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
    tally = Tally()
    for part in parts_of(gaussians.arrays()):
        tally.add(part)
    return tally.summary(file_size=file_size)


def parts_of(scene: GaussianArrays) -> Iterator[GaussianArrays]:
    """A scene as `Tally` takes it: a few rows at a time, and once an empty part where there are none."""
    yield scene[:0]
    yield from (scene[part] for part in blocks(len(scene)))


class Tally:
    """Sums up a scene that comes in parts.

    Where percentiles lie is only known at the end, so 28 bytes per Gaussian are kept: its centre and sizes, and whether
    it counts. All else is counted and let go.
    """

    def __init__(self) -> None:
        self._first: GaussianArrays | None = None
        self._last: GaussianArrays | None = None
        self._extras: list[str] = []
        self._histogram = np.zeros(_BINS, np.int64)
        self._centres: list[np.ndarray] = []
        self._largest: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []
        self._finite: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def add(self, part: GaussianArrays) -> None:
        """Take in the next rows; comments, origin and the like are those of the first part."""
        if self._first is None:
            self._first = part[:0]
        for position, name in enumerate(part.extras):
            if name not in self._extras:
                self._extras.insert(position, name)
        if len(part) == 0:
            return
        rows = np.column_stack([part.empty_rows(), part.repeated_rows(), part.without_rotation()])
        if self._last is not None:
            rows[0, 1] = concatenate([self._last, part[:1]]).repeated_rows()[1]
        self._last = part[[-1]]
        usual = part.finite_equivalent()
        finite = usual.finite()
        kept = usual if finite.all() else usual[finite]
        bins = np.minimum((opacity_of(kept.opacities) * _BINS).astype(np.int64), _BINS - 1)
        self._histogram += np.bincount(bins, minlength=_BINS)
        self._centres.append(usual.means)
        self._largest.append(usual.scales.max(axis=1))
        self._sizes.append(usual.scales.mean(axis=1, dtype=np.float64))
        self._finite.append(finite)
        self._rows.append(rows)

    def coarse_around(self) -> Origin | None:
        """Where the centres lie, if that is so far from zero that float32 is coarse for them."""
        if self._begun().origin != WORLD or not self._centres:
            return None
        origin = origin_of_scene(np.concatenate(self._centres), np.concatenate(self._largest)[:, None])
        return None if origin == WORLD else origin

    def summary(self, *, file_size: int | None = None) -> Summary:
        """What the scene holds, all parts taken in.

        Args:
            file_size: bytes of the scene's file, handed on to the result.
        """
        scene = self._begun()
        empty, repeated, unrotated = _joined(self._rows, (3,), bool).T
        finite = _joined(self._finite, (), bool)
        padding = empty | in_runs(repeated)
        filled = bool(finite.any())
        corners = [self._corners(axis, finite) for axis in range(3)] if filled else []
        low, middle_low, middle_high, high = zip(*corners, strict=True) if filled else (None,) * 4
        return Summary(
            gaussians=len(finite),
            bytes=file_size,
            sh_degree=scene.sh_degree,
            antialiased=scene.antialiased,
            parameters=len(finite) * scene.parameters_per_gaussian,
            padding=int(padding.sum()),
            without_rotation=int((unrotated & ~padding).sum()),
            nonfinite=len(finite) - int(finite.sum()),
            bounds_min=low,
            bounds_max=high,
            middle_min=middle_low,
            middle_max=middle_high,
            median_size=float(np.exp(median(_joined(self._sizes, (), np.float64)[finite]))) if filled else None,
            opacity_histogram=tuple(self._histogram.tolist()),
            extras=tuple(self._extras),
            comments=scene.comments,
        )

    def _begun(self) -> GaussianArrays:
        if self._first is None:
            raise ValueError("there is nothing to sum up: a scene without Gaussians is one empty part")
        return self._first

    def _corners(self, axis: int, finite: np.ndarray) -> tuple[float, ...]:
        """The least, the 5th and the 95th percentile and the largest of the centres on an axis, in the world."""
        centres = np.concatenate([part[:, axis] for part in self._centres])[finite].astype(np.float64)
        last = len(centres) - 1
        places = [0, int(0.05 * last), round(0.95 * last), last]
        ordered = np.partition(centres, places)
        return tuple((ordered[places] + self._begun().origin[axis]).tolist())


def _joined(parts: list[np.ndarray], shape: tuple[int, ...], kind: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, *shape), kind)
