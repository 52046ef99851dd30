"""`Gaussians`: the scene model as tensors, which everything that renders and trains works on.

Six tensors with gsplat's names, stored before activation, one row per Gaussian. The class is a plain value: operations
return new objects, rows always move together (extras too), and nothing here knows about files or rendering. What values
mean is asked of the same numbers as NumPy arrays, with which a scene on the CPU shares its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from leansplat import arrays
from leansplat.activation import LEAST_SCALE
from leansplat.arrays import TENSOR_NAMES, WORLD, GaussianArrays, Origin, SceneModel

__all__ = ["TENSOR_NAMES", "WORLD", "Activated", "Gaussians", "Origin"]


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
class Gaussians(SceneModel[Tensor]):
    """A scene of N Gaussians.

    Selecting, `with_sh_degree` and `to` keep gradients; what is computed from values (`relative_to`, `world_means`,
    `finite_equivalent`) does not.

    Args:
        means: (N, 3) centres, relative to `origin`, in world units.
        quats: (N, 4) rotations as w, x, y, z; any length but zero, they are normalised where they are used.
        scales: (N, 3) natural logarithm of the standard deviations along the rotated axes; -inf is flat.
        opacities: (N,) logits; `sigmoid(opacities)` is in (0, 1), 1 for +inf and 0 for -inf.
        sh0: (N, 1, 3) spherical harmonics coefficients of degree 0.
        shN: (N, K - 1, 3) coefficients of degree 1 and up, K = (degree + 1)^2, degree 0 to 3.
        antialiased, extras, comments, origin: see `SceneModel`.

    Raises:
        ValueError: a tensor's shape does not fit the others, or the origin is no point.
    """

    def __getitem__(self, rows: Tensor | slice | Sequence[int]) -> Gaussians:
        """Select Gaussians by a slice, a boolean mask (N,) or indices (M,); the order is that of the indices."""
        if not isinstance(rows, slice):
            rows = torch.as_tensor(rows, device=self.device)
            if rows.numel() == 0 and rows.dtype.is_floating_point:
                rows = rows.to(torch.int64)
        return self._map(lambda values: values[rows])

    @classmethod
    def from_arrays(cls, scene: GaussianArrays) -> Gaussians:
        """The scene in tensors on the CPU, which share the arrays' memory."""
        tensors = {name: torch.from_numpy(getattr(scene, name)) for name in TENSOR_NAMES}
        return cls(
            **tensors,
            antialiased=scene.antialiased,
            extras={name: torch.from_numpy(values) for name, values in scene.extras.items()},
            comments=scene.comments,
            origin=scene.origin,
        )

    def arrays(self) -> GaussianArrays:
        """The scene in NumPy arrays, which share the memory of tensors on the CPU; bfloat16, unknown there, widens."""
        return GaussianArrays(
            **{name: _array(getattr(self, name)) for name in TENSOR_NAMES},
            antialiased=self.antialiased,
            extras={name: _array(values) for name, values in self.extras.items()},
            comments=self.comments,
            origin=self.origin,
        )

    @property
    def device(self) -> torch.device:
        return self.means.device

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

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Corners of the box around `means`, (3,) minimum and (3,) maximum. NaN for an empty scene."""
        low, high = self.arrays().bounds()
        return self._tensor(low), self._tensor(high)

    def world_means(self) -> Tensor:
        """(N, 3) float64 centres in the world: `means` and `origin` added."""
        return self._tensor(self.arrays().world_means())

    def relative_to(self, origin: Origin) -> Gaussians:
        """The same scene with its centres relative to another origin, rounded once; itself if the origin is its own."""
        return self if origin == self.origin else self._again(self.arrays().relative_to(origin))

    def finite(self) -> Tensor:
        """(N,) bool: which Gaussians have only finite parameters."""
        return self._tensor(self.arrays().finite())

    def finite_equivalent(self) -> Gaussians:
        """See `GaussianArrays.finite_equivalent`; the scene itself where every infinity means nothing."""
        before = self.arrays()
        after = before.finite_equivalent()
        return self if after is before else self._again(after)

    def without_rotation(self) -> Tensor:
        """(N,) bool: which Gaussians have a quaternion of zeros, which stands for no rotation."""
        return self._tensor(self.arrays().without_rotation())

    def padding(self) -> Tensor:
        """(N,) bool: which rows hold no Gaussian, but were added to fill a file up; see `GaussianArrays.padding`."""
        return self._tensor(self.arrays().padding())

    def _again(self, scene: GaussianArrays) -> Gaussians:
        return Gaussians.from_arrays(scene).to(self.device)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _with_zeros(self, count: int) -> Tensor:
        return torch.nn.functional.pad(self.shN, (0, 0, 0, count))


def _array(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    array: np.ndarray = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return array


def concatenate(scenes: Sequence[Gaussians]) -> Gaussians:
    """One scene with the Gaussians of all, in order, on the CPU; see `leansplat.arrays.concatenate`."""
    return Gaussians.from_arrays(arrays.concatenate([scene.arrays() for scene in scenes]))


def empty(sh_degree: int = 3) -> Gaussians:
    """A scene of zero Gaussians."""
    return Gaussians.from_arrays(arrays.empty(sh_degree))
