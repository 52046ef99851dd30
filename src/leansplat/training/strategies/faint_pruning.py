"""Faint pruning: Gaussians of low opacity are removed although densification has ended.

The "no 3D prior" ablation of Trimming the Fat (Fig. 7a): what training alone finds superfluous.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from leansplat.training.lengths import check_least, check_not_negative, scaled_interval, scaled_length
from leansplat.training.strategies.strategy import AfterStep, Strategy, strategy


@strategy("faint-pruning")
@dataclass(frozen=True)
class FaintPruning(Strategy):
    """Remove what has become transparent, in an interval of steps.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    start: int = 15_000
    """Gaussians are removed from this step on: where densification, which does it too, has ended."""

    until: int = 25_000
    """They are removed before this step."""

    every: int = 100
    """Steps from one removal to the next, at least 1."""

    opacity: float = 0.005
    """Gaussians of lower opacity are removed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, start=0, until=0, every=1)
        check_not_negative(self, "opacity")

    def scaled(self, before: int, after: int) -> FaintPruning:
        start, until = (scaled_length(length, before, after) for length in (self.start, self.until))
        every = scaled_interval(self.every, max(until - start, 0), before, after)
        return replace(self, start=start, until=until, every=every)

    def prunes(self, step: int) -> bool:
        """Whether Gaussians are removed after `step`."""
        return self.start <= step < self.until and step % self.every == 0

    def after_step(self, after: AfterStep) -> None:
        if self.prunes(after.state.step):
            opacity = after.state.model.attribute("opacities").sigmoid()
            after.keep(opacity >= self.opacity, "faint_removed")
