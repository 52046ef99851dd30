"""`Reach`: from a stage of a descent to a file that a target allows.

A target of bytes becomes a count and a grade of the kind of file first (`fitting`), since a byte can go to either. A
target of quality is met by going down stage by stage while what is merely encoded holds. Training through the file's
rounding takes some of the loss back, so each file that was made tells how much further down to look, and where a file
does not hold, that of the stage above is next. What was reached can be gone on from, to a smaller target.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from leansplat import formats
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.compression.codecs import Codec
from leansplat.files import copy_file
from leansplat.gaussians import WORLD, Gaussians
from leansplat.progress import at_stage
from leansplat.runs import has_begun
from leansplat.shrinking.config import USUAL_STEPS, ShrinkingConfig
from leansplat.shrinking.descent import Descent, Stage
from leansplat.shrinking.fitting import LEAST_SHARE, Choice, Shares, choose
from leansplat.shrinking.judging import Judge, Loss
from leansplat.shrinking.pace import steps_within
from leansplat.shrinking.plain import PLAIN
from leansplat.shrinking.sized import filled
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.targets import Target
from leansplat.shrinking.within import few_views, worth_of

_log = logging.getLogger("leansplat")

_SHARE_OF_ENCODING = 0.35
"""Of the steps, that go to training through the rounding of the file, where there is one."""

_MARGIN = 1.03
"""Of the Gaussians that a size has room for, what is trimmed to before the file is made."""

_FIRST_SHARE = 0.5
"""Of a scene's Gaussians, that the first stage towards a target of quality keeps."""

_CLOSE = 0.9
"""Share of Gaussians that a stage keeps at most: nearer to the last that holds, none is looked for."""

_STAGES = 8
"""Stages that the steps of a descent towards a target of quality are planned for."""

_SHARE_OF_PROBING = 1 / 3
"""Of the steps through the rounding of the file, by which it is found how much of the loss they take back."""


@dataclass(frozen=True)
class Reached:
    """A file, and where it was made from.

    Args:
        stage: what to go on from.
        path: the file; gaussians: what a reader of it gets.
        loss: what these lost against the scene as it was given.
        met: whether the target was met.
        told: what there is to say of it, sentence by sentence.
        steps: training steps behind it.
        tuned: whether it is what was trained through the file's rounding, which is not always the best.
    """

    stage: Stage
    path: Path
    gaussians: Gaussians
    loss: Loss
    met: bool
    told: tuple[str, ...]
    steps: int
    tuned: bool


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


