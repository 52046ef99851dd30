"""`TrainingState`: everything that the next training step depends on, and that step.

A checkpoint is this state written down. Training from photos and fine-tuning while trimming share `training_step`; what
they do between steps (densify, prune) differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.engines.cpu import rasterizer
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import RunError
from leansplat.gaussians import Gaussians
from leansplat.metrics.loss import loss_and_gradient
from leansplat.ordering import morton_order
from leansplat.training import schedule
from leansplat.training.config import TrainingConfig
from leansplat.training.mask import fresh_mask, update_mask
from leansplat.training.optimizer import Adam


@dataclass
class TrainingState:
    """A training run between two steps.

    Args:
        optimizer: the scene and its moments.
        statistics: of the scene's N Gaussians over the steps since the last densification. After the last densification
            they stay as they are: this is what the authors of Trimming the Fat prune by.
        generator: the only source of random numbers.
        view_queue: (Q,) int64, training views still to come before all are shuffled again.
        step: steps made so far.
        extent: scene extent, the unit of the position learning rate and of sizes.
        seconds: time spent in training so far, over all sittings.
        mask: (N, 3) learned mask where `TrainingConfig.mask_weight` asks for one; see `training.mask`.
    """

    optimizer: Adam
    statistics: ViewStatistics
    generator: torch.Generator
    view_queue: Tensor
    step: int
    extent: float
    seconds: float = 0.0
    mask: Tensor | None = None

    @classmethod
    def begin(
        cls,
        gaussians: Gaussians,
        config: TrainingConfig,
        extent: float,
        *,
        generator: torch.Generator | None = None,
        step: int = 0,
    ) -> TrainingState:
        """A fresh optimiser over a copy of `gaussians`, in Morton order.

        Args:
            generator: seeded with `config.seed` when not given.
            step: where in the schedule to begin; `config.iterations` for fine-tuning a trained scene.
        """
        if generator is None:
            generator = torch.Generator().manual_seed(config.seed)
        ordered = gaussians[morton_order(gaussians.means)]
        return cls(
            optimizer=Adam.fresh(ordered, config),
            statistics=ViewStatistics.zeros(len(ordered)),
            generator=generator,
            view_queue=torch.zeros(0, dtype=torch.int64),
            step=step,
            extent=extent,
            mask=fresh_mask(len(ordered)) if config.mask_weight > 0 else None,
        )

    def restarted(self, gaussians: Gaussians, config: TrainingConfig, generator: torch.Generator) -> TrainingState:
        """Step 0 with other values for the same Gaussians, whose moments stay as they are.

        Args:
            gaussians: as many, in the same order.
            generator: for everything random from here on.
        """
        optimizer = replace(Adam.fresh(gaussians, config), steps=self.optimizer.steps)
        optimizer.first_moment.copy_(self.optimizer.first_moment)
        optimizer.second_moment.copy_(self.optimizer.second_moment)
        return TrainingState(
            optimizer=optimizer,
            statistics=ViewStatistics.zeros(len(gaussians)),
            generator=generator,
            view_queue=torch.zeros(0, dtype=torch.int64),
            step=0,
            extent=self.extent,
        )

    def gaussians(self) -> Gaussians:
        """A copy of the scene as it is now."""
        return self.optimizer.packed.unpack().detach()

    @property
    def count(self) -> int:
        """Gaussians in the scene."""
        return len(self.optimizer)

    def next_view(self, views: int) -> int:
        """Index of the next training view: all `views` in random order, then all again in another."""
        index, self.view_queue = next_view(self.view_queue, views, self.generator)
        return index

    def select(self, rows: Tensor) -> None:
        """Keep the Gaussians at a mask (N,) bool or at indices (M,), with their moments and statistics."""
        self.optimizer.select(rows)
        entries = {name: values for name, values in vars(self.statistics).items() if values is not None}
        self.statistics = ViewStatistics(**{name: values[rows] for name, values in entries.items()})
        if self.mask is not None:
            self.mask = self.mask[rows]


def next_view(queue: Tensor, views: int, generator: torch.Generator) -> tuple[int, Tensor]:
    """The first of a queue (Q,) of views, made anew of all `views` in random order when it is empty, and the rest."""
    if len(queue) == 0:
        queue = torch.randperm(views, generator=generator)
    return int(queue[0]), queue[1:]


def training_step(
    state: TrainingState,
    view: View,
    config: TrainingConfig,
    background: tuple[float, float, float],
    *,
    statistics: ViewStatistics | None = None,
) -> float:
    """Render a view, compare it with its photo, update every parameter; returns the loss.

    The renderer's stages are called without autograd, because the optimiser takes its step inside the backward pass.
    The schedule's position rate and SH degree are those of the new step, as far as the scene has coefficients; past the
    end of the schedule they stay final.

    Args:
        background: (r, g, b) to render on.
        statistics: added to, when given.

    Raises:
        RunError: the loss is not finite; the parameters are as they were.
    """
    state.step += 1
    optimizer = state.optimizer
    optimizer.set_position_rate(schedule.position_rate(config, state.step, state.extent))
    rendered = rasterizer.forward(
        optimizer.values.numpy(),
        len(optimizer),
        view.camera.relative_to(optimizer.packed.origin),
        np.array(background, np.float32),
        min(schedule.sh_degree(config, state.step), optimizer.packed.sh_degree),
        optimizer.packed.antialiased,
        statistics.views_seen.numpy() if statistics is not None else None,
        statistics.max_radius.numpy() if statistics is not None else None,
    )
    value, gradient = loss_and_gradient(rendered.image, view.photo, config.ssim_weight, view.mask)
    if not math.isfinite(value):
        raise RunError(
            f"the loss is {value} at step {state.step}, view {view.name}; lower the learning rates or check that photo"
        )
    gradient_sum = statistics.gradient_sum.numpy() if statistics is not None else None
    if state.mask is None:
        optimizer.step_from(rendered, gradient, gradient_sum)
    else:
        by_parameters = torch.from_numpy(rasterizer.backward(rendered, gradient, None, gradient_sum))
        optimizer.step(by_parameters)
        update_mask(state.mask, optimizer, by_parameters, config)
    return value
