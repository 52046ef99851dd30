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
        return _to_size(maker, target, target.size, above, path, overwrite)
    return _to_count(maker, target, above, path, overwrite)


def _to_count(maker: Maker, target: Target, above: Stage, path: Path, overwrite: bool) -> Reached:
    maker.told.extend(target.too_many(len(maker.descent.given)))
    count = min(target.count_of(len(maker.descent.given)) or 1, len(above.gaussians))

    def untrained(scratch: Path) -> Reached:
        return maker.encoded(maker.descent.down(above, count, 0), maker.codec, scratch)

    without = _without_training(maker, above, count, untrained)
    begun, trimming, encoding = maker.begun(above, count)

    def trained(path: Path, overwrite: bool) -> Reached:
        return maker.written(maker.descent.down(begun, count, trimming), maker.codec, encoding, path, overwrite)

    return _better(maker, trained, trimming + encoding, without, path, overwrite)


def _to_size(maker: Maker, target: Target, size: int, above: Stage, path: Path, overwrite: bool) -> Reached:
    usual = USUAL_STEPS if maker.config.steps is None else maker.config.steps
    began = time.perf_counter()
    first = _chosen(maker, above, size, maker.for_encoding(usual))
    choosing = time.perf_counter() - began
    count = min(first.count, target.count or first.count)
    everything = count == len(above.gaussians) and not first.fills
    if everything:
        maker.told.append(
            f"all of the scene takes {format_bytes(first.bytes)} at its finest, less than the "
            f"{format_bytes(size)} asked for; nothing was removed"
        )

    def written(
        stage: Stage, steps: int, begin: Choice, write: Callable[[Codec, int, bool], Reached], path: Path
    ) -> Reached:
        choice = begin if stage is above else _chosen(maker, stage, size, steps, begin)

        def made(codec: Codec, steps: int, again: bool) -> tuple[Reached, bool, int]:
            reached = write(codec, steps, again)
            return reached, reached.tuned, formats.scene_bytes(path)

        def limited(choice: Choice) -> Choice:
            return replace(choice, count=min(choice.count, target.count or choice.count))

        reached = filled(limited(choice), steps, made, lambda: limited(_chosen(maker, stage, size, 0, choice)))
        taken = formats.scene_bytes(path)
        if taken < LEAST_SHARE * size and not everything:
            said = f"{len(reached.gaussians):,} Gaussians take no more than {format_bytes(taken)} at their finest"
            return replace(reached, told=(*reached.told, said))
        return reached

    def untrained(scratch: Path) -> Reached:
        choice = first if everything else _chosen(maker, above, size, 0, first)
        stage = maker.descent.down(above, min(choice.count, target.count or choice.count), 0)
        return written(stage, 0, choice, lambda codec, *_: maker.encoded(stage, codec, scratch), scratch)

    without = _without_training(maker, above, count, untrained)
    more = min(len(above.gaussians), math.ceil(_MARGIN * count)) if count == first.count else count
    begun, trimming, encoding = maker.begun(above, more, choosing)

    def trained(path: Path, overwrite: bool) -> Reached:
        stage = maker.descent.down(begun, more if trimming else count, trimming)

        def write(codec: Codec, steps: int, again: bool) -> Reached:
            return maker.written(stage, codec, steps, path, overwrite or again)

        return written(stage, encoding, first, write, path)

    return _better(maker, trained, trimming + encoding, without, path, overwrite)


def _chosen(maker: Maker, stage: Stage, size: int, steps: int, near: Choice | None = None) -> Choice:
    teacher, engine = few_views(maker.descent.teacher), maker.descent.engine
    worth = worth_of(stage.gaussians, teacher, engine)
    near = near if len(stage.gaussians) > SAMPLE else None  # of few Gaussians, all grades are compared soon enough
    return choose(stage.gaussians, worth, teacher, maker.codec, size, steps=steps, near=near, engine=engine)


def _without_training(maker: Maker, above: Stage, count: int, make: Callable[[Path], Reached]) -> Candidate | None:
    """What comes of a stage without training, where so much stays that training may do no better."""
    if maker.config.steps == 0 or count <= MOST_TAUGHT * len(above.gaussians):
        return None
    return Candidate.made(make, maker.descent.folder / f"untrained{maker.codec.suffix}")


def _better(
    maker: Maker,
    train: Callable[[Path, bool], Reached],
    steps: int,
    without: Candidate | None,
    path: Path,
    overwrite: bool,
) -> Reached:
    """The better file of two, by the views held back: what so many steps make, and what there is without them where
    that is no larger."""
    if without is None:
        return train(path, overwrite)
    trained = without
    if steps:
        trained = Candidate.made(
            lambda scratch: train(scratch, True), maker.descent.folder / f"trained{maker.codec.suffix}"
        )
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
