"""`Gaussians`: the one scene model that every part of leansplat reads and writes.

Six tensors with gsplat's names, stored before activation, one row a Gaussian. The class is a plain value: operations
return new objects, rows always move together (extras too), and nothing here knows about files or rendering.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

Origin = tuple[float, float, float]
"""A point of the world that positions are relative to; float64, because it may lie far out."""

WORLD: Origin = (0.0, 0.0, 0.0)
"""The origin of positions in world units themselves."""

TENSOR_NAMES = ("means", "quats", "scales", "opacities", "sh0", "shN")
"""The six tensors of a scene, in the order everything in leansplat lists them."""

_BLOCK = 1 << 16
"""Gaussians handled at once where temporary values are needed."""

_COEFFICIENTS_TO_DEGREE = {0: 0, 3: 1, 8: 2, 15: 3}

LEAST_OPACITY = 2.0**-24
"""Nearer to 0 or 1 than this, an opacity counts as 0 or 1: the distance of the largest float32 below 1 from 1."""

LEAST_SCALE = 2.0**-126
"""A standard deviation of zero, as far as its logarithm can say: the smallest normal float32."""

_LARGEST_LOGIT = math.log((1 - LEAST_OPACITY) / LEAST_OPACITY)
_LEAST_LOGARITHM = math.log(LEAST_SCALE)

_PADDING_RUN = 8
"""Gaussians in a row that are all the same, from which on they are padding and no coincidence of rounding."""


class Activated(NamedTuple):
    """What a rasteriser takes: the numbers of a scene's N Gaussians as they count, in the order of gsplat's arguments.

    Args:
        means: (N, 3) centres, relative to the scene's origin.
        quats: (N, 4) rotations as w, x, y, z, of length 1.
        scales: (N, 3) standard deviations along the rotated axes, 0 and up.
        opacities: (N,) in [0, 1].
        colors: (N, K, 3) spherical harmonics coefficients, K = (degree + 1)^2.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


