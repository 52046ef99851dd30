"""How many Gaussians a file of a given size has room for, and how finely it says them, before any block is shrunk.

One block stands for all: the count and the grade with which its share of the bytes, beside those that any file takes,
looks best are found as for a whole scene (`shrinking.fitting`). A few more Gaussians than that are kept in all blocks,
since the least worthy can still go when the file is written, and none can come back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from leansplat.blocks.looking import views_of_block
from leansplat.blocks.plan import Plan
from leansplat.blocks.sliced import SlicedScene
from leansplat.compression.codecs import Codec
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order
from leansplat.shrinking.config import USUAL_STEPS
from leansplat.shrinking.fitting import choose, grades_of
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.within import few_views, worth_of

_SPARE = 1.05
"""Times as many Gaussians as there is thought to be room for."""


@dataclass(frozen=True)
class Sizing:
    """How a size is met.

    Args:
        count: Gaussians to keep in all blocks together.
        fineness: in [0, 1], of the grades of the kind of file from coarse to fine.
    """

    count: int
    fineness: float


def sizing(folder: Path, draft: Plan, codec: Codec, size: int) -> Sizing:
    """How a size is met by the scene in a folder.

    Args:
        draft: the plan but for its counts.

    Raises:
        InputError: no file is as small.
    """
    scene = SlicedScene(folder)
    number = int(np.argsort(scene.facts.drawable, kind="stable")[scene.blocks // 2])
    block = Gaussians.from_arrays(scene.given(number).finite_equivalent())
    block = block[morton_order(block.means)]
    cameras = views_of_block(folder, draft, block, len(block))
    teacher = few_views(teacher_capture(block, cameras, background=draft.background, engine=draft.engine))
    worth = worth_of(block, teacher, draft.engine)
    alone = _bytes_of_one(block, codec)
    share = alone + max(1, round((size - alone) * len(block) / scene.count))
    steps = USUAL_STEPS if draft.shrinking.steps is None else draft.shrinking.steps
    choice = choose(block, worth, teacher, codec, share, steps=steps, engine=draft.engine)
    grades = grades_of(codec, block)
    fineness = grades.index((choice.codec, choice.sh_degree)) / max(1, len(grades) - 1)
    count = scene.count if choice.count == len(block) else math.ceil(_SPARE * choice.count / len(block) * scene.count)
    return Sizing(min(count, scene.count), fineness)


def _bytes_of_one(block: Gaussians, codec: Codec) -> int:
    """What a file of a single Gaussian takes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"one{codec.suffix}"
        codec.write(block[:1], path)
        return path.stat().st_size
