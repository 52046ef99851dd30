"""`shrink_in_blocks`: a scene of any size, in the memory of a block and its margin.

    scene -> blocks in a folder -> each shrunk among its neighbours, which stay as they are -> joined -> judged

Every step goes through the folder, so whatever was done before an interruption is kept, and others can do a part of it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

from typing_extensions import Unpack

from leansplat import engines, formats
from leansplat.batch.executor import Executor, executor_for
from leansplat.batch.tasks import Cost
from leansplat.blocks.joining import is_streamed, join, join_within
from leansplat.blocks.number import Blocks
from leansplat.blocks.plan import CAMERAS, PLAN, Plan
from leansplat.blocks.result import BlocksResult
from leansplat.blocks.shares import shared
from leansplat.blocks.sizing import sizing
from leansplat.blocks.sliced import SlicedScene, digest_of, is_sliced, slice_scene
from leansplat.blocks.work import BlockMade, judged_of, made_of
from leansplat.blocks.working import JUDGE, SHRINK, work_on_all
from leansplat.captures.inria_cameras import cameras_beside, read_cameras
from leansplat.compression.codecs import Codec
from leansplat.compression.compressor import check_output
from leansplat.errors import InputError, RunError
from leansplat.formats import levels, scene_path
from leansplat.memory import peak_memory
from leansplat.progress import Progress, at_stage
from leansplat.provenance import BACKGROUNDS, Color, trained_with
from leansplat.runs import alone_at_work, hash_file
from leansplat.shrinking.config import ShrinkingConfig
from leansplat.shrinking.fitting import LEAST_SHARE
from leansplat.shrinking.memory import memory_for
from leansplat.shrinking.plain import codec_for
from leansplat.shrinking.shrinker import ShrinkingResult, shrink
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.targets import Target
from leansplat.simd.threads import thread_count

_OURS = ("cut", "made", "judged", "work", "logs", "cut.json", PLAN, CAMERAS)
"""What lies in a folder of blocks."""


class BlockOptions(TypedDict, total=False):
    """What `shrink_in_blocks` can be told besides scene, target and pace; all of it may be left out."""

    workers: int
    """Blocks at once, each in a process of its own; 1, in this process, by default."""

    executor: Executor | None
    """Who works on them instead, which can read and write the run folder; used in a `with` block here."""

    cameras: str | os.PathLike[str] | None
    """A cameras.json of 3DGS. One beside the scene is found by itself, and without any, cameras are made up."""

    background: Color | None
    """(r, g, b) behind the scene; by default as it was trained, else black."""

    downscale: int | None
    """Of cameras; by default so that their views are no larger than `ShrinkingConfig.view_size`."""

    engine: str
    """What renders and trains, a name in `leansplat.engines.ENGINES`."""

    resume: bool
    """Go on in the run folder where an earlier work was interrupted."""

    overwrite: bool
    """Whether files, and earlier blocks in the folder, may be replaced. The scene never is."""

    progress: Progress | None
    """Of each piece of work, one after the other; see `leansplat.progress.Progress`."""


@alone_at_work
def shrink_in_blocks(
    scene: str | os.PathLike[str],
    path: str | os.PathLike[str],
    target: Target,
    blocks: Blocks,
    config: ShrinkingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    **options: Unpack[BlockOptions],
) -> BlocksResult | ShrinkingResult:
    """Make a scene as small as a target says, block by block.

    Args:
        scene: a scene file of any tool, or a run folder. Of a .ply, no more than a block and its margin is in memory at
            once.
        path: the file to write, of a kind that `shrink` writes, or a lod-meta.json, whose folder is made.
        target: bytes, Gaussians or a share of them.
        blocks: into how many.
        config: at what pace; `steps` are those of each block, and `minutes` cannot be said.
        run: folder to keep blocks in, so that an interrupted work can go on; by default a temporary one beside `path`.
        options: see `BlockOptions`.

    Returns:
        What it made. A scene that is too small for two blocks is shrunk whole, by `leansplat.shrinking.shrink`.

    Raises:
        InputError: the scene or a setting cannot be used, the file cannot be written, or no file is as small as the
            target.
        CaptureError: the cameras cannot be read.
        RunError: the run folder is in use, or does not fit what is to be resumed, or a block failed.

    Example:
        >>> shrink_in_blocks("town.ply", "town.sog", Target(keep=0.25), Blocks(most=500_000))  # doctest: +SKIP
    """
    began = time.perf_counter()
    path, config = Path(path), config or ShrinkingConfig()
    resume, overwrite = options.get("resume", False), options.get("overwrite", False)
    progress = options.get("progress")
    codec = _check(path, target, config, options.get("workers", 1))
    engines.named(options.get("engine", "cpu"))  # says what it lacks here
    if codec is not None:
        check_output(scene, path, overwrite=overwrite)
    else:
        _check_folder(path.parent, [scene_path(scene), *([] if run is None else [Path(run)])], overwrite=overwrite)
    if run is None and resume:
        raise RunError("there is no run folder to resume; name the one that was interrupted")
    given = sum(len(part) for part in formats.read_parts(scene))
    count = blocks.of(given)
    if count == 1 and codec is not None:
        whole = shrink(
            scene,
            path,
            target,
            config,
            run,
            **{name: options[name] for name in _OF_A_WHOLE if name in options},  # type: ignore[literal-required]
        )
        said = f"{given:,} Gaussians are too few to be cut, so the scene was shrunk whole"
        return replace(whole, told=(said, *whole.told))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary(path)) if run is None else run)
        _make_ready(folder, resume=resume, overwrite=overwrite)
        sliced = _sliced(scene, folder, blocks, at_stage(progress, "cutting the scene"))
        plan = _planned(scene, sliced, target, config, codec, options)
        memory = _work_on(sliced, options)
        at_stage(progress, "joining blocks")
        numbers = range(sliced.blocks)
        made = [block for number in numbers if (block := made_of(folder, number)) is not None]
        judged = [loss for number in numbers if (loss := judged_of(folder, number)) is not None]
        told = _told(sliced, target, blocks, config.steps, made)
        kept = sum(block.made for block in made)
        if target.size is not None and codec is not None:
            kept = join_within(sliced, path, codec, plan.fineness, target.size, overwrite=overwrite)
            taken = formats.scene_bytes(path)
            if taken < LEAST_SHARE * target.size:
                told.append(f"{kept:,} Gaussians take no more than {format_bytes(taken)} at their finest")
        else:
            join(sliced, path, codec, overwrite=overwrite)
    return BlocksResult(
        path=path,
        bytes=formats.scene_bytes(path),
        gaussians=kept,
        original=given,
        original_bytes=formats.scene_bytes(scene),
        blocks=tuple(made),
        judged=tuple(judged),
        told=tuple(told),
        seconds=time.perf_counter() - began,
        memory=memory,
        driver_memory=peak_memory(),
    )


_OF_A_WHOLE = ("cameras", "background", "downscale", "engine", "resume", "overwrite", "progress")
"""Options that mean the same to `shrink`."""


def _check(path: Path, target: Target, config: ShrinkingConfig, workers: int) -> Codec | None:
    """The kind of file, None for chunks to stream.

    Raises:
        InputError: something cannot be done in blocks.
    """
    if target.of_quality:
        raise InputError(
            f"{target.described()} cannot be a target of blocks, since no block knows what the others lose; give a "
            "count, a share or a size (--count, --keep, --size)"
        )
    if config.minutes is not None:
        raise InputError(
            "minutes cannot be kept in blocks, whose results would depend on the clock; give steps (--steps)"
        )
    if workers < 1:
        raise InputError(f"setting workers is {workers}; give 1 or more")
    if not is_streamed(path):
        return codec_for(path)
    if target.size is not None:
        raise InputError(f"{path} has no size of its own to keep to, being a folder; give a count or a share")
    if path.name != levels.NAME or path.parent == Path():
        raise InputError(
            f"{path} would be chunks to stream, which are a folder of their own; give FOLDER/{levels.NAME}"
        )
    return None


def _check_folder(folder: Path, kept: list[Path], *, overwrite: bool) -> None:
    """Refuse a folder of chunks that could not be written in the end, or that others would be lost with."""
    for path in kept:
        if folder.resolve() in (path.resolve(), *path.resolve().parents):
            raise InputError(f"{folder} holds {path}, which would be lost; choose another folder for what is streamed")
    if not folder.resolve().parent.is_dir():
        raise InputError(f"{folder} cannot be written because the folder around it does not exist; create it first.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder to write.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / levels.NAME).is_file():
            raise InputError(f"{folder} is a folder of something else, without a {levels.NAME}; choose another name.")
        if not overwrite:
            raise InputError(f"{folder} already exists; pass --overwrite (overwrite=True) or choose another name.")


@contextmanager
def _temporary(path: Path) -> Iterator[str]:
    """A folder on the disk of the file, since the scene is laid down there once more."""
    place = path.parent.parent if is_streamed(path) else path.parent
    with TemporaryDirectory(dir=place, prefix=".leansplat-blocks-") as folder:
        yield folder


def _make_ready(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Let a folder be empty, or hold blocks to go on with."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the blocks")
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    strange = sorted(name for name in found - set(_OURS) if not name.startswith("."))
    if strange:
        raise InputError(f"{folder} holds {strange[0]}, which is nothing of blocks; name another folder")
    if resume and is_sliced(folder):
        return
    if found & set(_OURS) and not (overwrite or resume):
        raise RunError(
            f"{folder} holds blocks of an earlier work; go on with --resume, or start again with --overwrite"
        )
    for name in found & set(_OURS):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _sliced(scene: str | os.PathLike[str], folder: Path, blocks: Blocks, progress: Progress | None) -> SlicedScene:
    """The scene in blocks, as they lie in the folder already or cut now."""
    if not is_sliced(folder):
        return slice_scene(scene, folder, blocks, progress)
    sliced = SlicedScene(folder)
    if sliced.facts.scene != digest_of(scene):
        raise RunError(
            f"{folder} holds blocks of another scene than {scene}; name that, or start again with --overwrite"
        )
    if sliced.facts.asked != blocks:
        raise RunError(f"{folder} was cut in another way than is asked for; ask the same, or start with --overwrite")
    return sliced


def _planned(
    scene: str | os.PathLike[str],
    sliced: SlicedScene,
    target: Target,
    config: ShrinkingConfig,
    codec: Codec | None,
    options: Mapping[str, Any],
) -> Plan:
    """The plan in the folder, as it lies there already or made now."""
    folder = sliced.folder
    file = options.get("cameras") or cameras_beside(scene)
    if file is not None:
        read_cameras(file)  # says what is wrong with it
    known = trained_with(scene)
    red, green, blue = map(float, options.get("background") or known.background or BACKGROUNDS["black"])
    plan = Plan(
        counts=sliced.facts.counts,
        target=target,
        shrinking=config,
        cameras=None if file is None else hash_file(file),
        downscale=options.get("downscale"),
        background=(red, green, blue),
        engine=options.get("engine", "cpu"),
        threads=thread_count(),
    )
    if (folder / PLAN).exists():
        begun = Plan.read(folder)
        if begun != replace(plan, counts=begun.counts, threads=begun.threads, fineness=begun.fineness):
            raise RunError(
                f"{folder} holds blocks that were shrunk with other settings; give the same, or start again with "
                "--overwrite"
            )
        return begun
    if file is not None:
        shutil.copyfile(file, folder / CAMERAS)
    count = target.count_of(sliced.count) or sliced.count
    if target.size is not None and codec is not None:
        found = sizing(folder, plan, codec, target.size)
        count = max(min(found.count, count), sliced.blocks)
        plan = replace(plan, fineness=found.fineness)
    plan = replace(plan, counts=shared(count, sliced.facts.counts, sliced.facts.drawable))
    plan.write(folder)
    return plan


def _work_on(sliced: SlicedScene, options: Mapping[str, Any]) -> int:
    """Shrink and judge what is open; returns the bytes that a process of a block had in memory at most."""
    folder, progress, workers = sliced.folder, options.get("progress"), options.get("workers", 1)
    threads = max(1, thread_count() // workers)
    executor = options.get("executor") or (executor_for(workers=workers, threads=threads) if workers > 1 else None)
    memory = memory_for(max(sliced.facts.counts))
    cost = Cost(threads, memory, 0.0 if options.get("engine", "cpu") in ("cpu", "torch") else 1.0)
    numbers = range(sliced.blocks)
    with nullcontext() if executor is None else executor:
        unmade = [number for number in numbers if made_of(folder, number) is None]
        making = work_on_all(folder, unmade, SHRINK, executor, cost, at_stage(progress, "shrinking blocks"))
        unjudged = [number for number in numbers if judged_of(folder, number) is None]
        judging = work_on_all(folder, unjudged, JUDGE, executor, cost, at_stage(progress, "judging blocks"))
    return max(making, judging)


def _told(sliced: SlicedScene, target: Target, blocks: Blocks, steps: int | None, made: list[BlockMade]) -> list[str]:
    told = [*target.too_many(sliced.count)]
    if blocks.count is not None and sliced.blocks < blocks.count:
        told.append(f"{sliced.count:,} Gaussians are enough for {sliced.blocks} blocks, and not for {blocks.count}")
    if sliced.facts.nonfinite:
        told.append(f"{sliced.facts.nonfinite:,} of {sliced.count:,} Gaussians have numbers that are not finite")
    unseen = sum(block.unseen for block in made)
    if unseen:
        told.append(
            f"{unseen:,} of {sliced.count:,} Gaussians are in none of the views; where Gaussians become fewer, these "
            "are merged in proportion"
        )
    untrained = sum(bool(block.cameras) and not block.steps and block.made < block.given for block in made)
    if untrained and steps != 0:
        told.append(
            f"training does not help {untrained} of {len(made)} blocks on views held back; these are only merged and "
            "removed from"
        )
    blind = sum(not block.cameras for block in made)
    if blind:
        told.append(f"{blind} of {len(made)} blocks have no views, so nothing is known of what they lost")
    return told
