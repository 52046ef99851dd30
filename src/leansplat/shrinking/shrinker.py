"""`shrink`: any scene in, the file that was asked for out, with or without photos.

    scene -> cameras -> its own renders there -> fewer Gaussians, trained -> fewer bytes, trained -> judged

A target of bytes becomes a count and a grade of the kind of file first (`fitting`), since a byte can go to either. A
target of quality is met by going down stage by stage and back up to the last stage that held (`descent`). All of the
training is `trim` and `compress`, on a capture whose photos are the scene's own renders (`teacher`); views that are
held back from it judge.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from typing_extensions import Unpack

from leansplat import formats
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture
from leansplat.compression.codecs import Codec
from leansplat.compression.compressor import check_output
from leansplat.errors import InputError, RunError
from leansplat.evaluation import LpipsNet
from leansplat.files import copy_file
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order
from leansplat.progress import Progress, at_stage
from leansplat.provenance import Color
from leansplat.records import Work, works_in
from leansplat.runs import alone_at_work
from leansplat.shrinking.config import ShrinkingConfig
from leansplat.shrinking.descent import Descent
from leansplat.shrinking.floaters import Floaters, find_floaters
from leansplat.shrinking.judging import Judge, Loss
from leansplat.shrinking.making import Maker
from leansplat.shrinking.memory import say_if_short
from leansplat.shrinking.plain import codec_for
from leansplat.shrinking.reaching import reach
from leansplat.shrinking.regions import Freedom, parse_region
from leansplat.shrinking.sources import Source, find_source
from leansplat.shrinking.targets import Target
from leansplat.shrinking.teacher import blended, teacher_capture
from leansplat.shrinking.timetable import overtime
from leansplat.temporary_folders import temporary_folder
from leansplat.viewpoints import contact_sheet


@dataclass(frozen=True)
class ShrinkingResult:
    """What shrinking made.

    Args:
        gaussians: the scene as read again from the file.
        path: the file; bytes: its size.
        original: the scene that was given, in any order where it was read from a file; original_bytes: the size of that
            file, None for one from memory.
        loss: what it lost, on views held back; None for a copy of what was given.
        met: whether the target was met.
        told: what there is to say of the result, sentence by sentence.
        source: where it was looked at from; None for a copy.
        unseen: Gaussians of the original that none of these views shows.
        steps: training steps taken.
        seconds: time for everything.
        floaters: those that were found and removed before anything else; None where they were not looked for.
        cameras: of the views that judged, by name.
        works: what was done on the way, with its log.
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
    floaters: Floaters | None = None
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    works: tuple[Work, ...] = ()


class Options(TypedDict, total=False):
    """What `shrink` and `shrink_ladder` can be told besides scene, target and pace; all of it may be left out."""

    capture: Capture | str | os.PathLike[str] | None
    """Photos with cameras, or the folder of a capture; its held-out photos judge the result."""

    cameras: str | os.PathLike[str] | None
    """A cameras.json of 3DGS to look at the scene from, where there is no capture. One beside the scene is found by
    itself, and without any, cameras are made up."""

    background: Color | None
    """(r, g, b) behind the scene; by default as it was trained, else black."""

    downscale: int | None
    """Of photos or cameras; by default as the scene was trained, else as `ShrinkingConfig.view_size` says."""

    codec: Codec | None
    """The kind of file with its options; by default the one of the suffix."""

    protect: Sequence[str]
    """Regions whose Gaussians are never removed, as `regions.parse_region` takes them."""

    only: Sequence[str]
    """Regions outside of which all Gaussians stay as they are, likewise."""

    floaters: bool
    """Whether to remove floaters first, see `leansplat.shrinking.floaters`."""

    show_cameras: str | os.PathLike[str] | None
    """A PNG to draw the views into that the scene is shrunk by, with plans of where they are."""

    lpips: LpipsNet | None
    """Network to measure LPIPS with, or None to leave it out; "vgg" where the target is one of LPIPS."""

    engine: str
    """What renders and trains, a name in `leansplat.engines.ENGINES`."""

    resume: bool
    """Go on in the run folder where an earlier work was interrupted."""

    overwrite: bool
    """Whether files, and an earlier run in the folder, may be replaced. The scene never is."""

    progress: Progress | None
    """Of each piece of work, one after the other; see `leansplat.progress.Progress`."""


