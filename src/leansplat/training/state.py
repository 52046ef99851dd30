"""`TrainingState`: everything that the next training step depends on, and that step.

A checkpoint is this state written down. Training from photos and fine-tuning while trimming share `training_step`; what
they do between steps (densify, prune) differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import View
from leansplat.distributed.channel import LostError
from leansplat.engines.engine import Model
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import RunError
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order
from leansplat.training import schedule
from leansplat.training.config import TrainingConfig
from leansplat.training.strategies.strategy import Memory, named


@dataclass
class TrainingState:
    """A training run between two steps.

    Args:
        model: the scene and its optimiser, in the hands of an engine.
        statistics: of the scene's N Gaussians over the steps since the last densification. After the last densification
            they stay as they are: this is what the authors of Trimming the Fat prune by.
        generator: the only source of random numbers.
        view_queue: (Q,) int64, training views still to come before all are shuffled again.
        step: steps made so far; one with a batch of views counts as so many.
        extent: scene extent, the unit of the position learning rate and of sizes.
        seconds: time spent in training so far, over all sittings.
        memory: what each strategy of the recipe remembers, by the strategy's name.
        views: those of the step just made, by which rates of what learns from it grow (`engines.adam`).
    """

    model: Model
    statistics: ViewStatistics
    generator: torch.Generator
    view_queue: Tensor
    step: int
    extent: float
    seconds: float = 0.0
    memory: dict[str, Memory] = field(default_factory=dict)
    views: int = 1

    @classmethod
    def begin(
        cls,
        gaussians: Gaussians,
        config: TrainingConfig,
        extent: float,
        *,
        generator: torch.Generator | None = None,
        step: int = 0,
        engine: str = "cpu",
    ) -> TrainingState:
        """A fresh optimiser over a copy of `gaussians`, in Morton order.

        Args:
            generator: seeded with `config.seed` when not given.
            step: where in the schedule to begin; `config.iterations` for fine-tuning a trained scene.
            engine: a name in `engines.ENGINES`.
        """
        ordered = gaussians[morton_order(gaussians.means)]
        model = engines.named(engine).begin(ordered, schedule.rates(config))
        return cls.of(model, config, extent, generator=generator, step=step)

    @classmethod
    def of(
        cls,
        model: Model,
        config: TrainingConfig,
        extent: float,
        *,
        generator: torch.Generator | None = None,
        step: int = 0,
    ) -> TrainingState:
        """A training of a model that has seen no view yet; arguments as for `begin`."""
        state = cls(
            model=model,
            statistics=ViewStatistics.zeros(len(model), device=model.device),
            generator=torch.Generator().manual_seed(config.seed) if generator is None else generator,
            view_queue=torch.zeros(0, dtype=torch.int64),
            step=step,
            extent=extent,
        )
        state.remember(config)
        return state

    def remember(self, config: TrainingConfig) -> None:
        """Give strategies of the recipe that have no memory yet the one they begin with."""
        for each in config.strategies:
            if each.name not in self.memory:
                begins_with = each.memory(self.count).items()
                self.memory[each.name] = {name: values.to(self.model.device) for name, values in begins_with}

    def restarted(self, gaussians: Gaussians, config: TrainingConfig, generator: torch.Generator) -> TrainingState:
        """Step 0 with other values for the same Gaussians, whose moments stay as they are.

        Args:
            gaussians: as many, in the same order.
            generator: for everything random from here on.
        """
        model = engines.named(self.model.engine).begin(gaussians, schedule.rates(config), self.model.moments())
        return TrainingState.of(model, config, self.extent, generator=generator)

    def gaussians(self) -> Gaussians:
        """A copy of the scene as it is now."""
        return self.model.gaussians()

    @property
    def count(self) -> int:
        """Gaussians in the scene."""
        return len(self.model)

    def next_view(self, views: int) -> int:
        """Index of the next training view: all `views` in random order, then all again in another."""
        index, self.view_queue = next_view(self.view_queue, views, self.generator)
        return index

    def select(self, rows: Tensor) -> None:
        """Keep the Gaussians at a mask (N,) bool or at indices (M,), in that order, with all that belongs to them."""
        self.rebuild(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        """Replace the scene by copies of its Gaussians, with their statistics and what strategies remember of them.

        Args:
            sources: (M,) int64, for each new Gaussian the old one it copies; repeats are clones.
            fresh: (M,) bool, which of them start with zero moments; none by default.
        """
        self.model.rebuild(sources, fresh)
        self.statistics = self.statistics[sources]
        for name, memory in self.memory.items():
            whole = named(name).without_rows
            self.memory[name] = {
                tensor: values if tensor in whole else values[sources.to(values.device)]
                for tensor, values in memory.items()
            }


def next_view(queue: Tensor, views: int, generator: torch.Generator) -> tuple[int, Tensor]:
    """The first of a queue (Q,) of views, made anew of all `views` in random order when it is empty, and the rest."""
    if len(queue) == 0:
        queue = torch.randperm(views, generator=generator)
    return int(queue[0]), queue[1:]


def training_step(
    state: TrainingState,
    view: View | Sequence[View],
    config: TrainingConfig,
    background: tuple[float, float, float],
    *,
    statistics: ViewStatistics | None = None,
    position_factor: float = 1.0,
) -> float:
    """Render a view, compare it with its photo, update every parameter, and let strategies learn; returns the loss.

    The schedule's position rate and SH degree are those of the new step, as far as the scene has coefficients; past the
    end of the schedule they stay final.

    Args:
        view: or several for one update by the mean of what they say, which counts as so many steps; the loss is their
            mean, too.
        background: (r, g, b) to render on.
        statistics: added to, when given.
        position_factor: what the schedule's position rate is multiplied by.

    Raises:
        RunError: the loss is not finite; the parameters are as they were.
    """
    views = (view,) if isinstance(view, View) else view
    before = state.step
    state.step += len(views)
    state.views = len(views)
    model = state.model
    model.set_rate("means", position_factor * schedule.position_rate(config, state.step, state.extent))
    degree = min(schedule.sh_degree(config, state.step), model.facts.sh_degree)
    wanted = tuple(dict.fromkeys(name for each in config.strategies for name in each.gradients))
    try:
        if len(views) == 1:
            loss, gradients = model.step(views[0], background, degree, config.ssim_weight, statistics, wanted)
        else:
            loss, gradients = model.step_batch(views, background, degree, config.ssim_weight, statistics, wanted)
    except LostError as lost:
        state.step, lost.untouched = before, True
        raise
    if not math.isfinite(loss):
        shown = f"view {views[0].name}" if len(views) == 1 else f"one of {', '.join(each.name for each in views)}"
        raise RunError(
            f"the loss is {loss} at step {state.step}, {shown}; lower the learning rates or check that photo"
        )
    for each in config.strategies:
        each.learn(state, gradients)
    return loss
