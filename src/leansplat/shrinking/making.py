"""`Maker`: from a stage of a descent to a file, trained through the file's rounding, and judged as a reader gets it.

It also shares the steps out: so many for the way down, so many for the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from leansplat.shrinking.judging import Judge, Loss
from leansplat.shrinking.plain import PLAIN
from leansplat.shrinking.timetable import Timetable
from leansplat.simd import memory
from leansplat.unsaid import unsaid

_log = logging.getLogger("leansplat")

_SHARE_OF_ENCODING = 0.35
"""Of the steps, that go to training through the rounding of the file, where there is one."""


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


@dataclass(frozen=True)
class Candidate:
    """A file that is not where it was asked for, as another may be better.

    Args:
        reached: what it is.
        said: what there is to say of it, which nobody has heard yet.
    """

    reached: Reached
    said: list[logging.LogRecord]

    @classmethod
    def made(cls, make: Callable[[Path], Reached], path: Path) -> Candidate:
        """What a function makes at a place where files may be replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with unsaid() as said:
            return cls(make(path), said)

    def put(self, path: Path, *, overwrite: bool) -> Reached:
        """Put it where it was asked for, and say what there is to say of it."""
        copy_file(self.reached.path, path, overwrite=overwrite)
        for record in self.said:
            _log.log(record.levelno, "%s", record.getMessage().replace(str(self.reached.path), str(path)))
        return replace(self.reached, path=path)


class Maker:
    """Makes files of what a descent comes to.

    Args:
        descent: holds the scene, the views and the folder for checkpoints.
        codec: the kind of file.
        levels: files that the steps, or the minutes, are for.
        began: `time.perf_counter()` when the minutes began.

    Attributes:
        files: how many were made so far.
        told: what there is to say of the next, sentence by sentence.
    """

    def __init__(
        self, descent: Descent, codec: Codec, judge: Judge, config: ShrinkingConfig, began: float, *, levels: int = 1
    ) -> None:
        self.descent, self.codec, self.judge, self.config = descent, codec, judge, config
        self.levels = levels
        self.files = 0
        self.told: list[str] = []
        self._timetable = None
        if config.minutes is not None:
            self._timetable = Timetable(descent, config.minutes, began, levels, self.for_encoding)

    def planned(self, above: Stage, count: int) -> tuple[int, int]:
        """Steps of trimming and of training through the file's rounding, from a stage to `count` Gaussians."""
        return self._begun(above, count, merges=False)[1:]

    def begun(self, above: Stage, count: int, afterwards: float = 0.0) -> tuple[Stage, int, int]:
        """The stage to go down from to `count` Gaussians, with `planned` steps; it is merged already where all is to be
        done in some time, of which `afterwards` seconds are left for other than steps."""
        return self._begun(above, count, afterwards, merges=True)

    def _begun(self, above: Stage, count: int, afterwards: float = 0.0, *, merges: bool) -> tuple[Stage, int, int]:
        if self._timetable is None:
            steps = (USUAL_STEPS if self.config.steps is None else self.config.steps) // self.levels
        else:
            above, steps = self._timetable.begun(above, count, self.files, afterwards, merges=merges)
            self.told.append(f"{steps:,} training step{'s fit' if steps != 1 else ' fits'} into the time")
        encoding = self.for_encoding(steps)
        return above, steps - encoding, encoding

    def for_encoding(self, steps: int) -> int:
        """What of some steps goes to training through the rounding, which knows of no Gaussians to leave alone."""
        through = self.codec.suffix not in PLAIN and bool(self.descent.freedom.changeable.all())
        return int(_SHARE_OF_ENCODING * steps) if through else 0

    def encoded_loss(self, stage: Stage) -> Loss:
        """What a stage lost, as a file that is merely encoded says it."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self.codec.suffix}"
            self.codec.write(stage.gaussians, path)
            return self.judge.loss(read_again(path, self.descent.given))

    def written(self, stage: Stage, codec: Codec, steps: int, path: Path, overwrite: bool) -> Reached:
        """The file of a stage, trained through its rounding."""
        self.files += 1
        return self._written(stage, codec, steps, path, overwrite, self.descent.folder / f"file-{self.files:02}")

    def encoded(self, stage: Stage, codec: Codec, path: Path) -> Reached:
        """The file of a stage, which may replace another and does not count as one that was asked for."""
        return self._written(stage, codec, 0, path, True, None)

    def _written(
        self, stage: Stage, codec: Codec, steps: int, path: Path, overwrite: bool, run: Path | None
    ) -> Reached:
        memory.release()
        descent, given = self.descent, self.descent.given
        extras = {name: values[stage.rows] for name, values in given.extras.items()}
        tuning = FineTuningConfig(steps=steps, batch=self.config.batch, seed=self.config.seed)
        made = compress(
            replace(stage.gaussians, extras=extras, comments=given.comments),
            descent.teacher,
            path,
            CompressionConfig(fine_tuning=tuning),
            run if steps else None,
            codec=codec,
            engine=descent.engine,
            resume=descent.resume and steps > 0 and run is not None and has_begun(run),
            overwrite=overwrite,
            progress=at_stage(descent.progress, f"training through {codec.suffix}" if steps else "writing"),
        )
        at_stage(descent.progress, "measuring what is lost")
        gaussians = read_again(path, given)
        loss = self.judge.loss(gaussians)
        tuned = made.written == "fine-tuned"
        return Reached(stage, path, gaussians, loss, True, tuple(self.told), stage.steps + steps, tuned)


def read_again(path: Path, given: Gaussians) -> Gaussians:
    """The scene in a file, which may have no place for the origin that it has in common with the one given."""
    with unsaid():
        scene = formats.read(path)
    return replace(scene, origin=given.origin) if scene.origin == WORLD else scene
