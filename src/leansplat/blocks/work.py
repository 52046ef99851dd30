"""`shrink_block` and `judge_block`: the work on one block, each a function of a folder and the block's number.

A block is shrunk as a whole scene without photos is: looked at, rendered, thinned out and trained to look as before.
Its neighbours' Gaussians near it, its margin, are rendered with it and stay as they are. So it learns what it looks
like among them, and takes over nothing of theirs. All blocks together are the scene again, with each side of a seam
made to go with what the other side showed.

What became of a block lies in the folder when its JSON does, which is written last. Whatever was interrupted before is
gone on with, and blocks may be done in any order, by anyone who has the folder.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat import engines
from leansplat.arrays import WORLD
from leansplat.blocks.looking import views_of_block
from leansplat.blocks.plan import Plan
from leansplat.blocks.sliced import Margin, SlicedScene
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View
from leansplat.configs import Config
from leansplat.errors import InputError, RunError
from leansplat.files import write_json
from leansplat.formats import ply
from leansplat.gaussians import Gaussians, concatenate
from leansplat.merging import simplify
from leansplat.ordering import morton_order
from leansplat.records import camera_json, read_camera
from leansplat.scoring import view_scores
from leansplat.shrinking.config import USUAL_STEPS
from leansplat.shrinking.descent import MOST_TAUGHT, Descent, Stage
from leansplat.shrinking.regions import Freedom
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.within import few_views, worth_of

_SHOWS = 1 / 255
"""Change of a pixel from which on a block is in it."""


@dataclass(frozen=True)
class BlockMade(Config):
    """What became of a block, as made/NUMBER.json has it.

    Args:
        given, made: its Gaussians before and after.
        margin: Gaussians around it that were rendered with it, from as far as `reach`.
        unseen: of its Gaussians, those that no view shows.
        views: from which it was looked at.
        steps: of training.
        seconds: time it took, that of all sittings but for what was lost.
        cameras: of the views that judge it, as records have them, by name.
    """

    given: int
    made: int
    margin: int
    reach: float
    unseen: int
    views: int
    steps: int
    seconds: float
    cameras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockJudged(Config):
    """What was lost of a block, on views held back, as judged/NUMBER.json has it.

    Args:
        psnr, ssim: of each view, where the block is in it, against the scene as given. A view that is the same to the
            last bit counts 100 dB.
    """

    psnr: tuple[float, ...]
    ssim: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean PSNR in dB; None where no view shows the block."""
        return statistics.fmean(self.psnr) if self.psnr else None


_PERFECT = 100.0


def made_of(folder: Path, number: int) -> BlockMade | None:
    """What became of a block; None while nothing has."""
    return _read(folder / "made" / f"{number:04}.json", BlockMade)


def judged_of(folder: Path, number: int) -> BlockJudged | None:
    """What was lost of a block; None while it was not judged."""
    return _read(folder / "judged" / f"{number:04}.json", BlockJudged)


def worth_path(folder: Path, number: int) -> Path:
    """Where there is what each Gaussian of a made block counts, (M,) float32."""
    return folder / "made" / f"{number:04}.worth.npy"


def shrink_block(folder: Path, number: int) -> None:
    """Shrink a block of the scene in a folder, as its plan says; nothing where that was done.

    Raises:
        RunError: the folder holds no scene in blocks, or no plan.
        InputError: the engine cannot work here.
    """
    if made_of(folder, number) is not None:
        return
    began = time.perf_counter()
    scene, plan = SlicedScene(folder), Plan.read(folder)
    work = folder / "work" / f"{number:04}"
    work.mkdir(parents=True, exist_ok=True)
    (folder / "made").mkdir(exist_ok=True)
    around = _Around.of(scene, number)
    cameras = views_of_block(folder, plan, around.gaussians, around.own)
    descent = _descent(around, plan, cameras, work)
    count = around.margin_count + plan.counts[number]
    steps = USUAL_STEPS if plan.shrinking.steps is None else plan.shrinking.steps
    if cameras:
        unseen = int(descent.unseen[: around.own].sum())
        stage = _better_stage(descent, count, steps, trained_alone=plan.counts[number] <= MOST_TAUGHT * around.own)
        gaussians, rows, taken = stage.gaussians, stage.rows, stage.steps
    else:
        unseen, taken = around.own, 0
        fewer = simplify(around.gaussians, count, protected=~descent.freedom.removable, seed=plan.shrinking.seed)
        gaussians, rows = fewer.gaussians, fewer.sources
    mine = rows < around.own
    extras = {name: values[rows[mine]] for name, values in around.extras.items()}
    own = replace(gaussians[mine], extras=extras, comments=around.gaussians.comments)
    ply.write(replace(own, origin=WORLD), scene.made_path(number), overwrite=True)
    if plan.worth:
        _write_worth(worth_path(folder, number), gaussians, mine, descent.teacher, plan.engine)
    judges = descent.teacher.test or descent.teacher.train
    made = BlockMade(
        given=around.own,
        made=len(own),
        margin=around.margin_count,
        reach=around.reach,
        unseen=unseen,
        views=len(cameras),
        steps=taken,
        seconds=time.perf_counter() - began,
        cameras={view.name: camera_json(view.camera) for view in judges},
    )
    write_json(folder / "made" / f"{number:04}.json", made.to_json(), overwrite=True)
    shutil.rmtree(work, ignore_errors=True)


