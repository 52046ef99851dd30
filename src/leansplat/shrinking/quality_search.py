"""`QualitySearch`: the smallest file that loses no more than a target allows.

It goes down stage by stage while what is merely encoded holds. The few steps of a stage may learn views by heart, so
where one that was trained does not hold, as many Gaussians are tried without. Training through the file's rounding
takes some of the loss back, so each file that was made tells how much further down to look, and where a file does not
hold, that of the stage above is next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from leansplat.shrinking.descent import Stage
from leansplat.shrinking.fitting import Shares
from leansplat.shrinking.making import Candidate, Maker, Reached
from leansplat.shrinking.targets import Target

_FIRST_SHARE = 0.5
"""Of a scene's Gaussians, that the first stage towards a target of quality keeps."""

_CLOSE = 0.9
"""Share of Gaussians that a stage keeps at most: nearer to the last that holds, none is looked for."""

_CLOSE_TO_ALL = 0.95
"""The same where no stage that keeps less than `_CLOSE` holds, of a scene that changes with every Gaussian that goes:
many such stages, each trained, lead a long way down."""

_STAGES = 8
"""Stages that the steps of a descent towards a target of quality are planned for."""

_SHARE_OF_PROBING = 1 / 3
"""Of the steps through the rounding of the file, by which it is found how much of the loss they take back."""


@dataclass
class _Trials:
    """Stages on the way to a target of quality.

    Args:
        held: those that hold, each smaller than the one before.
        used: what a merely encoded file of each stage uses of what is allowed.
        steps_each: training steps of a stage.
        failed: those that do not hold, and what each was made of; made in smaller steps, one with as many may hold.
        steps: training steps made for all of them.
    """

    held: list[Stage]
    used: dict[Stage, float]
    steps_each: int
    failed: dict[Stage, Stage] = field(default_factory=dict)
    steps: int = 0

    @property
    def too_few(self) -> int:
        """Gaussians with which none holds that is made of the last one."""
        return max((len(stage.gaussians) for stage, above in self.failed.items() if above is self.held[-1]), default=0)

    def down_to(self, best: _File | None) -> list[Stage]:
        """Those that hold, the smallest first, down to that of the best file so far."""
        stages = self.held[::-1]
        return stages if best is None or not best.holds else stages[: stages.index(best.reached.stage) + 1]

    def end_at(self, best: _File) -> None:
        """Leave those out that are smaller than the best file's, since their files did not hold."""
        place = self.held.index(best.reached.stage)
        for stage in self.held[place + 1 :]:
            self.used[stage], self.failed[stage] = math.inf, best.reached.stage
        del self.held[place + 1 :]

    def take_back(self, allowed: float) -> None:
        """Let those that failed hold where they do with more allowed."""
        for stage in sorted(self.failed, key=lambda stage: -len(stage.gaussians)):
            if self.used[stage] <= allowed and len(stage.gaussians) < len(self.held[-1].gaussians):
                self.held.append(stage)
                del self.failed[stage]


