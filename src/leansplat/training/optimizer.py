"""`Adam`: the optimiser over a packed scene, which owns the parameters and both moments so that they never lose step.

Parameters and moments share the kernels' layout, a learning rate belongs to a row of it (an attribute's scalar), and
one fused kernel updates everything in place. Whatever changes the set of Gaussians is one gather: `rebuild` says for
each new Gaussian which old one it comes from, and whether its moments start afresh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.adam_kernel import adam_step, bias_corrections, step_backward
from leansplat.engines.cpu.gather_kernel import gather
from leansplat.engines.cpu.packed import (
    LANES,
    MEANS,
    OPACITIES,
    QUATS,
    SCALES,
    SH0,
    PackedGaussians,
    pack,
)
from leansplat.engines.cpu.rasterizer import Pass
from leansplat.gaussians import Gaussians
from leansplat.simd.threads import thread_count
from leansplat.training.config import TrainingConfig


@dataclass
class Adam:
    """Adam (Kingma and Ba 2015, epsilon 1e-15 as in 3DGS) with a learning rate a row.

    Args:
        packed: the scene; `packed.data` is the leaf that gradients are taken of.
        first_moment, second_moment: (blocks, rows, 16) float32, running means of the gradient and of its square.
        learning_rates: (rows,) float32.
        steps: updates made so far; new Gaussians share this count, as in 3DGS.

    Raises:
        ValueError: a tensor's shape does not fit the scene.
    """

    packed: PackedGaussians
    first_moment: Tensor
    second_moment: Tensor
    learning_rates: Tensor
    steps: int = 0

    def __post_init__(self) -> None:
        shape = self.packed.data.shape
        if self.first_moment.shape != shape or self.second_moment.shape != shape:
            raise ValueError(f"moments must have the shape of the packed scene, {tuple(shape)}")
        if self.learning_rates.shape != (shape[1],):
            raise ValueError(f"learning_rates must have {shape[1]} entries, one a row")
        self.packed.data.requires_grad_()

    @classmethod
    def fresh(cls, gaussians: Gaussians | PackedGaussians, config: TrainingConfig) -> Adam:
        """An optimiser at its first step over a copy of `gaussians`; `set_position_rate` is still to be called."""
        packed = gaussians if isinstance(gaussians, PackedGaussians) else pack(gaussians)
        data = packed.data.detach().clone()
        packed = replace(packed, data=data)
        rates = learning_rates(config, data.shape[1])
        return cls(packed, torch.zeros_like(data), torch.zeros_like(data), rates)

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def values(self) -> Tensor:
        """(blocks, rows, 16) the parameters outside autograd, sharing memory: for reading and changing in place."""
        return self.packed.data.detach()

    def set_position_rate(self, rate: float) -> None:
        """Set the learning rate of `means` in world units; the schedule changes it every step."""
        self.learning_rates[MEANS] = rate

    def step(self, gradient: Tensor) -> None:
        """Update every parameter in place from `gradient` (blocks, rows, 16)."""
        self.steps += 1
        adam_step(self.values, gradient, self.first_moment, self.second_moment, self.learning_rates, self.steps)

    def step_from(
        self, rendered: Pass, image_gradient: NDArray[np.float32], gradient_sum: NDArray[np.float32] | None
    ) -> None:
        """Update every parameter in place from a render of this scene and the gradient of its image (3, H, W).

        The same as `step` with the gradient that the renderer's backward pass gives, without ever storing it.

        Args:
            gradient_sum: (N,) statistics to add the norms of the screen-space position gradients to, or None.
        """
        self.steps += 1
        first_correction, second_correction = bias_corrections(self.steps)
        sums, touched = rasterizer.pixel_sums(rendered, image_gradient)
        step_backward(
            rendered.data.reshape(-1), rendered.data.shape[1], rendered.camera, rendered.sh_degree,
            rendered.antialiased, rendered.splats, rendered.visible, sums, touched, thread_count(),
            gradient_sum is not None, gradient_sum if gradient_sum is not None else rasterizer.NO_FLOATS,
            self.first_moment.numpy().reshape(-1), self.second_moment.numpy().reshape(-1),
            (self.learning_rates * first_correction).numpy(), np.float32(second_correction),
        )  # fmt: skip
        rasterizer.return_sums(sums, touched)

    def select(self, rows: Tensor) -> None:
        """Keep the Gaussians at a mask (N,) bool or at indices (M,), in that order, with their moments."""
        indices = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        self.rebuild(indices)

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        """Replace the scene by copies of its Gaussians.

        Args:
            sources: (M,) int64, for each new Gaussian the old one it copies; repeats are clones.
            fresh: (M,) bool, which of them start with zero moments; none by default.
        """
        data = gather(self.values, sources).requires_grad_()
        self.packed = replace(self.packed, data=data, count=len(sources))
        kept = sources if fresh is None else sources.masked_fill(fresh, -1)
        self.first_moment = gather(self.first_moment, kept)
        self.second_moment = gather(self.second_moment, kept)

    def write(self, rows: slice, indices: Tensor, values: Tensor) -> None:
        """Set some rows of some Gaussians: `values` (M, R) go to the Gaussians at `indices` (M,)."""
        self.values[indices // LANES, rows, indices % LANES] = values

    def clear_moments(self, rows: slice) -> None:
        """Zero the moments of an attribute of all Gaussians, after its values were replaced."""
        self.first_moment[:, rows] = 0
        self.second_moment[:, rows] = 0


def learning_rates(config: TrainingConfig, rows: int) -> Tensor:
    """(rows,) float32 learning rate of each packed row; zero for `means`, which follow the schedule."""
    rates = torch.zeros(rows)
    rates[QUATS] = config.quat_rate
    rates[SCALES] = config.scale_rate
    rates[OPACITIES] = config.opacity_rate
    rates[SH0] = config.sh0_rate
    rates[SH0.stop :] = config.shN_rate
    return rates
