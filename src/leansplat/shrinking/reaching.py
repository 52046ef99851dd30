"""`reach`: from a stage of a descent to a file that a target allows.

A target of bytes becomes a count and a grade of the kind of file first (`fitting`), since a byte can go to either. One
of quality is searched for (`quality_search`). What was reached can be gone on from, to a smaller target.

Where most Gaussians stay, training may do worse than none on views that it does not see. So the file of a count or a
size is made both ways there, and views held back say which is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from leansplat import formats
from leansplat.compression.codecs import Codec
from leansplat.scoring import Quality
from leansplat.shrinking.config import USUAL_STEPS
from leansplat.shrinking.descent import MOST_TAUGHT, Stage
from leansplat.shrinking.fitting import LEAST_SHARE, SAMPLE, Choice, choose
from leansplat.shrinking.making import Candidate, Maker, Reached
from leansplat.shrinking.quality_search import QualitySearch
from leansplat.shrinking.sized import filled
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.targets import Target
from leansplat.shrinking.within import few_views, worth_of
from leansplat.simd import memory

_MARGIN = 1.03
"""Of the Gaussians that a size has room for, what is trimmed to before the file is made."""

_MUCH_THE_SAME = 1.05
"""Times the bytes of a file that was trained, which one that is not may have and still be the better of two."""


def reach(maker: Maker, target: Target, above: Stage, path: Path, *, overwrite: bool = False) -> Reached:
    """Write the file of a target from a stage.

    Raises:
        InputError: no file is as small, or regions do not allow as few Gaussians.
    """
    maker.told = []
    if target.of_quality:
        return QualitySearch(maker).reach(target, above, path, overwrite)
    if target.size is not None:
        return _better(maker, _ToSize(maker, target, target.size, above), above, path, overwrite)
    return _better(maker, _ToCount(maker, target, above), above, path, overwrite)


class _Way(Protocol):
    """Two files of a count or a size.

    Attributes:
        count: Gaussians that they have, about.
    """

    count: int

    def untrained(self, path: Path) -> Reached:
        """What comes of a stage without training, written where files may be replaced."""

    def begin(self) -> int:
        """Share the training steps out, and return how many there are."""

    def trained(self, path: Path, overwrite: bool) -> Reached:
        """What these steps make of it."""


class _ToCount:
    """Files of so many Gaussians."""

    def __init__(self, maker: Maker, target: Target, above: Stage) -> None:
        maker.told.extend(target.too_many(len(maker.descent.given)))
        self._maker, self._above = maker, above
        self.count = min(target.count_of(len(maker.descent.given)) or 1, len(above.gaussians))

    def untrained(self, path: Path) -> Reached:
        return self._maker.encoded(self._maker.descent.down(self._above, self.count, 0), self._maker.codec, path)

    def begin(self) -> int:
        self._begun, self._trimming, self._encoding = self._maker.begun(self._above, self.count)
        return self._trimming + self._encoding

    def trained(self, path: Path, overwrite: bool) -> Reached:
        stage = self._maker.descent.down(self._begun, self.count, self._trimming)
        return self._maker.written(stage, self._maker.codec, self._encoding, path, overwrite)


class _ToSize:
    """Files of so many bytes, and of no more Gaussians than the target allows."""

    def __init__(self, maker: Maker, target: Target, size: int, above: Stage) -> None:
        self._maker, self._most, self._size, self._above = maker, target.count, size, above
        usual = USUAL_STEPS if maker.config.steps is None else maker.config.steps
        began = time.perf_counter()
        self._first = self._chosen(above, maker.for_encoding(usual))
        self._choosing = time.perf_counter() - began
        self.count = self._limited(self._first).count
        self._everything = self.count == len(above.gaussians) and not self._first.fills
        if self._everything:
            maker.told.append(
                f"all of the scene takes {format_bytes(self._first.bytes)} at its finest, less than the "
                f"{format_bytes(size)} asked for; nothing was removed"
            )

    def untrained(self, path: Path) -> Reached:
        choice = self._first if self._everything else self._chosen(self._above, 0, self._first)
        stage = self._maker.descent.down(self._above, self._limited(choice).count, 0)
        return self._filled(stage, 0, choice, lambda codec, *_: self._maker.encoded(stage, codec, path), path)

    def begin(self) -> int:
        self._kept = self.count
        if self.count == self._first.count:
            self._kept = min(len(self._above.gaussians), math.ceil(_MARGIN * self.count))
        self._begun, self._trimming, self._encoding = self._maker.begun(self._above, self._kept, self._choosing)
        return self._trimming + self._encoding

    def trained(self, path: Path, overwrite: bool) -> Reached:
        kept = self._kept if self._trimming else self.count
        stage = self._maker.descent.down(self._begun, kept, self._trimming)

        def write(codec: Codec, steps: int, again: bool) -> Reached:
            return self._maker.written(stage, codec, steps, path, overwrite or again)

        return self._filled(stage, self._encoding, self._first, write, path)

    def _chosen(self, stage: Stage, steps: int, near: Choice | None = None) -> Choice:
        """The grade for a stage and as many steps; of few Gaussians, all are compared soon enough, near or not."""
        memory.release()
        teacher, engine = few_views(self._maker.descent.teacher), self._maker.descent.engine
        worth = worth_of(stage.gaussians, teacher, engine)
        near = near if len(stage.gaussians) > SAMPLE else None
        codec = self._maker.codec
        return choose(stage.gaussians, worth, teacher, codec, self._size, steps=steps, near=near, engine=engine)

    def _limited(self, choice: Choice) -> Choice:
        return choice if self._most is None else replace(choice, count=min(choice.count, self._most))

    def _filled(
        self, stage: Stage, steps: int, begin: Choice, write: Callable[[Codec, int, bool], Reached], path: Path
    ) -> Reached:
        """The file that fills the size, and where none does, the largest and a sentence."""
        choice = begin if stage is self._above else self._chosen(stage, steps, begin)

        def made(codec: Codec, steps: int, again: bool) -> tuple[Reached, bool, int]:
            reached = write(codec, steps, again)
            return reached, reached.tuned, formats.scene_bytes(path)

        reached = filled(self._limited(choice), steps, made, lambda: self._limited(self._chosen(stage, 0, choice)))
        taken = formats.scene_bytes(path)
        if taken < LEAST_SHARE * self._size and not self._everything:
            said = f"{len(reached.gaussians):,} Gaussians take no more than {format_bytes(taken)} at their finest"
            return replace(reached, told=(*reached.told, said))
        return reached


def _better(maker: Maker, way: _Way, above: Stage, path: Path, overwrite: bool) -> Reached:
    """What training makes of a stage; where so much of it stays that training may do no better than none, the better
    file of two by the views held back, if the one without is no larger."""
    folder, suffix = maker.descent.folder, maker.codec.suffix
    without = None
    if maker.config.steps != 0 and way.count > MOST_TAUGHT * len(above.gaussians):
        without = Candidate.made(way.untrained, folder / f"untrained{suffix}")
    steps = way.begin()
    if without is None:
        return way.trained(path, overwrite)
    trained = without
    if steps:
        trained = Candidate.made(lambda scratch: way.trained(scratch, True), folder / f"trained{suffix}")
    sizes = [formats.scene_bytes(each.reached.path) for each in (trained, without)]
    better = without.reached.loss.drop < trained.reached.loss.drop and sizes[1] <= _MUCH_THE_SAME * sizes[0]
    reached = (without if better else trained).put(path, overwrite=overwrite)
    for each in {trained.reached.path, without.reached.path}:
        each.unlink()
    told = [*reached.told, *(text for text in maker.told if text not in reached.told)]
    if better and trained.reached.steps > without.reached.steps:
        found = " and ".join(f"{_judged_by(each).psnr:.2f} dB" for each in (trained, without))
        told.append(f"training does not help on views held back, which have {found} without it; so nothing was trained")
    return replace(reached, told=tuple(told))


def _judged_by(candidate: Candidate) -> Quality:
    """The scores that say what was lost: on photos where there are some, else against the scene as given."""
    loss = candidate.reached.loss
    return loss.photos or loss.own
