"""Training straight to a number of Gaussians: up along a curve to more than that, then down to it in rounds.

Growth adds as many Gaussians as the curve has room for, where the loss pulls hardest across the screen; thresholds play
no part in it, so the size is never a surprise. Past the peak, the Gaussians that the photos would miss least make room
for new ones. Then rounds remove what is worth least until exactly the wanted number is left. Growing straight to that
number, without the peak, leaves Gaussians where they were first needed and not where they are needed in the end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from leansplat.errors import InputError
from leansplat.training.lengths import check_least, check_not_negative, scaled_interval, scaled_length, scaled_reset
from leansplat.training.strategies.densification import reset_opacities
from leansplat.training.strategies.growth import grow
from leansplat.training.strategies.strategy import AfterStep, Memory, Strategy, strategy
from leansplat.training.strategies.worth import by_worth, without_least

_log = logging.getLogger("leansplat")


@strategy("budget-training")
@dataclass(frozen=True)
class BudgetTraining(Strategy):
    """Grow to a peak, and go down to a number of Gaussians in rounds.

    The lengths are those of 5,000 steps; the constants were found by benchmarks/time_to_quality.py.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    count: int = 30_000
    """Gaussians at the end, exactly, unless training could not make as many; at least 1."""

    peak: float = 2.5
    """Most Gaussians on the way, in units of `count`; at least 1. GNS (2511.16980) has 3."""

    after: int = 150
    """The scene grows after this step."""

    until: int = 3000
    """It grows before this step; from here on, rounds remove Gaussians."""

    every: int = 83
    """Steps from one growth to the next, at least 1."""

    exponent: float = 0.7
    """Power of the curve from the first count to the peak; below 1 most Gaussians come early."""

    peak_at: float = 0.7
    """Share of the growing time after which the peak is reached, above 0 and at most 1."""

    swapped: float = 0.05
    """Share of the Gaussians that, at the peak, every growth replaces: those of least worth."""

    size: float = 0.01
    """A growing Gaussian is cloned up to this scale (longest axis, in units of the scene extent) and split above."""

    faint: float = 0.005
    """Gaussians of lower opacity are removed whenever the scene grows."""

    reset_every: int = 500
    """Steps between pulling all opacities down where a capture has no points, at least 1. Of the random points that
    training starts from then, most are in the photos' way; they stay faint and go. Where there are points, resets cost
    more than they win."""

    reset_until: int = 2500
    """Opacities are pulled down before this step."""

    reset_opacity: float = 0.01
    """Opacity that this leaves at most, between 0 and 1."""

    fewer_until: int = 4000
    """The last round is after this step."""

    rounds: int = 6
    """Rounds that go down to `count`, from `until` to `fewer_until` at equal distances; at least 1."""

    judging_views: int = 100
    """Views that worth is judged by at most, at least 1; of more, as many are drawn each time."""

    without_rows: ClassVar[tuple[str, ...]] = ("first_count",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, count=1, every=1, reset_every=1, rounds=1, judging_views=1)
        check_least(self, after=0, until=0, reset_until=0, fewer_until=0)
        check_not_negative(self, "exponent", "size", "faint", "swapped")
        if self.peak < 1:
            raise InputError(f"setting peak is {self.peak}; give 1 or more")
        if not 0 < self.peak_at <= 1 or not self.swapped < 1:
            raise InputError("settings peak_at and swapped are shares; give at most 1")
        if not 0 < self.reset_opacity < 1:
            raise InputError(f"setting reset_opacity is {self.reset_opacity}; give a value between 0 and 1")

    def scaled(self, before: int, after: int) -> BudgetTraining:
        names = ("after", "until", "reset_until", "fewer_until")
        lengths = {name: scaled_length(getattr(self, name), before, after) for name in names}
        return replace(
            self,
            **lengths,
            every=scaled_interval(self.every, lengths["until"] - lengths["after"], before, after),
            reset_every=scaled_reset(self.reset_every, before, after),
        )

    def memory(self, count: int) -> Memory:
        """How many Gaussians the curve begins with."""
        return {"first_count": torch.tensor([count])}

    def wants_statistics(self, step: int) -> bool:
        return step < self.until

    def grows(self, step: int) -> bool:
        """Whether the scene grows after `step`."""
        return self.after < step < self.until and step % self.every == 0

    def wanted(self, step: int, first: int) -> int:
        """How many Gaussians a scene that began with `first` is to have after `step`, while it grows."""
        done = (step - self.after) / max(self.until - self.after, 1) / self.peak_at
        return round(first + (self.peak * self.count - first) * min(max(done, 0.0), 1.0) ** self.exponent)

    def at_peak(self, step: int) -> bool:
        return step - self.after >= self.peak_at * (self.until - self.after)

    def resets_opacities(self, step: int) -> bool:
        """Whether opacities are pulled down after `step`, where training starts from random points."""
        return step < self.reset_until and step % self.reset_every == 0

    def rounds_left(self, step: int) -> int:
        """Rounds from the one after `step` on, that one included; 0 where there is none after `step`."""
        span = self.fewer_until - self.until
        for number in reversed(range(self.rounds)):  # of several after one step, in a short schedule, the last
            share = number / (self.rounds - 1) if self.rounds > 1 else 1.0
            if step == self.until + round(share * span):
                return self.rounds - number
        return 0

    def after_step(self, after: AfterStep) -> None:
        state = after.state
        if self.grows(state.step):
            self._grow(after)
        if self.resets_opacities(state.step) and not after.capture.has_points:
            reset_opacities(state.model, self.reset_opacity)
            after.log("opacities_reset")
        if left := self.rounds_left(state.step):
            self._go_down(after, left)
        if state.step == after.iterations and state.count < self.count:
            _log.warning(
                "training made %s Gaussians, fewer than the %s asked for; give it more steps, or ask for fewer",
                f"{state.count:,}",
                f"{self.count:,}",
            )

    def _grow(self, after: AfterStep) -> None:
        state = after.state
        before = state.count
        wanted = self.wanted(state.step, int(state.memory[self.name]["first_count"]))
        kept = state.model.attribute("opacities").cpu().sigmoid() >= self.faint
        surplus = before - wanted
        if self.at_peak(state.step):
            surplus = max(surplus, round(self.swapped * before))
        if surplus > 0:
            kept &= without_least(by_worth(after, self.judging_views), surplus)
        if not bool(kept.any()):
            kept[state.model.attribute("opacities").argmax()] = True
        grown = grow(state, kept, wanted - int(kept.sum()), self.size)
        after.log("grown", removed=before - int(kept.sum()), **grown, gaussians=state.count)

    def _go_down(self, after: AfterStep, left: int) -> None:
        """The first of `left` rounds to `count`, each of which keeps the same share."""
        before = after.state.count
        if before <= self.count:
            return
        kept = self.count if left == 1 else round(before * (self.count / before) ** (1 / left))
        after.keep(without_least(by_worth(after, self.judging_views), before - kept), "rounded_down")