@dataclass(frozen=True)
class Gaussians:
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
        ValueError: a tensor's shape does not fit the others, or the origin is no point.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    sh0: Tensor
    shN: Tensor
    antialiased: bool = False
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    origin: Origin = WORLD

    def __post_init__(self) -> None:
        if len(self.origin) != 3 or not all(map(math.isfinite, self.origin)):
            raise ValueError(f"origin is {self.origin} where three finite numbers are expected")
        object.__setattr__(self, "origin", tuple(map(float, self.origin)))
        n = self.means.shape[0]
        rest = self.shN.shape[1] if self.shN.dim() == 3 else -1
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

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, rows: Tensor | slice | Sequence[int]) -> Gaussians:
        """Select Gaussians by a slice, a boolean mask (N,) or indices (M,); the order is that of the indices."""
        if not isinstance(rows, slice):
            rows = torch.as_tensor(rows, device=self.device)
            if rows.numel() == 0 and rows.dtype.is_floating_point:
                rows = rows.to(torch.int64)
        return self._map(lambda values: values[rows])

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics stored, 0 to 3."""
        return _COEFFICIENTS_TO_DEGREE[self.shN.shape[1]]

    @property
    def device(self) -> torch.device:
        return self.means.device

    @property
    def parameters_per_gaussian(self) -> int:
        """Numbers stored for one Gaussian: 59 at degree 3."""
        return 3 + 4 + 3 + 1 + 3 + 3 * self.shN.shape[1]

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Corners of the box around `means`, (3,) minimum and (3,) maximum. NaN for an empty scene."""
        if len(self) == 0:
            nan = torch.full((3,), float("nan"), device=self.device)
            return nan, nan.clone()
        return self.means.amin(dim=0), self.means.amax(dim=0)

    def world_means(self) -> Tensor:
        """(N, 3) float64 centres in the world: `means` and `origin` added."""
        return self.means.double() + torch.tensor(self.origin, dtype=torch.float64, device=self.device)

    def relative_to(self, origin: Origin) -> Gaussians:
        """The same scene with its centres relative to another origin, rounded once; itself if the origin is its own."""
        if origin == self.origin:
            return self
        means = self.world_means() - torch.tensor(origin, dtype=torch.float64, device=self.device)
        return replace(self, means=means.to(self.means.dtype), origin=origin)

    def activated(self) -> Activated:
        """The scene as rasterisers take it; gradients flow back to the scene.

        A quaternion of zeros, which stands for no rotation, becomes 1, 0, 0, 0.
        """
        unturned = (self.quats == 0).all(dim=1, keepdim=True)
        identity = self.quats.new_tensor([1.0, 0.0, 0.0, 0.0])
        return Activated(
            means=self.means,
            quats=torch.nn.functional.normalize(torch.where(unturned, identity, self.quats), dim=1, eps=LEAST_SCALE),
            scales=self.scales.exp(),
            opacities=self.opacities.sigmoid(),
            colors=torch.cat([self.sh0, self.shN], dim=1),
        )

    @classmethod
    def from_activated(
        cls,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        colors: Tensor,
        *,
        antialiased: bool = False,
        origin: Origin = WORLD,
    ) -> Gaussians:
        """The scene that `activated` made these of, up to rounding; gradients flow back to them.

        Args:
            means to colors: see `Activated`; quaternions of any length but zero. Opacities of 0 and 1 and scales of 0
                are kept as the infinities that mean them, see `finite_equivalent`.
            antialiased, origin: see `Gaussians`.

        Raises:
            ValueError: a shape is wrong, an opacity lies outside [0, 1], or a scale is negative.
        """
        if bool(((opacities < 0) | (opacities > 1)).any()):
            raise ValueError("an opacity lies outside [0, 1]; from_activated takes opacities, not logits")
        if bool((scales < 0).any()):
            raise ValueError("a scale is negative; from_activated takes standard deviations, not logarithms")
        return cls(
            means=means,
            quats=quats,
            scales=scales.log(),
            opacities=opacities.logit(),
            sh0=colors[:, :1],
            shN=colors[:, 1:],
            antialiased=antialiased,
            origin=origin,
        )

    def to(self, device: torch.device | str) -> Gaussians:
        """The scene on another device, such as "cuda"; tensors that are there already are shared with it."""
        return self._map(lambda values: values.to(device))

    def detach(self) -> Gaussians:
        return self._map(lambda values: values.detach())

    def with_sh_degree(self, degree: int) -> Gaussians:
        """The scene with coefficients above `degree` dropped, or zeros added up to it."""
        if degree not in range(4):
            raise ValueError(f"SH degree is {degree}; it must be 0, 1, 2 or 3")
        wanted = (degree + 1) ** 2 - 1
        have = self.shN.shape[1]
        if wanted <= have:
            return replace(self, shN=self.shN[:, :wanted])
        zeros = self.shN.new_zeros(len(self), wanted - have, 3)
        return replace(self, shN=torch.cat([self.shN, zeros], dim=1))

    def finite(self) -> Tensor:
        """(N,) bool: which Gaussians have only finite parameters."""
        rows = torch.ones(len(self), dtype=torch.bool, device=self.device)
        for start in range(0, len(self), _BLOCK):  # what torch.isfinite makes on its way is larger than the scene
            part = slice(start, start + _BLOCK)
            for name in TENSOR_NAMES:
                values: Tensor = getattr(self, name)[part]
                rows[part] &= _all_in_row(values.isfinite())
        return rows

    def finite_equivalent(self) -> Gaussians:
        """The scene with each infinity that has a meaning replaced by the finite number that means the same.

        An opacity of +inf is the logit of 1, opaque, one of -inf transparent, and a scale of -inf the logarithm of 0,
        flat. A scale of +inf and infinities elsewhere mean nothing and stay. Without any it is the scene itself.
        """
        if not (self.opacities.isinf().any() or self.scales.isneginf().any()):
            return self
        opacities, scales = self.opacities, self.scales
        return replace(
            self,
            opacities=torch.where(opacities.isinf(), opacities.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT), opacities),
            scales=torch.where(scales.isneginf(), torch.full_like(scales, _LEAST_LOGARITHM), scales),
        )

    def without_rotation(self) -> Tensor:
        """(N,) bool: which Gaussians have a quaternion of zeros, which stands for no rotation."""
        rows = self.quats[:, 0] == 0
        left = rows.nonzero()[:, 0]
        rows[left] = _all_in_row(self.quats[left] == 0)
        return rows

    def padding(self) -> Tensor:
        """(N,) bool: which rows hold no Gaussian, but were added to fill a file up.

        Rows in which all but the rotation is zero, which would be half-opaque spheres of size 1 at the world's zero;
        and the further ones of eight or more that follow one another with the same numbers.
        """
        rows = self.opacities == 0
        zero = -torch.tensor(self.origin, dtype=torch.float64, device=self.device).to(self.means.dtype)
        for name in ("means", "scales", "sh0", "shN"):
            for left in rows.nonzero()[:, 0].split(_BLOCK):
                rows[left] = _all_in_row(getattr(self, name)[left] == (zero if name == "means" else 0))
        return rows | self._repeated()

    def _repeated(self) -> Tensor:
        """(N,) bool: rows equal to the one before them, in runs of `_PADDING_RUN` and more."""
        same = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        same[1:] = self.means[1:, 0] == self.means[:-1, 0]
        for name in TENSOR_NAMES:
            values: Tensor = getattr(self, name)
            for left in same.nonzero()[:, 0].split(_BLOCK):
                same[left] = _all_in_row(values[left] == values[left - 1])
        left = same.nonzero()[:, 0]
        _, lengths = torch.unique_consecutive(left - torch.arange(len(left), device=self.device), return_counts=True)
        same[left] = (lengths >= _PADDING_RUN - 1).repeat_interleave(lengths)
        return same

    def _map(self, function: Callable[[Tensor], Tensor]) -> Gaussians:
        return Gaussians(
            means=function(self.means),
            quats=function(self.quats),
            scales=function(self.scales),
            opacities=function(self.opacities),
            sh0=function(self.sh0),
            shN=function(self.shN),
            antialiased=self.antialiased,
            extras={name: function(values) for name, values in self.extras.items()},
            comments=self.comments,
            origin=self.origin,
        )


