"""`shrink_ladder`: several sizes of a scene from one run, as files, as one folder to stream from, and in one table.

Each level is made from the one before, so a smaller one has some of its Gaussians, tuned for themselves. What a size
leaves out at the last moment, a few of the least worthy, is the one exception: the next level chooses again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Unpack

from leansplat import formats
from leansplat.cameras import Camera
from leansplat.errors import InputError, RunError
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.records import Work, works_in
from leansplat.report.svg import standalone
from leansplat.runs import alone_at_work
from leansplat.shrinking.config import ShrinkingConfig
from leansplat.shrinking.ladder import Level, plot
from leansplat.shrinking.making import Maker, Reached
from leansplat.shrinking.plain import codec_for
from leansplat.shrinking.reaching import reach
from leansplat.shrinking.shrinker import Options, prepare, read_original
from leansplat.shrinking.sources import Source
from leansplat.shrinking.targets import Target
from leansplat.shrinking.timetable import overtime
from leansplat.temporary_folders import temporary_folder

STREAMED = "streamed"
"""The folder of levels to stream from, in that of the ladder."""


@dataclass(frozen=True)
class LadderResult:
    """What a ladder came to.

    Args:
        folder: with a file for each level, levels.json, levels.svg where matplotlib is there, and the folder
            `STREAMED`, whose lod-meta.json viewers stream.
        levels: the largest first.
        told: what there is to say of them, sentence by sentence.
        source: where the scene was looked at from.
        seconds: time for everything.
        original: the scene that was given; original_bytes: the size of its file, None for one from memory.
        cameras: of the views that judged, by name.
        works: what was done on the way, with its log.
    """

    folder: Path
    levels: tuple[Level, ...]
    told: tuple[str, ...]
    source: Source
    seconds: float
    original: Gaussians
    original_bytes: int | None
    cameras: Mapping[str, Camera]
    works: tuple[Work, ...]


@alone_at_work
def shrink_ladder(
    scene: Gaussians | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    targets: tuple[Target, ...],
    config: ShrinkingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    suffix: str = ".sog",
    **options: Unpack[Options],
) -> LadderResult:
    """Make a scene as small as several targets say, each from the one before.

    Args:
        scene: Gaussians, a scene file of any tool, or a run folder.
        folder: for the files, which are named by their targets.
        targets: the largest first, as `ladder.parse_ladder` gives them.
        config: at what pace; steps and minutes are those of all levels together.
        run: folder to keep what an interrupted work can go on from.
        suffix: of the files.
        options: see `leansplat.shrinking.shrinker.Options`.

    Raises:
        InputError: as `shrink` does; or the folder has files and `overwrite` is false.
        CaptureError, RunError: as `shrink` does.
    """
    began = time.perf_counter()
    folder, config = Path(folder), config or ShrinkingConfig()
    overwrite, resume = options.get("overwrite", False), options.get("resume", False)
    if run is None and resume:
        raise RunError("there is no run folder to resume; name the one that was interrupted")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the levels")
    if folder.is_dir() and any(folder.iterdir()) and not (overwrite or resume):
        raise InputError(f"{folder} is not empty; pass --overwrite (overwrite=True) or choose another folder")
    codec = options.get("codec") or codec_for(f"level{suffix}")
    original = read_original(scene)
    levels: list[Level] = []
    scenes: list[Gaussians] = []
    told: list[str] = []
    with ExitStack() as stack:
        place = stack.enter_context(temporary_folder()) if run is None else Path(run)
        prepared = prepare(scene, original, config, place, targets[0], options)
        told += prepared.told
        maker = Maker(prepared.descent, codec, prepared.judge, config, began, levels=len(targets))
        above = prepared.descent.top
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            path = folder / f"{_slug(target)}{suffix}"
            reached: Reached = reach(maker, target, above, path, overwrite=overwrite or resume)
            told += [f"{path.name}: {text}" for text in reached.told]
            above = reached.stage
            levels.append(Level(target, len(reached.gaussians), formats.scene_bytes(path), reached.loss, path))
            if not scenes or len(above.gaussians) < len(scenes[-1]):
                scenes.append(above.gaussians)
        works = works_in(place)
    formats.write_levels(scenes, folder / STREAMED, overwrite=overwrite or resume)
    write_json(folder / "levels.json", {"levels": [level.to_json() for level in levels]}, overwrite=True)
    try:
        (folder / "levels.svg").write_text(standalone(plot(levels)), encoding="utf-8")
    except InputError as error:
        told.append(f"levels.svg was not drawn: {error}")
    seconds = time.perf_counter() - began
    return LadderResult(
        folder=folder,
        levels=tuple(levels),
        told=(*told, *overtime(config.minutes, seconds)),
        source=prepared.source,
        seconds=seconds,
        original=original,
        original_bytes=None if isinstance(scene, Gaussians) else formats.scene_bytes(scene),
        cameras=prepared.judge.cameras,
        works=works,
    )


def _slug(target: Target) -> str:
    """The target in a file's name, such as "10MB", "400000" or "25pct"."""
    if target.size is not None:
        return f"{target.size / 1e6:g}MB" if target.size >= 1e6 else f"{target.size / 1e3:g}kB"
    if target.keep is not None:
        return f"{100 * target.keep:g}pct"
    return str(target.count)