class Reach:
    """Makes files of what a descent comes to.

    Args:
        descent: holds the scene, the views and the folder for checkpoints.
        codec: the kind of file.
        levels: files that the steps, or the minutes, are for.
        began: `time.perf_counter()` when the minutes began.
    """

    def __init__(
        self, descent: Descent, codec: Codec, judge: Judge, config: ShrinkingConfig, began: float, *, levels: int = 1
    ) -> None:
        self._descent, self._codec, self._judge, self._config = descent, codec, judge, config
        self._began, self._levels = began, levels
        self._files = 0
        self._told: list[str] = []

    def reach(self, target: Target, above: Stage, path: Path, *, overwrite: bool = False) -> Reached:
        """Write the file of a target from a stage.

        Raises:
            InputError: no file is as small, or regions do not allow as few Gaussians.
        """
        self._told = []
        if target.of_quality:
            return self._to_quality(target, above, path, overwrite)
        if target.size is not None:
            return self._to_size(target, target.size, above, path, overwrite)
        count = min(target.count_of(len(self._descent.given)) or 1, len(above.gaussians))
        trimming, encoding = self._planned(above, count)
        return self._written(self._descent.down(above, count, trimming), self._codec, encoding, path, overwrite)

    def _to_size(self, target: Target, size: int, above: Stage, path: Path, overwrite: bool) -> Reached:
        usual = USUAL_STEPS if self._config.steps is None else self._config.steps
        choice = self._chosen(above, size, self._for_encoding(usual))
        count = min(choice.count, target.count or choice.count)
        everything = count == len(above.gaussians) and not choice.fills
        if everything:
            self._told.append(
                f"all of the scene takes {format_bytes(choice.bytes)} at its finest, less than the "
                f"{format_bytes(size)} asked for; nothing was removed"
            )
        trimming, encoding = self._planned(above, count)
        margin = _MARGIN if trimming and count == choice.count else 1
        stage = self._descent.down(above, min(len(above.gaussians), math.ceil(margin * count)), trimming)
        if stage is not above:
            choice = self._chosen(stage, size, encoding)

        def limited(choice: Choice) -> Choice:
            return replace(choice, count=min(choice.count, target.count or choice.count))

        def write(codec: Codec, steps: int, again: bool) -> tuple[Reached, bool, int]:
            reached = self._written(stage, codec, steps, path, overwrite or again)
            return reached, reached.tuned, formats.scene_bytes(path)

        reached = filled(limited(choice), encoding, write, lambda: limited(self._chosen(stage, size, 0)))
        taken = formats.scene_bytes(path)
        if taken < LEAST_SHARE * size and not everything:
            said = f"{len(reached.gaussians):,} Gaussians take no more than {format_bytes(taken)} at their finest"
            return replace(reached, told=(*reached.told, said))
        return reached

    def _to_quality(self, target: Target, above: Stage, path: Path, overwrite: bool) -> Reached:
        """The smallest file that holds, of three: one trained in few steps, which tells what training wins; one of what
        should hold by that; and, where there is time, one of what should hold by the second."""
        trimming, encoding = self._planned(above, max(1, round(_FIRST_SHARE**3 * len(above.gaussians))))
        first = self._encoded_loss(above).used(target)
        trials = _Trials([above], {above: first}, trimming // _STAGES)
        self._go_down(trials, target, 1.0, _FIRST_SHARE if first <= 1 else 1.0)
        best = None
        probing = int(_SHARE_OF_PROBING * encoding)
        if probing:
            best = self._first_that_holds(trials.held[:-2:-1], target, probing)
            if best.holds:
                rest = Shares.after(encoding - probing).coarseness / Shares.after(probing).coarseness
                self._go_further(trials, target, best.reached, math.sqrt(rest))
            encoding -= probing
        encoding = max(encoding // 2, encoding + trimming - trials.steps) if encoding else 0
        made = self._first_that_holds(trials.down_to(best), target, encoding)
        if made.holds or best is None or not best.holds:
            best = made
        if best is made and made.holds and encoding and self._config.minutes is None:
            trials.end_at(best)
            self._go_further(trials, target, best.reached, 1.0)
            if trials.held[-1] is not best.reached.stage:
                again = self._first_that_holds(trials.down_to(best)[:-1], target, encoding)
                best = again if again.holds else best
        reached = best.written_to(path, overwrite)
        if best.holds:
            return reached
        said = (
            f"a {self._codec.suffix} of all Gaussians loses more than {target.described()} by its rounding alone; the "
            "file is the nearest, another format such as .ply may do"
        )
        return replace(reached, met=False, told=(*reached.told, said))

    def _first_that_holds(self, stages: Sequence[Stage], target: Target, steps: int) -> _File:
        """The file of the first stage whose file holds, or that of the last."""
        for stage in stages:
            scratch = self._descent.folder / f"file-{self._files + 1:02}{self._codec.suffix}"
            with _unsaid() as said:
                reached = self._written(stage, self._codec, steps, scratch, True)
            found = _File(reached, reached.loss.within(target), said)
            if found.holds:
                break
        return found

    def _go_further(self, trials: _Trials, target: Target, reached: Reached, rest: float) -> None:
        """Go down by what training through the file has won at a stage, of whose loss it is to leave so much more."""
        allowed = trials.used[reached.stage] / max(rest * reached.loss.used(target), 1e-6)
        self._go_down(trials, target, max(1.0, allowed), math.sqrt(_FIRST_SHARE))

    def _go_down(self, trials: _Trials, target: Target, allowed: float, share: float) -> None:
        """Look for the smallest stage of which a merely encoded file uses no more than `allowed` of what a target
        allows, from the last one that holds, first by `share`."""
        trials.take_back(allowed)
        while share < _CLOSE:
            above = trials.held[-1]
            count = max(self._descent.freedom.least, 1, round(share * len(above.gaussians)))
            if count >= len(above.gaussians):
                break
            if count <= trials.too_few:
                share = math.sqrt(share)
                continue
            stage = self._descent.down(above, count, trials.steps_each, one_of_many=True)
            trials.steps += stage.steps - above.steps
            trials.used[stage] = self._encoded_loss(stage).used(target)
            if trials.used[stage] <= allowed:
                trials.held.append(stage)
            else:
                trials.failed[stage] = above
                share = math.sqrt(share)

    def _chosen(self, stage: Stage, size: int, steps: int) -> Choice:
        teacher, engine = few_views(self._descent.teacher), self._descent.engine
        worth = worth_of(stage.gaussians, teacher, engine)
        return choose(stage.gaussians, worth, teacher, self._codec, size, steps=steps, engine=engine)

    def _planned(self, above: Stage, count: int) -> tuple[int, int]:
        """Steps of trimming and of training through the file's rounding, from a stage to `count` Gaussians."""
        steps, minutes = self._config.steps, self._config.minutes
        if minutes is not None:
            files_left = max(1, self._levels - self._files)
            left = (60 * minutes - (time.perf_counter() - self._began)) / files_left
            through = self._for_encoding(100) / 100
            steps = steps_within(left, above.gaussians, count, self._descent.teacher, through, self._descent.engine)
            self._told.append(f"{steps:,} training steps fit into the time")
        else:
            steps = (USUAL_STEPS if steps is None else steps) // self._levels
        encoding = self._for_encoding(steps)
        return steps - encoding, encoding

    def _for_encoding(self, steps: int) -> int:
        """What of some steps goes to training through the rounding, which knows of no Gaussians to leave alone."""
        through = self._codec.suffix not in PLAIN and bool(self._descent.freedom.changeable.all())
        return int(_SHARE_OF_ENCODING * steps) if through else 0

    def _encoded_loss(self, stage: Stage) -> Loss:
        """What a stage lost, as a file that is merely encoded says it."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self._codec.suffix}"
            self._codec.write(stage.gaussians, path)
            return self._judge.loss(read_again(path, self._descent.given))

    def _written(self, stage: Stage, codec: Codec, steps: int, path: Path, overwrite: bool) -> Reached:
        """The file of a stage, trained through its rounding."""
        descent, given = self._descent, self._descent.given
        extras = {name: values[stage.rows] for name, values in given.extras.items()}
        self._files += 1
        run = descent.folder / f"file-{self._files:02}"
        tuning = FineTuningConfig(steps=steps, batch=self._config.batch, seed=self._config.seed)
        made = compress(
            replace(stage.gaussians, extras=extras, comments=given.comments),
            descent.teacher,
            path,
            CompressionConfig(fine_tuning=tuning),
            run if steps else None,
            codec=codec,
            engine=descent.engine,
            resume=descent.resume and steps > 0 and has_begun(run),
            overwrite=overwrite,
            progress=at_stage(descent.progress, f"training through {codec.suffix}" if steps else "writing"),
        )
        at_stage(descent.progress, "measuring what is lost")
        gaussians = read_again(path, given)
        loss = self._judge.loss(gaussians)
        tuned = made.written == "fine-tuned"
        return Reached(stage, path, gaussians, loss, True, tuple(self._told), stage.steps + steps, tuned)


@dataclass(frozen=True)
class _File:
    """A file that is not yet where it was asked for.

    Args:
        reached: what it is; holds: whether its target allows what it lost.
        said: what there is to say of it.
    """

    reached: Reached
    holds: bool
    said: list[logging.LogRecord]

    def written_to(self, path: Path, overwrite: bool) -> Reached:
        """Put it where it was asked for, and say what there is to say of it."""
        copy_file(self.reached.path, path, overwrite=overwrite)
        for record in self.said:
            _log.log(record.levelno, "%s", record.getMessage().replace(str(self.reached.path), str(path)))
        return replace(self.reached, path=path)


@contextmanager
def _unsaid() -> Iterator[list[logging.LogRecord]]:
    """Keep what is said of a file during this block, until it is known whether anybody will see it."""
    said: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record)
        return False

    _log.addFilter(keep)
    try:
        yield said
    finally:
        _log.removeFilter(keep)


def read_again(path: Path, given: Gaussians) -> Gaussians:
    """The scene in a file, which may have no place for the origin that it has in common with the one given."""
    scene = formats.read(path)
    return replace(scene, origin=given.origin) if scene.origin == WORLD else scene