def _all_in_row(values: Tensor) -> Tensor:
    """(n,) bool: of which rows of (n, ...) bool all are true."""
    return values.reshape(len(values), math.prod(values.shape[1:])).all(dim=1)


def concatenate(scenes: Sequence[Gaussians]) -> Gaussians:
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
    return Gaussians(
        means=torch.cat([scene.means for scene in scenes]),
        quats=torch.cat([scene.quats for scene in scenes]),
        scales=torch.cat([scene.scales for scene in scenes]),
        opacities=torch.cat([scene.opacities for scene in scenes]),
        sh0=torch.cat([scene.sh0 for scene in scenes]),
        shN=torch.cat([scene.shN for scene in scenes]),
        antialiased=scenes[0].antialiased,
        extras={name: torch.cat([scene.extras[name] for scene in scenes]) for name in shared},
        comments=scenes[0].comments,
        origin=origin,
    )


def empty(sh_degree: int = 3) -> Gaussians:
    """A scene of zero Gaussians."""
    return Gaussians(
        means=torch.zeros(0, 3),
        quats=torch.zeros(0, 4),
        scales=torch.zeros(0, 3),
        opacities=torch.zeros(0),
        sh0=torch.zeros(0, 1, 3),
        shN=torch.zeros(0, (sh_degree + 1) ** 2 - 1, 3),
    )
