"""A scene of Gaussians: which arrays there are and what they mean, and `GaussianArrays`, which holds them in NumPy.

Files are read into NumPy arrays and written from them, and summed up as they are; `leansplat.gaussians.Gaussians` holds
the same in tensors, for all that renders and trains, and one becomes the other without a copy. What values mean is
decided here for both: which are finite, which rows hold no Gaussian, where the world's zero is. Everything works a
block of rows at a time, so that what it makes on its way stays in the cache.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from leansplat.activation import LEAST_OPACITY, LEAST_SCALE

if TYPE_CHECKING:
    from typing import Self

Origin = tuple[float, float, float]
"""A point of the world that positions are relative to; float64, because it may lie far out."""

WORLD: Origin = (0.0, 0.0, 0.0)
"""The origin of positions in world units themselves."""

TENSOR_NAMES = ("means", "quats", "scales", "opacities", "sh0", "shN")
"""The six arrays of a scene, in the order everything in leansplat lists them."""

BLOCK = 1 << 13
"""Gaussians handled at once where temporary values are needed: what is made of them stays in the cache."""

_LARGEST_LOGIT = math.log((1 - LEAST_OPACITY) / LEAST_OPACITY)
_LEAST_LOGARITHM = math.log(LEAST_SCALE)

_PADDING_RUN = 8
"""Gaussians in a row that are all the same, from which on they are padding and no coincidence of rounding."""

_COEFFICIENTS_TO_DEGREE = {0: 0, 3: 1, 8: 2, 15: 3}


class _Array(Protocol):
    @property
    def shape(self) -> Any: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


Array = TypeVar("Array", bound=_Array)

AnyScene: TypeAlias = "SceneModel[Any]"
"""A scene in arrays or in tensors."""


@dataclass(frozen=True)
class SceneModel(ABC, Generic[Array]):
    """A scene of N Gaussians.

    Args:
        means: (N, 3) centres, relative to `origin`, in world units.
        quats: (N, 4) rotations as w, x, y, z; any length but zero, they are normalised where they are used.
        scales: (N, 3) natural logarithm of the standard deviations along the rotated axes; -inf is flat.
        opacities: (N,) logits; `sigmoid(opacities)` is in (0, 1), 1 for +inf and 0 for -inf.
        sh0: (N, 1, 3) spherical harmonics coefficients of degree 0.
        shN: (N, K - 1, 3) coefficients of degree 1 and up, K = (degree + 1)^2, degree 0 to 3.
        antialiased: whether the scene was trained with opacity compensation (Mip-Splatting's screen-space filter).
        extras: further values per Gaussian, (N,) each, that leansplat carries along but does not interpret.
        comments: header lines of the file the scene came from, carried along.
        origin: where in the world the zero of `means` lies, three finite numbers. It is zero itself but for scenes so
            far out that float32 would not hold their centres; see `leansplat.origin`.

    Raises:
        ValueError: an array's shape does not fit the others, or the origin is no point.
    """

    means: Array
    quats: Array
    scales: Array
    opacities: Array
    sh0: Array
    shN: Array
    antialiased: bool = False
    extras: Mapping[str, Array] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    origin: Origin = WORLD

    def __post_init__(self) -> None:
        if len(self.origin) != 3 or not all(map(math.isfinite, self.origin)):
            raise ValueError(f"origin is {self.origin} where three finite numbers are expected")
        object.__setattr__(self, "origin", tuple(map(float, self.origin)))
        n = self.means.shape[0]
        rest = self.shN.shape[1] if len(self.shN.shape) == 3 else -1
        expected = {
            "means": (n, 3),
            "quats": (n, 4),
            "scales": (n, 3),
            "opacities": (n,),
            "sh0": (n, 1, 3),
            "shN": (n, rest, 3),
        }
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} has shape {found} where {shape} is expected")
        if rest not in _COEFFICIENTS_TO_DEGREE:
            raise ValueError(f"shN has {rest} coefficients; degrees 0 to 3 have 0, 3, 8 or 15")
        for name, values in self.extras.items():
            if tuple(values.shape) != (n,):
                raise ValueError(f"extra {name!r} has shape {tuple(values.shape)} where {(n,)} is expected")

    @abstractmethod
    def arrays(self) -> GaussianArrays:
        """The scene in NumPy arrays, in the same memory where that can be."""

    def __len__(self) -> int:
        count: int = self.means.shape[0]
        return count

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics stored, 0 to 3."""
        return _COEFFICIENTS_TO_DEGREE[self.shN.shape[1]]

    @property
    def parameters_per_gaussian(self) -> int:
        """Numbers stored for one Gaussian: 59 at degree 3."""
        return 3 + 4 + 3 + 1 + 3 + 3 * int(self.shN.shape[1])

    def with_sh_degree(self, degree: int) -> Self:
        """The scene with coefficients above `degree` dropped, or zeros added up to it."""
        if degree not in range(4):
            raise ValueError(f"SH degree is {degree}; it must be 0, 1, 2 or 3")
        missing = (degree + 1) ** 2 - 1 - self.shN.shape[1]
        return replace(self, shN=self._with_zeros(missing) if missing > 0 else self.shN[:, : (degree + 1) ** 2 - 1])

    @abstractmethod
    def _with_zeros(self, count: int) -> Array:
        """`shN` with `count` more coefficients of zero."""

    def _map(self, function: Callable[[Array], Any]) -> Self:
        """The scene with what a function makes of each of its arrays, extras too."""
        arrays = {name: function(getattr(self, name)) for name in TENSOR_NAMES}
        return replace(self, **arrays, extras={name: function(values) for name, values in self.extras.items()})


@dataclass(frozen=True)
class GaussianArrays(SceneModel[np.ndarray]):
    """A scene of N Gaussians in NumPy arrays; see `SceneModel` for what each holds."""

    def __getitem__(self, rows: np.ndarray | slice | Sequence[int]) -> GaussianArrays:
        """Select Gaussians by a slice, a boolean mask (N,) or indices (M,); the order is that of the indices."""
        if isinstance(rows, slice):
            return self._map(lambda values: values[rows])
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise IndexError(f"a mask of shape {chosen.shape} does not select among {len(self)} Gaussians")
            chosen = np.flatnonzero(chosen)
        indices = chosen.astype(np.int64, copy=False)
        return self._map(lambda values: values.take(indices, axis=0))

    def arrays(self) -> GaussianArrays:
        return self

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box around `means`, (3,) minimum and (3,) maximum. NaN for an empty scene."""
        if len(self) == 0:
            return np.full(3, np.nan, np.float32), np.full(3, np.nan, np.float32)
        return self.means.min(axis=0), self.means.max(axis=0)

    def world_means(self) -> np.ndarray:
        """(N, 3) float64 centres in the world: `means` and `origin` added."""
        return self.means.astype(np.float64) + self.origin

    def relative_to(self, origin: Origin) -> GaussianArrays:
        """The same scene with its centres relative to another origin, rounded once; itself if the origin is its own."""
        if origin == self.origin:
            return self
        return replace(self, means=(self.world_means() - origin).astype(self.means.dtype), origin=origin)

    def finite(self) -> np.ndarray:
        """(N,) bool: which Gaussians have only finite parameters."""
        rows = np.ones(len(self), bool)
        for part in blocks(len(self)):
            for name in TENSOR_NAMES:
                finite = np.isfinite(getattr(self, name)[part])
                if not finite.all():
                    rows[part] &= _all_in_row(finite)
        return rows

    def finite_equivalent(self) -> GaussianArrays:
        """The scene with each infinity that has a meaning replaced by the finite number that means the same.

        An opacity of +inf is the logit of 1, opaque, one of -inf transparent, and a scale of -inf the logarithm of 0,
        flat. A scale of +inf and infinities elsewhere mean nothing and stay. Without any it is the scene itself.
        """
        endless, flat = np.isinf(self.opacities), np.isneginf(self.scales)
        if not (endless.any() or flat.any()):
            return self
        opacities, scales = self.opacities.copy(), self.scales.copy()
        opacities[endless] = opacities[endless].clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)
        scales[flat] = _LEAST_LOGARITHM
        return replace(self, opacities=opacities, scales=scales)

    def without_rotation(self) -> np.ndarray:
        """(N,) bool: which Gaussians have a quaternion of zeros, which stands for no rotation."""
        return _narrowed(self.quats[:, 0] == 0, self.quats, lambda values, _: values == 0)

    def padding(self) -> np.ndarray:
        """(N,) bool: which rows hold no Gaussian, but were added to fill a file up.

        Rows in which all but the rotation is zero, which would be half-opaque spheres of size 1 at the world's zero;
        and the further ones of eight or more that follow one another with the same numbers.
        """
        return self.empty_rows() | in_runs(self.repeated_rows())

    def empty_rows(self) -> np.ndarray:
        """(N,) bool: rows in which all but the rotation is zero."""
        zero = (-np.array(self.origin)).astype(self.means.dtype)
        rows = _narrowed(self.opacities == 0, self.means, lambda values, _: values == zero)
        for values in (self.scales, self.sh0, self.shN):
            rows = _narrowed(rows, values, lambda values, _: values == 0)
        return rows

    def repeated_rows(self) -> np.ndarray:
        """(N,) bool: rows with the same numbers as the one before them."""
        same = np.zeros(len(self), bool)
        same[1:] = self.means[1:, 0] == self.means[:-1, 0]
        for name in TENSOR_NAMES:
            same = _narrowed(same, getattr(self, name), np.equal)
        return same

    def _with_zeros(self, count: int) -> np.ndarray:
        return np.pad(self.shN, ((0, 0), (0, count), (0, 0)))


def in_runs(repeated: np.ndarray) -> np.ndarray:
    """(N,) bool: of rows that repeat the one before them, those in runs that are no coincidence."""
    edges = np.flatnonzero(np.diff(repeated, prepend=False, append=False))
    found = repeated.copy()
    for start, end in edges.reshape(-1, 2):
        found[start:end] = end - start >= _PADDING_RUN - 1
    return found


def blocks(count: int) -> Iterator[slice]:
    """Slices that share out `count` Gaussians, so that what they become on the way takes little memory."""
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def median(values: np.ndarray) -> np.ndarray:
    """The median along the first axis, of one value at least; of an even number, the lower of the two in the middle."""
    middle = (len(values) - 1) // 2
    found: np.ndarray = np.partition(values, middle, axis=0)[middle]
    return found


def concatenate(scenes: Sequence[GaussianArrays]) -> GaussianArrays:
    """One scene with the Gaussians of all, in order.

    Lower SH degrees are padded with zeros. Extras are kept where every scene has them; comments are those of the first,
    and the origin is that of the first which has one.

    Raises:
        ValueError: no scene given, or scenes with and without `antialiased` mixed.
    """
    if not scenes:
        raise ValueError("concatenate needs at least one scene")
    if len({scene.antialiased for scene in scenes}) > 1:
        raise ValueError("scenes with and without anti-aliasing cannot be concatenated")
    degree = max(scene.sh_degree for scene in scenes)
    origin = next((scene.origin for scene in scenes if scene.origin != WORLD), WORLD)
    scenes = [scene.with_sh_degree(degree).relative_to(origin) for scene in scenes]
    shared = [name for name in scenes[0].extras if all(name in scene.extras for scene in scenes)]
    return replace(
        scenes[0],
        **{name: np.concatenate([getattr(scene, name) for scene in scenes]) for name in TENSOR_NAMES},
        extras={name: np.concatenate([scene.extras[name] for scene in scenes]) for name in shared},
    )


def unfilled(count: int, coefficients: int, **others: Any) -> GaussianArrays:
    """Memory for a scene of float32, whatever is in it, with `coefficients` in `shN`; `others` are the other fields."""
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 1, 3), (count, coefficients, 3))
    means, quats, scales, opacities, sh0, shN = (np.empty(shape, np.float32) for shape in shapes)
    return GaussianArrays(means, quats, scales, opacities, sh0, shN, **others)


def empty(sh_degree: int = 3) -> GaussianArrays:
    """A scene of zero Gaussians."""
    return unfilled(0, (sh_degree + 1) ** 2 - 1)


def _narrowed(
    rows: np.ndarray, values: np.ndarray, holds: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Those of `rows` (N,) bool for which something holds for all numbers of a row of `values` (N, ...).

    Args:
        holds: given the numbers of some rows and of those before them, (n, ...) each.
    """
    found = np.zeros(len(rows), bool)
    left = np.flatnonzero(rows)
    for part in blocks(len(left)):
        some = left[part]
        found[some] = _all_in_row(holds(values[some], values[some - 1]))
    return found


def _all_in_row(values: np.ndarray) -> np.ndarray:
    """(n,) bool: of which rows of (n, ...) bool all are true."""
    return np.logical_and.reduce(values.reshape(len(values), math.prod(values.shape[1:])), axis=1)