@alone_at_work
def shrink(
    scene: Gaussians | str | os.PathLike[str],
    path: str | os.PathLike[str],
    target: Target | None = None,
    config: ShrinkingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> ShrinkingResult:
    """Make a scene as small as a target says.

    Args:
        scene: Gaussians, a scene file of any tool, or a run folder.
        path: the file to write; its suffix chooses the kind: .sog, .spz, .compressed.ply, .ply, .splat, .glb or .npz.
        target: how small; by default as small as goes without visible loss.
        config: at what pace.
        run: folder to keep what an interrupted work can go on from; without it nothing but the file is written.
        options: see `Options`.

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
    overwrite = options.get("overwrite", False)
    if run is None and options.get("resume", False):
        raise RunError("there is no run folder to resume; name the one that was interrupted")
    codec = options.get("codec") or codec_for(path)
    check_output(scene, path, overwrite=overwrite)
    original = read_original(scene)
    size = None if isinstance(scene, Gaussians) else formats.scene_bytes(scene)
    copied = None if isinstance(scene, Gaussians) else _copied(scene, path, original, target, overwrite=overwrite)
    if copied is not None:
        seconds = time.perf_counter() - began
        return ShrinkingResult(original, path, size or 0, original, size, None, True, (copied,), None, 0, 0, seconds)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder()) if run is None else Path(run)
        prepared = prepare(scene, original, config, folder, target, options)
        if not isinstance(scene, Gaussians) and prepared.floaters is None:
            original = prepared.descent.given  # the same in another order: of a large scene one copy is enough
        maker = Maker(prepared.descent, codec, prepared.judge, config, began)
        reached = reach(maker, target, prepared.descent.top, path, overwrite=overwrite)
        works = works_in(folder)
    seconds = time.perf_counter() - began
    return ShrinkingResult(
        gaussians=reached.gaussians,
        path=path,
        bytes=formats.scene_bytes(path),
        original=original,
        original_bytes=size,
        loss=reached.loss,
        met=reached.met,
        told=(*prepared.told, *reached.told, *overtime(config.minutes, seconds)),
        source=prepared.source,
        unseen=prepared.unseen,
        steps=reached.steps,
        seconds=seconds,
        floaters=prepared.floaters,
        cameras=prepared.judge.cameras,
        works=works,
    )


@dataclass(frozen=True)
class Prepared:
    """A scene that is ready to be shrunk.

    Args:
        descent: the way down.
        judge: what is lost on it.
        source: where it is looked at from.
        unseen: Gaussians that none of the views shows.
        told: what there is to say before anything else is removed.
        floaters: those that are gone already; None where they were not looked for.
    """

    descent: Descent
    judge: Judge
    source: Source
    unseen: int
    told: tuple[str, ...]
    floaters: Floaters | None


def read_original(scene: Gaussians | str | os.PathLike[str]) -> Gaussians:
    """The scene to be shrunk.

    Raises:
        InputError: it cannot be read, or has no Gaussians.
    """
    original = scene if isinstance(scene, Gaussians) else formats.read(scene)
    if len(original) == 0:
        named = "the scene" if isinstance(scene, Gaussians) else scene
        raise InputError(f"{named} has no Gaussians; there is nothing to shrink")
    return original


def prepare(
    scene: Gaussians | str | os.PathLike[str],
    original: Gaussians,
    config: ShrinkingConfig,
    folder: Path,
    target: Target,
    options: Options,
) -> Prepared:
    """Find cameras for a scene, render it there, and make the way down ready.

    Args:
        scene: what `original` was read from.
        folder: for checkpoints.
        target: the one to judge by.
    """
    engine, progress = options.get("engine", "cpu"), options.get("progress")
    say_if_short(len(original))
    given = original.finite_equivalent()
    given = given[morton_order(given.means)]
    freedom = _freedom(given, options)
    source = find_source(
        given,
        scene,
        capture=options.get("capture"),
        cameras=options.get("cameras"),
        background=options.get("background"),
        downscale=options.get("downscale"),
        view_size=config.view_size,
        count=config.views,
        seed=config.seed,
        engine=engine,
        progress=at_stage(progress, "looking around"),
    )
    picture = options.get("show_cameras")
    if picture is not None:
        contact_sheet(
            given,
            source.cameras,
            picture,
            sureness=None if source.sureness is None else list(source.sureness.values()),
            background=source.background,
            engine=engine,
            overwrite=options.get("overwrite", False),
        )
    teacher = _teacher(given, source, engine, progress)
    floaters = None
    if options.get("floaters", False):
        judges = source.photos or teacher
        floaters = find_floaters(
            given,
            judges,
            own_renders=source.photos is None,
            engine=engine,
            progress=at_stage(progress, "looking for floaters"),
        )
        gone = floaters.rows & freedom.removable
        if bool(gone.any()):
            given = given[~gone]
            freedom, teacher = _freedom(given, options), _teacher(given, source, engine, progress)
    limited = target.max_lpips_rise is not None
    judge = Judge(
        given, teacher, source.photos, lpips=options.get("lpips") or ("vgg" if limited else None), engine=engine
    )
    if limited and judge.without_lpips is not None:
        raise InputError(f"the rise of LPIPS cannot be limited: {judge.without_lpips}")
    descent = Descent(
        given,
        teacher if source.photos is None else blended(teacher, source.photos),
        freedom,
        folder,
        config.criterion,
        config.seed,
        source.kind == "made up",
        engine=engine,
        resume=options.get("resume", False),
        overwrite=options.get("overwrite", False),
        progress=progress,
        batch=config.batch,
    )
    told = [freedom.sentence] if freedom.sentence else []
    told += [floaters.describe()] if floaters is not None else []
    unseen = int(descent.unseen.sum())
    if unseen:
        fate = "these are merged in proportion" if descent.merges else "the fainter of these go first"
        told.append(
            f"{unseen:,} of {len(given):,} Gaussians are in none of the views; where Gaussians become fewer, {fate}"
        )
    return Prepared(descent, judge, source, unseen, tuple(told), floaters)


def _freedom(given: Gaussians, options: Options) -> Freedom:
    return Freedom.of(
        given,
        protect=[parse_region(text) for text in options.get("protect", ())],
        only=[parse_region(text) for text in options.get("only", ())],
    )


def _teacher(given: Gaussians, source: Source, engine: str, progress: Progress | None) -> Capture:
    return teacher_capture(
        given,
        source.cameras,
        held_back=source.held_back,
        background=source.background,
        masks=source.masks,
        engine=engine,
        progress=at_stage(progress, "rendering the scene"),
    )


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
    copy_file(file, path, overwrite=overwrite)
    return f"there was nothing to do: {file} already is within {target.described()}, and was copied as it is"
