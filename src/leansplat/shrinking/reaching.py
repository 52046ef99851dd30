"""`reach`: from a stage of a descent to a file that a target allows.

A target of bytes becomes a count and a grade of the kind of file first (`fitting`), since a byte can go to either. One
of quality is searched for (`quality_search`). What was reached can be gone on from, to a smaller target.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from leansplat import formats
from leansplat.compression.codecs import Codec
from leansplat.shrinking.config import USUAL_STEPS
from leansplat.shrinking.descent import Stage
from leansplat.shrinking.fitting import LEAST_SHARE, Choice, choose
from leansplat.shrinking.making import Maker, Reached
from leansplat.shrinking.quality_search import QualitySearch
from leansplat.shrinking.sized import filled
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.targets import Target
from leansplat.shrinking.within import few_views, worth_of

_MARGIN = 1.03
"""Of the Gaussians that a size has room for, what is trimmed to before the file is made."""


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
    maker.told.extend(target.too_many(len(maker.descent.given)))
    count = min(target.count_of(len(maker.descent.given)) or 1, len(above.gaussians))
    above, trimming, encoding = maker.begun(above, count)
    return maker.written(maker.descent.down(above, count, trimming), maker.codec, encoding, path, overwrite)


def _to_size(maker: Maker, target: Target, size: int, above: Stage, path: Path, overwrite: bool) -> Reached:
    usual = USUAL_STEPS if maker.config.steps is None else maker.config.steps
    choice = _chosen(maker, above, size, maker.for_encoding(usual))
    count = min(choice.count, target.count or choice.count)
    everything = count == len(above.gaussians) and not choice.fills
    if everything:
        maker.told.append(
            f"all of the scene takes {format_bytes(choice.bytes)} at its finest, less than the "
            f"{format_bytes(size)} asked for; nothing was removed"
        )
    more = min(len(above.gaussians), math.ceil(_MARGIN * count)) if count == choice.count else count
    begun, trimming, encoding = maker.begun(above, more)
    stage = maker.descent.down(begun, more if trimming else count, trimming)
    if stage is not above:
        choice = _chosen(maker, stage, size, encoding)

    def limited(choice: Choice) -> Choice:
        return replace(choice, count=min(choice.count, target.count or choice.count))

    def write(codec: Codec, steps: int, again: bool) -> tuple[Reached, bool, int]:
        reached = maker.written(stage, codec, steps, path, overwrite or again)
        return reached, reached.tuned, formats.scene_bytes(path)

    reached = filled(limited(choice), encoding, write, lambda: limited(_chosen(maker, stage, size, 0)))
    taken = formats.scene_bytes(path)
    if taken < LEAST_SHARE * size and not everything:
        said = f"{len(reached.gaussians):,} Gaussians take no more than {format_bytes(taken)} at their finest"
        return replace(reached, told=(*reached.told, said))
    return reached


def _chosen(maker: Maker, stage: Stage, size: int, steps: int) -> Choice:
    teacher, engine = few_views(maker.descent.teacher), maker.descent.engine
    worth = worth_of(stage.gaussians, teacher, engine)
    return choose(stage.gaussians, worth, teacher, maker.codec, size, steps=steps, engine=engine)
