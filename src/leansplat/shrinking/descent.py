"""`Descent`: down in Gaussians, each stage from where the one before stopped, and back up where one went too far.

A stage is a trimming in a run folder of its own, whose last checkpoint the next one begins with. So nothing is trained
twice, a descent that was interrupted goes on from its last checkpoint, and any stage can be returned to.

Gaussians that no view shows cannot be judged, nor taught anything. Where views are made up, other people may well look
there: these Gaussians become fewer in the same proportion as the others, by merging, and stay as they are otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians
from leansplat.merging import simplify
from leansplat.progress import Progress, at_stage
from leansplat.pruning import TrimmingConfig, trim
from leansplat.pruning.schedule import EASED
from leansplat.runs import has_begun
from leansplat.shrinking.regions import Freedom
from leansplat.shrinking.within import few_views, worth_of
from leansplat.simd import memory

_ROUNDS = 10
"""Rounds of a stage at most: as many as take no more time than half of its training, and one for each halving."""

_RATE, _POSITION_RATE = 0.9, 30.0
"""Learning rates at the first step for each halving, in the units of `TrimmingConfig`. Before anything goes the scene
matches its own renders. The rates with which a tenth of it learns to stand for the whole would undo that where half of
it stays, and never find back."""

_FEW_PASSES = 4
"""Steps for each view, below which Gaussians are merged and then trained: too few to make up for those removed."""

_MERGED_TO = 1.5
"""Times the Gaussians of a stage, down to which they are merged before those that are left go in rounds. Of two that
show much the same, pruning takes one and has to train the other to stand for both; merged, it does so from the start,
from all directions. The last third still goes in rounds, by what the views show after some training."""

MOST_TAUGHT = 0.5
"""Share of the Gaussians, of which more are to stay where training may do no better than merging and removing alone: it
learns the views that it sees by heart, and has little else to learn."""

_SHARE_OF_ROUNDS = 1 / 3
"""Of a stage's steps, which are taken between rounds of pruning; the others come after the last round."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What a descent has come to.

    Args:
        gaussians: the scene.
        rows: (M,) int64, which of the Gaussians at the top each is; of merged ones, the heaviest.
        run: the folder of its trimming, whose optimiser goes on; None where there is none.
        steps: training steps behind it, from the beginning.
        before: Gaussians that there were before these were merged of them, and not trained yet; None where they were
            not.
    """

    gaussians: Gaussians
    rows: Tensor
    run: Path | None
    steps: int
    before: int | None = None


@dataclass
class Descent:
    """A descent in a folder.

    Args:
        given: the scene at the top.
        teacher: its renders.
        freedom: what may be removed and changed of it.
        folder: where stages are kept, each in a run folder with the number of the stage.
        merges: whether Gaussians that no view shows are merged in proportion, rather than ranked by opacity, and the
            others are merged before they are pruned. It keeps more of what other views show, so it is for views that
            are made up; by cameras of photos it takes longer, and loses as often as it wins.
        resume: take over what earlier stages in the folder have done.
        overwrite: replace what an earlier descent has left in the folder.
        batch: views of a training step.
    """

    given: Gaussians
    teacher: Capture
    freedom: Freedom
    folder: Path
    criterion: str
    seed: int
    merges: bool
    engine: str = "cpu"
    resume: bool = False
    overwrite: bool = False
    progress: Progress | None = None
    batch: int = 1
    stages: int = field(default=0, init=False)

    @cached_property
    def unseen(self) -> Tensor:
        """(N,) bool, which of the scene at the top no training view shows."""
        return worth_of(self.given, self.teacher, self.engine) <= 0

    @property
    def top(self) -> Stage:
        """The scene as it was given."""
        return Stage(self.given, torch.arange(len(self.given)), None, 0)

    def down(self, above: Stage, count: int, steps: int, *, one_of_many: bool = False) -> Stage:
        """A stage with `count` Gaussians; in `steps` training steps, or by merging and removing alone where that is 0.

        Args:
            one_of_many: whether it is a trial on the way to a target of quality, where merging anew for each, which
                takes longer than few steps do, would be most of the time.

        Raises:
            InputError: regions do not allow so few.
        """
        self.freedom.check_count(count)
        memory.release()
        if count >= len(above.gaussians) and (steps == 0 or above.before is None):
            return above
        if (above.before is None and not one_of_many) or steps == 0:
            above = self.merged_first(above, count, steps)
        if steps == 0:
            return above
        merged = len(above.gaussians) == count
        halvings = math.log2((above.before or len(above.gaussians)) / count)
        passes = steps / len(self.teacher.train)
        protected = ~self.freedom.removable[above.rows]
        if self.merges:
            above, unseen = self._without_surplus_unseen(above, count, protected)
            protected = ~self.freedom.removable[above.rows] | unseen
        self.stages += 1
        run = self.folder / f"stage-{self.stages:02}"
        # Scoring takes about as long as a step for every view.
        rounds = 1 if merged else min(steps, max(math.ceil(halvings), min(_ROUNDS, int(passes / 2))))
        every = max(1, int(steps * _SHARE_OF_ROUNDS) // rounds)
        config = TrimmingConfig(
            count=count,
            criterion=self.criterion,
            rounds=rounds,
            every=every,
            finetune=max(0, steps - rounds * every),
            position_rate=min(EASED.position_rate, max(1.0, _POSITION_RATE * halvings)),
            rate=min(EASED.rate, max(EASED.final_rate, _RATE * halvings)),
            batch=self.batch,
            seed=self.seed,
        )
        frozen = ~self.freedom.changeable[above.rows]
        result = trim(
            above.gaussians if above.run is None else above.run,
            self.teacher,
            config,
            run,
            engine=self.engine,
            protected=protected if bool(protected.any()) else None,
            frozen=frozen if bool(frozen.any()) else None,
            resume=self.resume and has_begun(run),
            overwrite=self.overwrite,
            progress=at_stage(self.progress, f"trimming to {count:,} Gaussians"),
        )
        assert result.rows is not None
        return Stage(result.gaussians, above.rows[result.rows], run, above.steps + config.iterations)

    def merged_first(self, above: Stage, count: int, steps: int, another: Callable[[], bool] | None = None) -> Stage:
        """The stage as it is before so many training steps take it down to `count` Gaussians: merged to more than that,
        to as many where there are few steps, or the same where nothing is to be merged.

        Args:
            another: as `simplify` takes it; fewer views judge then.

        Raises:
            InputError: regions do not allow so few.
        """
        self.freedom.check_count(count)
        if steps < _FEW_PASSES * len(self.teacher.train):
            aim, views = count, self.teacher if another is None else few_views(self.teacher)
        elif self.merges:
            aim, views = round(_MERGED_TO * count), few_views(self.teacher)
        else:
            return above
        if aim >= len(above.gaussians):
            return above
        fewer = self._merged(above, aim, ~self.freedom.removable[above.rows], views, another)
        return replace(fewer, before=above.before or len(above.gaussians))

    def _without_surplus_unseen(self, above: Stage, count: int, protected: Tensor) -> tuple[Stage, Tensor]:
        """The stage with as many of the unseen as are their share of `count` beside what is protected, and (M,) bool,
        which these are."""
        if above.gaussians is self.given:
            unseen = self.unseen & ~protected
        else:
            unseen = (worth_of(above.gaussians, self.teacher, self.engine) <= 0) & ~protected
        fixed = int(protected.sum())
        movable = len(above.gaussians) - fixed
        surplus = int(unseen.sum()) - math.ceil(int(unseen.sum()) * (count - fixed) / movable)
        if surplus <= 0:
            return above, unseen
        fewer = self._merged(above, len(above.gaussians) - surplus, ~unseen, None)
        kept = torch.zeros(len(self.given), dtype=torch.bool)
        kept[above.rows[unseen]] = True
        return fewer, kept[fewer.rows]

    def _merged(
        self,
        above: Stage,
        count: int,
        protected: Tensor,
        views: Capture | None,
        another: Callable[[], bool] | None = None,
    ) -> Stage:
        fewer = simplify(
            above.gaussians,
            count,
            views,
            protected=protected if bool(protected.any()) else None,
            seed=self.seed,
            another=another,
            progress=at_stage(self.progress, f"merging to {count:,} Gaussians"),
        )
        return Stage(fewer.gaussians, above.rows[fewer.sources], None, above.steps)
