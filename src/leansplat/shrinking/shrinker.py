"""`shrink`: any scene in, the file that was asked for out, with or without photos.

    scene -> cameras -> its own renders there -> fewer Gaussians, trained -> fewer bytes, trained -> judged

A target of bytes becomes a count and a grade of the kind of file first (`fitting`), since a byte can go to either. A
target of quality is met by going down stage by stage and back up to the last stage that held (`descent`). All of the
training is `trim` and `compress`, on a capture whose photos are the scene's own renders (`teacher`); views that are
held back from it judge.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.compression.codecs import Codec
from leansplat.compression.compressor import check_output
from leansplat.errors import InputError
from leansplat.evaluation import LpipsNet
from leansplat.files import replacing
from leansplat.gaussians import WORLD, Gaussians
from leansplat.ordering import morton_order
from leansplat.progress import Progress
from leansplat.provenance import Color
from leansplat.shrinking.config import USUAL_STEPS, ShrinkingConfig
from leansplat.shrinking.descent import Descent, Stage
from leansplat.shrinking.fitting import LEAST_SHARE, choose
from leansplat.shrinking.judging import Judge, Loss
from leansplat.shrinking.pace import steps_within
from leansplat.shrinking.plain import PLAIN, codec_for
from leansplat.shrinking.regions import Freedom, parse_region
from leansplat.shrinking.sized import sized
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.sources import Source, find_source
from leansplat.shrinking.targets import Target
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.within import worth_of
from leansplat.viewpoints import contact_sheet

_SHARE_OF_ENCODING = 0.35
"""Of the steps, that go to training through the rounding of the file, where there is one."""

_MARGIN = 1.03
"""Of the Gaussians that a size has room for, what is trimmed to before the file is made."""

_FIRST_SHARE = 0.5
"""Of a scene's Gaussians, that the first stage towards a target of quality keeps."""

_CLOSE = 0.9
"""Share of Gaussians that a stage keeps at most: nearer to the last that holds, none is looked for."""

_STAGES = 7
"""Stages that the steps of a descent towards a target of quality are planned for."""

_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class ShrinkingResult:
    """What shrinking made.

    Args:
        gaussians: the scene as read again from the file.
        path: the file; bytes: its size.
        original: the scene that was given; original_bytes: the size of its file, None for one from memory.
        loss: what it lost, on views held back; None for a copy of what was given.
        met: whether the target was met.
        told: what there is to say of the result, sentence by sentence.
        source: where it was looked at from; None for a copy.
        unseen: Gaussians of the original that none of these views shows.
        steps: training steps taken.
        seconds: time for everything.
    """

    gaussians: Gaussians
    path: Path
    bytes: int
    original: Gaussians
    original_bytes: int | None
    loss: Loss | None
    met: bool
    told: tuple[str, ...]
    source: Source | None
    unseen: int
    steps: int
    seconds: float