class QualitySearch:
    """Looks for a file of a target of quality, and has it made."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._candidates = 0

    def reach(self, target: Target, above: Stage, path: Path, overwrite: bool) -> Reached:
        """The smallest file that holds, of three: one trained in few steps, which tells what training wins; one of what
        should hold by that; and, where there is time, one of what should hold by the second."""
        trimming, encoding = self._maker.planned(above, max(1, round(_FIRST_SHARE**3 * len(above.gaussians))))
        first = self._maker.encoded_loss(above).used(target)
        trials = _Trials([above], {above: first}, trimming // _STAGES)
        self._go_down(trials, target, 1.0, _FIRST_SHARE if first <= 1 else 1.0)
        best = None
        probing = int(_SHARE_OF_PROBING * encoding)
        if probing:
            best = self._first_that_holds(trials, trials.held[:-2:-1], target, probing)
            if best.holds:
                rest = Shares.after(encoding - probing).coarseness / Shares.after(probing).coarseness
                self._go_further(trials, target, best.reached, math.sqrt(rest))
            encoding -= probing
        encoding = max(encoding // 2, encoding + trimming - trials.steps) if encoding else 0
        made = self._first_that_holds(trials, trials.down_to(best), target, encoding)
        if made.holds or best is None or not best.holds:
            best = made
        if best is made and made.holds and encoding and self._maker.config.minutes is None:
            trials.end_at(best)
            self._go_further(trials, target, best.reached, 1.0)
            if trials.held[-1] is not best.reached.stage:
                again = self._first_that_holds(trials, trials.down_to(best)[:-1], target, encoding)
                best = again if again.holds else best
        reached = best.candidate.put(path, overwrite=overwrite)
        if best.holds:
            return reached
        said = (
            f"a {self._maker.codec.suffix} of all Gaussians loses more than {target.described()} by its rounding "
            "alone; the file is the nearest, another format such as .ply may do"
        )
        return replace(reached, met=False, told=(*reached.told, said))

    def _first_that_holds(self, trials: _Trials, stages: Sequence[Stage], target: Target, steps: int) -> _File:
        """The file of the first stage whose file holds, or that of the last."""
        for stage in stages:
            found = self._made(stage, target, steps)
            if not found.holds and steps and trials.used[stage] <= 1:
                found = self._made(stage, target, 0)  # what is right for views trained on may be less so for others
            if found.holds:
                break
        return found

    def _made(self, stage: Stage, target: Target, steps: int) -> _File:
        maker = self._maker

        def write(path: Path) -> Reached:
            if steps:
                return maker.written(stage, maker.codec, steps, path, True)
            return maker.encoded(stage, maker.codec, path)

        self._candidates += 1
        path = maker.descent.folder / f"candidate-{self._candidates:02}{maker.codec.suffix}"
        candidate = Candidate.made(write, path)
        return _File(candidate, candidate.reached.loss.within(target))

    def _go_further(self, trials: _Trials, target: Target, reached: Reached, rest: float) -> None:
        """Go down by what training through the file has won at a stage, of whose loss it is to leave so much more."""
        allowed = trials.used[reached.stage] / max(rest * reached.loss.used(target), 1e-6)
        self._go_down(trials, target, max(1.0, allowed), math.sqrt(_FIRST_SHARE))

    def _go_down(self, trials: _Trials, target: Target, allowed: float, share: float) -> None:
        """Look for the smallest stage of which a merely encoded file uses no more than `allowed` of what a target
        allows, from the last one that holds, first by `share`."""
        trials.take_back(allowed)
        close = _CLOSE_TO_ALL if len(trials.held) == 1 else _CLOSE
        while share < close:
            above = trials.held[-1]
            count = max(self._maker.descent.freedom.least, 1, round(share * len(above.gaussians)))
            if count >= len(above.gaussians):
                break
            if count <= trials.too_few:
                share = math.sqrt(share)
                continue
            stage = self._tried(trials, above, count, target, allowed)
            if trials.used[stage] <= allowed:
                trials.held.append(stage)
                close = _CLOSE if share < _CLOSE else close
            else:
                trials.failed[stage] = above
                share = math.sqrt(share)

    def _tried(self, trials: _Trials, above: Stage, count: int, target: Target, allowed: float) -> Stage:
        """A stage of so many Gaussians, trained, or where that loses more than allowed, the better of two: what trains
        for views on the way down may have learned them by heart, or have had too few steps."""
        descent = self._maker.descent
        stage = descent.down(above, count, trials.steps_each, one_of_many=True)
        trials.steps += stage.steps - above.steps
        trials.used[stage] = self._maker.encoded_loss(stage).used(target)
        if trials.used[stage] > allowed and trials.steps_each:
            untrained = descent.down(above, count, 0, one_of_many=True)
            trials.used[untrained] = self._maker.encoded_loss(untrained).used(target)
            stage = min(stage, untrained, key=trials.used.__getitem__)
        return stage


@dataclass(frozen=True)
class _File:
    """A file, and whether its target allows what it lost."""

    candidate: Candidate
    holds: bool

    @property
    def reached(self) -> Reached:
        return self.candidate.reached