def judge_block(folder: Path, number: int) -> None:
    """Measure what was lost of a block among its neighbours as they became; nothing where that was done.

    All blocks around it are made.

    Raises:
        RunError: the folder holds no scene in blocks, or this block was not made.
    """
    if judged_of(folder, number) is not None:
        return
    scene, plan, made = SlicedScene(folder), Plan.read(folder), made_of(folder, number)
    if made is None:
        raise RunError(f"block {number} in {folder} was not made, so it cannot be judged")
    (folder / "judged").mkdir(exist_ok=True)
    cameras = {name: read_camera(value) for name, value in made.cameras.items()}
    around = _Around.of(scene, number)
    before = _judging(around, plan, cameras)
    near = Gaussians.from_arrays(scene.margin_made(number, made.reach))
    after = concatenate([_bare(Gaussians.from_arrays(scene.made(number))), near])
    scores = view_scores(engines.named(plan.engine).renderer(after), before.train, plan.background)
    found = BlockJudged(
        psnr=tuple(score.psnr if math.isfinite(score.psnr) else _PERFECT for score in scores),
        ssim=tuple(score.ssim for score in scores),
    )
    write_json(folder / "judged" / f"{number:04}.json", found.to_json(), overwrite=True)


def _better_stage(descent: Descent, count: int, steps: int, *, trained_alone: bool) -> Stage:
    """The stage that is trained, or if views held back are nearer to it, the one that is not."""
    trained = descent.down(descent.top, count, steps)
    if trained_alone or not (trained.steps and descent.teacher.test):
        return trained

    def lost(stage: Stage) -> float:
        renderer = engines.named(descent.engine).renderer(stage.gaussians)
        scores = view_scores(renderer, descent.teacher.test, descent.teacher.background)
        return -statistics.fmean(min(score.psnr, _PERFECT) for score in scores)

    return min(trained, descent.down(descent.top, count, 0), key=lost)


@dataclass(frozen=True)
class _Around:
    """A block and its margin.

    Args:
        gaussians: of both, the block's first, without extras.
        own: how many are the block's.
        extras: the block's.
        reach: how far the margin goes.
    """

    gaussians: Gaussians
    own: int
    extras: Mapping[str, Tensor]
    reach: float

    @property
    def margin_count(self) -> int:
        return len(self.gaussians) - self.own

    @classmethod
    def of(cls, scene: SlicedScene, number: int) -> _Around:
        given = Gaussians.from_arrays(scene.given(number).finite_equivalent())
        given = given[morton_order(given.means)]
        margin: Margin = scene.margin(number)
        near = Gaussians.from_arrays(margin.gaussians.finite_equivalent())
        return cls(concatenate([_bare(given), near]), len(given), given.extras, margin.reach)


def _descent(around: _Around, plan: Plan, cameras: Mapping[str, Camera], work: Path) -> Descent:
    free = torch.arange(len(around.gaussians)) < around.own
    return Descent(
        around.gaussians,
        teacher_capture(around.gaussians, cameras, background=plan.background, engine=plan.engine),
        Freedom(free, free, "the others are around the block"),
        work,
        plan.shrinking.criterion,
        plan.shrinking.seed,
        merges=True,
        engine=plan.engine,
        resume=True,
        overwrite=True,
    )


def _judging(around: _Around, plan: Plan, cameras: Mapping[str, Camera]) -> Capture:
    """Renders of a block as it was, with a mask of where it is in the picture; those it is not in are left out."""
    capture = teacher_capture(around.gaussians, cameras, held_back=(), background=plan.background, engine=plan.engine)
    without = engines.named(plan.engine).renderer(around.gaussians[around.own :])
    views: list[View] = []
    for view in capture.train:
        behind = without.render(view.camera, plan.background).image.cpu()
        mask = ((view.photo.float() / 255 - behind).abs() > _SHOWS).any(dim=2)
        if bool(mask.any()):
            views.append(replace(view, mask=mask))
    return replace(capture, train=tuple(views))


def _write_worth(path: Path, gaussians: Gaussians, mine: Tensor, teacher: Capture, engine: str) -> None:
    worth = worth_of(gaussians, few_views(teacher), engine)[mine] if teacher.train else torch.zeros(int(mine.sum()))
    with open(path, "wb") as handle:
        np.save(handle, worth.numpy(), allow_pickle=False)


def _bare(gaussians: Gaussians) -> Gaussians:
    return replace(gaussians, extras={})


def _read(path: Path, kind: type[Any]) -> Any:
    """What a JSON file says; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    try:
        return kind.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InputError) as error:
        raise RunError(f"{path} cannot be read ({error}); remove it, so that its block is done again") from error
