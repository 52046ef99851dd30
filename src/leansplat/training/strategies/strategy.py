"""`Strategy`: a frozen dataclass of settings, with what it does after a training step.

A step has two ends. First every strategy may `learn` from it, while the Gaussians are still those that were rendered,
so that gradients and statistics belong to them. Then, one after the other, they may change which Gaussians there are,
and their values: `after_step`. What a strategy remembers is in the training's state under the strategy's name; rows of
it stay with their Gaussians whoever removes or copies them, and checkpoints keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from leansplat.configs import Config
from leansplat.errors import RunError

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture
    from leansplat.runs import Run
    from leansplat.training.state import TrainingState

Memory = dict[str, Tensor]
"""What a strategy remembers: tensors by name."""


@dataclass(frozen=True)
class AfterStep:
    """A training right after a step, as strategies see it.

    Args:
        state: the training: `state.model` is the scene, `state.statistics` what rendering told of it, `state.step` the
            steps made, `state.generator` the only source of random numbers, `state.extent` the unit of sizes, and
            `state.memory[name]` what the strategy of that name remembers. After a batch of views, strategies are asked
            once for each of the steps that it counts as.
        capture: what is trained on.
        iterations: steps in all.
        run: what keeps the log, or None.
    """

    state: TrainingState
    capture: Capture
    iterations: int
    run: Run | None

    def cameras(self) -> Tensor:
        """(V, 3) float64 positions of the training cameras, relative to the scene's origin."""
        origin = self.state.model.facts.origin
        return torch.stack([view.camera.relative_to(origin).position for view in self.capture.train])

    def log(self, event: str, **values: Any) -> None:
        """Add an event to the run's log."""
        if self.run is not None:
            self.run.log(event, self.state.step, **values)

    def keep(self, kept: Tensor, event: str) -> None:
        """Remove the Gaussians that are not `kept` (N,) bool, and log it under the name of `event`."""
        if not bool(kept.all()):
            self.state.select(kept)
            self.log(event, pruned=int((~kept).sum()), gaussians=self.state.count)


@dataclass(frozen=True)
class Strategy(Config):
    """Base of strategies; what one does not need, it leaves as it is here.

    A subclass is a frozen dataclass under `@strategy("name")`, whose fields are its settings.
    """

    name: ClassVar[str] = ""
    """Set by the decorator: what it is called in config.json, and where its memory is kept."""

    gradients: ClassVar[tuple[str, ...]] = ()
    """Attributes whose gradients `learn` is to be given; asking for any costs an engine time."""

    without_rows: ClassVar[tuple[str, ...]] = ()
    """Tensors in its memory that are not a row for each Gaussian, and stay as they are when Gaussians go."""

    def scaled(self, before: int, after: int) -> Strategy:
        """The same strategy for a training of `after` steps instead of `before`."""
        return self

    def memory(self, count: int) -> Memory:
        """What it remembers at the beginning, of a scene of `count` Gaussians: tensors of (count, ...).

        Tensors in `without_rows` have any shape, the same for every count.
        """
        return {}

    def wants_statistics(self, step: int) -> bool:
        """Whether it reads statistics that the render of `step`, counted from 1, is to add to."""
        return False

    def learn(self, state: TrainingState, gradients: Mapping[str, Tensor]) -> None:
        """Learn from the step just made, in training and in fine-tuning, of the Gaussians that were rendered.

        It may change its memory and attributes of Gaussians, but not which Gaussians there are.

        Args:
            gradients: of the loss by the attributes that `gradients` names, in the shapes of `Gaussians`.
        """

    def after_step(self, after: AfterStep) -> None:
        """Do what is due after a step of a training: select, rebuild, write, reset."""


STRATEGIES: dict[str, type[Strategy]] = {}
"""Every strategy by name."""

Kind = TypeVar("Kind", bound=Strategy)


def strategy(name: str) -> Callable[[type[Kind]], type[Kind]]:
    """Decorator that lists a class in `STRATEGIES`, so that runs and checkpoints that name it can be read."""

    def register(kind: type[Kind]) -> type[Kind]:
        kind.name = name
        STRATEGIES[name] = kind
        return kind

    return register


def named(name: str) -> type[Strategy]:
    """The strategy of a name that settings or a checkpoint give.

    Raises:
        RunError: there is none.
    """
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise RunError(f"there is no strategy {name!r} among {known}; import the module that has it first")
    return STRATEGIES[name]