def shrink(
    scene: Gaussians | str | os.PathLike[str],
    path: str | os.PathLike[str],
    target: Target | None = None,
    config: ShrinkingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    capture: Capture | str | os.PathLike[str] | None = None,
    cameras: str | os.PathLike[str] | None = None,
    background: Color | None = None,
    downscale: int | None = None,
    codec: Codec | None = None,
    protect: Sequence[str] = (),
    only: Sequence[str] = (),
    show_cameras: str | os.PathLike[str] | None = None,
    lpips: LpipsNet | None = None,
    engine: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ShrinkingResult:
    """Make a scene as small as a target says.

    Args:
        scene: Gaussians, a scene file of any tool, or a run folder.
        path: the file to write; its suffix chooses the kind: .sog, .spz, .compressed.ply, .ply, .splat, .glb or .npz.
        target: how small; by default as small as goes without visible loss.
        config: at what pace.
        run: folder to keep what an interrupted work can go on from; without it nothing but the file is written.
        capture: photos with cameras, or the folder of a capture; its held-out photos judge the result.
        cameras: a cameras.json of 3DGS to look at the scene from, where there is no capture; one beside the scene is
            found by itself, and without any, cameras are made up.
        background: (r, g, b) behind the scene; by default as it was trained, else black.
        downscale: of photos or cameras; by default as the scene was trained, else as `config.view_size` says.
        codec: the kind of file with its options; by default the one of the suffix.
        protect: regions whose Gaussians are never removed, as `regions.parse_region` takes them.
        only: regions outside of which all Gaussians stay as they are, likewise.
        show_cameras: a PNG to draw the views into that the scene is shrunk by, with plans of where they are.
        lpips: network to measure LPIPS with, or None to leave it out; "vgg" where the target is one of LPIPS.
        engine: what renders and trains, a name in `leansplat.engines.ENGINES`.
        resume: go on in `run` where an earlier work was interrupted.
        overwrite: whether the file, and an earlier run in the folder, may be replaced. The scene never is.
        progress: of each piece of work, one after the other; see `leansplat.progress.Progress`.

    Raises:
        InputError: the scene or a setting cannot be used, the file cannot be written, or no file is as small as the
            target.
        CaptureError: the capture or the cameras cannot be read.
        RunError: the run folder is in use, or does not fit what is to be resumed.

    Example:
        >>> shrink("scene.ply", "scene.sog", Target(size=10_000_000)).loss.own.psnr  # doctest: +SKIP
    """
    began = time.perf_counter()
    path, target, config = Path(path), target or Target(), config or ShrinkingConfig()
    codec = codec or codec_for(path)
    check_output(scene, path, overwrite=overwrite)
    original = scene if isinstance(scene, Gaussians) else formats.read(scene)
    original_bytes = None if isinstance(scene, Gaussians) else formats.scene_bytes(scene)
    if len(original) == 0:
        raise InputError(
            f"{'the scene' if original_bytes is None else scene} has no Gaussians; there is nothing to shrink"
        )
    copied = None if isinstance(scene, Gaussians) else _copied(scene, path, original, target, overwrite=overwrite)
    if copied is not None:
        told, seconds = (copied,), time.perf_counter() - began
        size = formats.scene_bytes(path)
        return ShrinkingResult(original, path, size, original, original_bytes, None, True, told, None, 0, 0, seconds)
    given = original.finite_equivalent()
    given = given[morton_order(given.means)]
    freedom = Freedom.of(
        given, protect=[parse_region(text) for text in protect], only=[parse_region(text) for text in only]
    )
    source = find_source(
        given,
        scene,
        capture=capture,
        cameras=cameras,
        background=background,
        downscale=downscale,
        view_size=config.view_size,
        count=config.views,
        seed=config.seed,
        engine=engine,
        progress=progress,
    )
    if show_cameras is not None:
        sureness = None if source.sureness is None else list(source.sureness.values())
        contact_sheet(
            given,
            source.cameras,
            show_cameras,
            sureness=sureness,
            background=source.background,
            engine=engine,
            overwrite=overwrite,
        )
    teacher = teacher_capture(
        given,
        source.cameras,
        held_back=source.held_back,
        background=source.background,
        masks=source.masks,
        engine=engine,
        progress=progress,
    )
    if lpips is None and target.max_lpips_rise is not None:
        lpips = "vgg"
    judge = Judge(given, teacher, source.photos, lpips=lpips, engine=engine)
    if target.max_lpips_rise is not None and judge.without_lpips is not None:
        raise InputError(f"the rise of LPIPS cannot be limited: {judge.without_lpips}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()) if run is None else run)
        descent = Descent(
            given,
            teacher,
            freedom,
            folder,
            config.criterion,
            config.seed,
            source.kind == "made up",
            engine=engine,
            resume=resume,
            progress=progress,
        )
        work = _Shrinking(descent, path, target, config, codec, judge, began, overwrite=overwrite)
        work.told += [freedom.sentence] if freedom.sentence else []
        work.run()
    assert work.loss is not None
    unseen = int((work.worth <= 0).sum())
    if unseen:
        fate = "merged in proportion" if descent.merges_unseen else "ranked by their opacity"
        work.told.append(f"{unseen:,} of {len(given):,} Gaussians are in none of the views; they were {fate}")
    return ShrinkingResult(
        gaussians=_read(path, given),
        path=path,
        bytes=formats.scene_bytes(path),
        original=original,
        original_bytes=original_bytes,
        loss=work.loss,
        met=work.met,
        told=tuple(work.told),
        source=source,
        unseen=unseen,
        steps=work.steps,
        seconds=time.perf_counter() - began,
    )


@dataclass
class _Shrinking:
    """One shrinking at work.

    Args:
        descent: holds the scene, the views and the folder.
        told, met, loss, steps: see `ShrinkingResult`.
    """

    descent: Descent
    path: Path
    target: Target
    config: ShrinkingConfig
    codec: Codec
    judge: Judge
    began: float
    overwrite: bool
    told: list[str] = field(default_factory=list)
    met: bool = True
    loss: Loss | None = None
    steps: int = 0

    @cached_property
    def worth(self) -> Tensor:
        """(N,) of each Gaussian given."""
        return worth_of(self.descent.given, self.descent.teacher, self.descent.engine)

    def run(self) -> None:
        """Write the file."""
        if self.target.size is not None:
            self._to_size(self.target.size)
        elif self.target.of_quality:
            self._to_quality()
        else:
            count = self.target.count_of(len(self.descent.given)) or 1
            trimming, encoding = self._planned(count)
            stage = self.descent.down(self.descent.top, count, trimming)
            self._write(stage, self.codec, encoding)
            self.loss = self.judge.loss(_read(self.path, self.descent.given))

    def _to_size(self, size: int) -> None:
        given, teacher = self.descent.given, self.descent.teacher
        usual = self.config.steps if self.config.steps is not None else USUAL_STEPS
        foreseen = int(_SHARE_OF_ENCODING * usual) if self.codec.suffix not in PLAIN else 0
        choice = choose(given, self.worth, teacher, self.codec, size, steps=foreseen, engine=self.descent.engine)
        count = min(choice.count, self.target.count or choice.count)
        if count == len(given) and not choice.fills:
            self.told.append(
                f"all of the scene takes {format_bytes(choice.bytes)} at its finest, less than the "
                f"{format_bytes(size)} asked for; nothing was removed"
            )
        trimming, encoding = self._planned(count)
        margin = _MARGIN if trimming and count == choice.count else 1
        stage = self.descent.down(self.descent.top, min(len(given), math.ceil(margin * count)), trimming)
        if stage.run is not None or len(stage.gaussians) < len(given):
            worth = worth_of(stage.gaussians, teacher, self.descent.engine)
            choice = choose(
                stage.gaussians, worth, teacher, self.codec, size, steps=encoding, engine=self.descent.engine
            )
        if self.target.count is not None:
            choice = replace(choice, count=min(choice.count, self.target.count))
        self._write(stage, sized(choice), encoding)
        taken = formats.scene_bytes(self.path)
        if taken < LEAST_SHARE * size and len(given) > count:
            self.told.append(f"{format_bytes(taken)} is all that {count:,} Gaussians take at their finest")
        self.loss = self.judge.loss(_read(self.path, given))

    def _to_quality(self) -> None:
        """Down while what is merely encoded holds, then through the file's rounding from the last stage that held."""
        descent = self.descent
        trimming, encoding = self._planned(int(_FIRST_SHARE**3 * len(descent.given)) or 1)
        held = [descent.top]
        first = self._encoded_loss(descent.top)
        share = _FIRST_SHARE if first.within(self.target) else 1.0
        while share < _CLOSE:
            count = max(descent.freedom.least, 1, round(share * len(held[-1].gaussians)))
            if count >= len(held[-1].gaussians):
                break
            stage = descent.down(held[-1], count, trimming // _STAGES if trimming else 0)
            if self._encoded_loss(stage).within(self.target):
                held.append(stage)
            else:
                share = math.sqrt(share)
        for stage in reversed(held):
            self._write(stage, self.codec, encoding)
            self.loss = self.judge.loss(_read(self.path, descent.given))
            if self.loss.within(self.target):
                return
        self.met = False
        self.told.append(
            f"a {self.codec.suffix} of all Gaussians loses more than {self.target.described()} by its rounding alone; "
            "the file is the nearest; choose another format, such as .ply"
        )

    def _planned(self, count: int) -> tuple[int, int]:
        """Steps of trimming and of training through the file's rounding, on the way to `count` Gaussians."""
        descent, steps = self.descent, self.config.steps
        if self.config.minutes is not None:
            left = 60 * self.config.minutes - (time.perf_counter() - self.began)
            steps = steps_within(left, descent.given, count, descent.teacher, descent.engine)
            self.told.append(f"{steps:,} training steps fit into {self.config.minutes:g} minutes")
        elif steps is None:
            steps = USUAL_STEPS
        encoding = (
            0
            if self.codec.suffix in PLAIN or not bool(descent.freedom.changeable.all())
            else int(_SHARE_OF_ENCODING * steps)
        )
        return steps - encoding, encoding

    def _encoded_loss(self, stage: Stage) -> Loss:
        """What a stage lost, as a file that is merely encoded says it."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self.codec.suffix}"
            self.codec.write(stage.gaussians, path)
            return self.judge.loss(_read(path, self.descent.given))

    def _write(self, stage: Stage, codec: Codec, steps: int) -> None:
        """The file of a stage, trained through its rounding; over one that was written before, too."""
        given = self.descent.given
        extras = {name: values[stage.rows] for name, values in given.extras.items()}
        again = self.loss is not None
        compress(
            replace(stage.gaussians, extras=extras, comments=given.comments),
            self.descent.teacher,
            self.path,
            CompressionConfig(fine_tuning=FineTuningConfig(steps=steps, seed=self.config.seed)),
            None if steps == 0 else self.descent.folder / f"file-{len(stage.gaussians)}",
            codec=codec,
            engine=self.descent.engine,
            resume=self.descent.resume and steps > 0,
            overwrite=self.overwrite or again,
            progress=self.descent.progress,
        )
        self.steps = stage.steps + steps


def _copied(
    scene: str | os.PathLike[str], path: Path, original: Gaussians, target: Target, *, overwrite: bool
) -> str | None:
    """Copy a scene that needs no shrinking, and say so; None where there is something to do."""
    file = formats.scene_path(scene)
    files = formats.scene_files(scene)
    if len(files) > 1 or formats.format_of(file) != formats.format_of(path):
        return None
    fits = target.size is None or file.stat().st_size <= target.size
    count = target.count_of(len(original))
    few = count is None or count >= len(original)
    if target.of_quality or not (fits and few):
        return None
    with replacing(path, overwrite=overwrite) as handle, open(file, "rb") as content:
        shutil.copyfileobj(content, handle)
    return f"{file} already is within {target.described()}; it was copied as it is"


def _read(path: Path, given: Gaussians) -> Gaussians:
    """The scene in a file, which may have no place for the origin that it has in common with the one given."""
    scene = formats.read(path)
    return replace(scene, origin=given.origin) if scene.origin == WORLD else scene
