"""`CpuModel`: a packed scene and Adam's moments of it, which share the kernels' layout so that they never lose step.

A learning rate belongs to a row of the layout (an attribute's scalar), and one fused kernel updates everything in
place, in the pass over memory that makes the gradient. Whatever changes the set of Gaussians is one gather: `rebuild`
says for each new Gaussian which old one it comes from, and whether its moments start afresh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.adam import bias_corrections
from leansplat.engines.batch import step_with
from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.adam_kernel import adam_step, add_backward, mean_step, step_backward
from leansplat.engines.cpu.gather_kernel import gather
from leansplat.engines.cpu.packed import (
    LANES,
    MEANS,
    OPACITIES,
    QUATS,
    SCALES,
    SH0,
    PackedGaussians,
    unpack_rows,
)
from leansplat.engines.cpu.rasterizer import Pass, SpareSums
from leansplat.engines.cpu.removal import CHANGE, COLUMNS, SLOPE, VALUE_GRADIENT, VISIBILITY
from leansplat.engines.cpu.rendering import forward, render
from leansplat.engines.engine import BLACK, Background, Depth, Facts, Moments, Rendering, Step
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics
from leansplat.gaussians import Gaussians
from leansplat.metrics.loss import loss_and_gradient
from leansplat.simd.threads import thread_count

_ROWS = {
    "means": MEANS,
    "quats": QUATS,
    "scales": SCALES,
    "opacities": OPACITIES,
    "sh0": SH0,
    "shN": slice(SH0.stop, None),
}


@dataclass
class CpuModel:
    """See `engines.engine.Model`.

    Args:
        packed: the scene.
        first_moment, second_moment: (blocks, rows, 16) float32, running means of the gradient and of its square.
        learning_rates: (rows,) float32.
        steps: updates made so far, one with a batch of views counted as so many.

    Raises:
        ValueError: a tensor's shape does not fit the scene.
    """

    packed: PackedGaussians
    first_moment: Tensor
    second_moment: Tensor
    learning_rates: Tensor
    steps: int = 0
    _spare: SpareSums = field(default_factory=SpareSums, repr=False)
    _total: Tensor | None = field(default=None, repr=False)
    """Sum of the gradients of a batch, in the shape of the packed scene: zero between updates."""

    engine = "cpu"
    device = torch.device("cpu")

    def __post_init__(self) -> None:
        shape = self.packed.data.shape
        if self.first_moment.shape != shape or self.second_moment.shape != shape:
            raise ValueError(f"moments must have the shape of the packed scene, {tuple(shape)}")
        if self.learning_rates.shape != (shape[1],):
            raise ValueError(f"learning_rates must have {shape[1]} entries, one per row")

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def facts(self) -> Facts:
        packed = self.packed
        return Facts(packed.count, packed.sh_degree, packed.antialiased, packed.origin, self.steps)

    def attribute(self, name: str) -> Tensor:
        return self._unpacked(self.packed.data, name)

    def gaussians(self) -> Gaussians:
        return self.packed.unpack()

    def moments(self) -> Moments:
        first, second = (replace(self.packed, data=data).unpack() for data in (self.first_moment, self.second_moment))
        return Moments(first, second, self.steps)

    def write(self, name: str, indices: Tensor, values: Tensor) -> None:
        rows = values.reshape(len(indices), math.prod(values.shape[1:]))
        self.packed.data[indices // LANES, _ROWS[name], indices % LANES] = rows

    def select(self, rows: Tensor) -> None:
        self.rebuild(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        self.packed = replace(self.packed, data=gather(self.packed.data, sources), count=len(sources))
        kept = sources if fresh is None else sources.masked_fill(fresh, -1)
        self.first_moment = gather(self.first_moment, kept)
        self.second_moment = gather(self.second_moment, kept)

    def clear_moments(self, name: str) -> None:
        self.first_moment[:, _ROWS[name]] = 0
        self.second_moment[:, _ROWS[name]] = 0

    def set_rate(self, name: str, rate: float) -> None:
        self.learning_rates[_ROWS[name]] = rate

    def step(
        self,
        view: View,
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        """See `engines.engine.Model`. The stages are called without autograd, because the optimiser takes its step
        inside the backward pass; only where gradients are asked for does that of the whole scene exist."""
        rendered = forward(self.packed, view.camera, background, sh_degree, statistics)
        loss, by_image = loss_and_gradient(rendered.image, view.photo, ssim_weight, view.mask)
        if not math.isfinite(loss):
            return Step(loss, {})
        gradient_sum = statistics.gradient_sum.numpy() if statistics is not None else None
        if not gradients_of:
            self.update_from(rendered, by_image, gradient_sum)
            return Step(loss, {})
        gradient = torch.from_numpy(rasterizer.backward(rendered, by_image, None, gradient_sum, self._spare))
        self.update(gradient)
        return Step(loss, {name: self._unpacked(gradient, name) for name in gradients_of})

    def update(self, gradient: Tensor) -> None:
        """Update every parameter in place from `gradient` (blocks, rows, 16)."""
        self.steps += 1
        adam_step(self.packed.data, gradient, self.first_moment, self.second_moment, self.learning_rates, self.steps)

    def update_from(
        self, rendered: Pass, image_gradient: NDArray[np.float32], gradient_sum: NDArray[np.float32] | None
    ) -> None:
        """Update every parameter in place from a render of this scene and the gradient of its image (3, H, W).

        The same as `update` with the gradient that the renderer's backward pass gives, without ever storing it.

        Args:
            gradient_sum: (N,) statistics to add the norms of the screen-space position gradients to, or None.
        """
        self.steps += 1
        first_correction, second_correction = bias_corrections(self.steps)
        sums, touched = rasterizer.pixel_sums(rendered, image_gradient, None, self._spare)
        step_backward(
            rendered.data.reshape(-1), rendered.data.shape[1], rendered.camera, rendered.sh_degree,
            rendered.antialiased, rendered.splats, rendered.visible, sums, touched, thread_count(),
            gradient_sum is not None, gradient_sum if gradient_sum is not None else rasterizer.NO_FLOATS,
            self.first_moment.numpy().reshape(-1), self.second_moment.numpy().reshape(-1),
            (self.learning_rates * first_correction).numpy(), np.float32(second_correction),
        )  # fmt: skip
        self._spare.kept = sums, touched

    def step_batch(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        return step_with(self, views, background, sh_degree, ssim_weight, statistics, gradients_of)

    def add_gradients(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
    ) -> list[float]:
        (total,) = self.gradient_sums()
        losses = []
        for view in views:
            rendered = forward(self.packed, view.camera, background, sh_degree, statistics)
            loss, by_image = loss_and_gradient(rendered.image, view.photo, ssim_weight, view.mask)
            losses.append(loss)
            if math.isfinite(loss):
                gradient_sum = statistics.gradient_sum.numpy() if statistics is not None else None
                self._add(rendered, by_image, total, gradient_sum)
        return losses

    def _add(
        self,
        rendered: Pass,
        image_gradient: NDArray[np.float32],
        total: Tensor,
        gradient_sum: NDArray[np.float32] | None,
    ) -> None:
        sums, touched = rasterizer.pixel_sums(rendered, image_gradient, None, self._spare)
        add_backward(
            rendered.data.reshape(-1), rendered.data.shape[1], rendered.camera, rendered.sh_degree,
            rendered.antialiased, rendered.splats, rendered.visible, sums, touched, thread_count(),
            total.numpy().reshape(-1), gradient_sum is not None,
            gradient_sum if gradient_sum is not None else rasterizer.NO_FLOATS,
        )  # fmt: skip
        self._spare.kept = sums, touched

    def gradient_sums(self) -> list[Tensor]:
        if self._total is None or self._total.shape != self.packed.data.shape:
            self._total = self.packed.zeros()
        return [self._total]

    def update_by_mean(self, views: int, gradients_of: Sequence[str] = ()) -> Mapping[str, Tensor]:
        (total,) = self.gradient_sums()
        wanted = {name: self._unpacked(total, name) / views for name in gradients_of}
        self.steps += views
        data, rates = self.packed.data, self.learning_rates
        mean_step(data, total, self.first_moment, self.second_moment, rates, self.steps, views)
        return wanted

    def forget_gradients(self) -> None:
        self._total = None

    def gather_statistics(self, views: Sequence[View], background: Background, ssim_weight: float) -> ViewStatistics:
        statistics = ViewStatistics.zeros(len(self))
        for view in views:
            rendered = forward(self.packed, view.camera, background, statistics=statistics)
            _, by_image = loss_and_gradient(rendered.image, view.photo, ssim_weight, view.mask)
            rasterizer.backward(rendered, by_image, None, statistics.gradient_sum.numpy(), self._spare)
        return statistics

    def blending_weights(self, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        total, largest = torch.zeros(len(self)), torch.zeros(len(self))
        for view in views:
            rendered = forward(self.packed, view.camera, BLACK)
            rasterizer.add_blending_weights(rendered, total.numpy(), largest.numpy(), _kept(view.mask))
        return total, largest

    def removal_effects(self, views: Sequence[View], background: Background) -> RemovalEffects:
        sums = torch.zeros(len(self), COLUMNS)
        for view in views:
            rendered = forward(self.packed, view.camera, background)
            photo = view.photo.to(torch.float32) / 255 if view.photo.dtype == torch.uint8 else view.photo
            difference = (torch.from_numpy(rendered.image) - photo.permute(2, 0, 1)).contiguous().numpy()
            rasterizer.add_removal_effects(rendered, difference, sums.numpy(), _kept(view.mask))
        return RemovalEffects(
            change=sums[:, CHANGE],
            slope=sums[:, SLOPE],
            value_gradient=sums[:, VALUE_GRADIENT],
            visibility=sums[:, VISIBILITY],
        )

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return render(self.packed, camera, background=background, sh_degree=sh_degree, depth=depth)

    def tensors(self) -> dict[str, Tensor]:
        return {"data": self.packed.data, "first_moment": self.first_moment, "second_moment": self.second_moment}

    def _unpacked(self, data: Tensor, name: str) -> Tensor:
        """An attribute's part of packed data, in the shape of `Gaussians`: a copy."""
        rows = unpack_rows(data[:, _ROWS[name]], len(self))
        match name:
            case "opacities":
                return rows[:, 0]
            case "sh0" | "shN":
                return rows.reshape(len(self), rows.shape[1] // 3, 3)
            case _:
                return rows


def row_rates(rates: Mapping[str, float], rows: int) -> Tensor:
    """(rows,) float32 learning rate of each packed row, from rates by attribute."""
    found = torch.zeros(rows)
    for name, rate in rates.items():
        found[_ROWS[name]] = rate
    return found


def _kept(mask: Tensor | None) -> NDArray[np.bool_]:
    return rasterizer.ALL_PIXELS if mask is None else mask.contiguous().numpy()
