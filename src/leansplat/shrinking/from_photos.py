"""`train_to_file`: photos in, the small file that was asked for out, in one go.

    photos -> the lean recipe, straight to a number of Gaussians -> the last steps through the file's rounding -> file

The capture is read once, and no scene is made that is larger than the file needs. A target of bytes becomes a number of
Gaussians by what one usually takes, with some to spare; what is left over goes when the rest of the file is chosen on
the scene itself (`fitting`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.compression import CompressionConfig, CompressionResult, FineTuningConfig, compress
from leansplat.compression.codecs import Codec
from leansplat.compression.compressor import check_output
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress, at_stage
from leansplat.records import Work, works_in
from leansplat.runs import alone_at_work, has_begun, open_run
from leansplat.shrinking.fitting import LEAST_SHARE, Choice, choose
from leansplat.shrinking.plain import PLAIN, codec_for
from leansplat.shrinking.sized import filled
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.within import few_views, worth_of
from leansplat.temporary_folders import temporary_folder
from leansplat.training import LEAN_STEPS, TrainingConfig, check_minutes, count_for, lean, lean_within, train

_SHARE_OF_ENCODING = 0.2
"""Of the steps, that go through the rounding of the file."""

_POSITION_RATE = 1.6e-5
"""Of training through the rounding, in units of the scene's extent: where the lean recipe ends."""

_WRITING = 10.0
"""Seconds for choosing how a file is coded, and for writing it."""

_USUAL_BYTES = {".sog": 16, ".npz": 48, ".spz": 27, ".compressed.ply": 61, ".splat": 32, ".glb": 236, ".ply": 248}
"""What a Gaussian of degree 3 takes in each kind of file, as in the README's table of results; .splat has degree 0."""

_SPARE = 1.15
"""Of the Gaussians that a size usually has room for, how many are trained."""


@dataclass(frozen=True)
class FromPhotos:
    """What `train_to_file` made.

    Args:
        gaussians: the scene as read again from the file.
        path: the file; bytes: its size.
        trained: the scene before the file was made, of `count` Gaussians or a few more.
        tuned: whether the file is what was trained through its rounding, which is not always the best.
        steps: training steps, through the rounding included.
        told: what there is to say of the result, sentence by sentence.
        seconds: time for everything.
        works: what was done on the way, with its log.
    """

    gaussians: Gaussians
    path: Path
    bytes: int
    trained: Gaussians
    tuned: bool
    steps: int
    told: tuple[str, ...]
    seconds: float
    works: tuple[Work, ...]


@alone_at_work
def train_to_file(
    capture: Capture,
    path: str | os.PathLike[str],
    *,
    count: int | None = None,
    size: int | None = None,
    iterations: int | None = None,
    minutes: float | None = None,
    batch: int | None = None,
    seed: int = 0,
    antialiased: bool = False,
    run: str | os.PathLike[str] | None = None,
    engine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FromPhotos:
    """Train a scene by the lean recipe and through the rounding of the file that it is to become.

    Args:
        capture: photos with cameras; its test views are not touched.
        path: the file to write; its suffix chooses the kind: .sog, .spz, .compressed.ply, .npz, .ply, .splat or .glb.
        count: Gaussians in the file, exactly; with `size`, at most. By default as many as the size has room for, or as
            the photos call for.
        size: bytes of the file, at most, and at least 97 % of it where the photos have enough to fill it.
        iterations: training steps in all, at least 1; by default 5,000, or as many as the run began with.
        minutes: time for everything, above 0, from which the number of steps follows instead, as it goes; what is
            resumed goes on with the steps that were found until then.
        batch: views of a training step, see `TrainingConfig.batch`; 1 by default, or what the run began with.
        seed: of everything random.
        antialiased: train with opacity compensation.
        run: folder for the runs `trained` and `file`, which an interrupted work goes on from; nothing but the file is
            kept without it.
        engine: what trains, a name in `leansplat.engines.ENGINES`; "cpu" by default, or what the run began with.
        settings: further ones to record in the runs.
        resume: go on in the run folder where an earlier work was interrupted.
        overwrite: whether the file, and an earlier run in the folder, may be replaced.
        progress: of each piece of work, one after the other; see `leansplat.progress.Progress`.

    Raises:
        InputError: a number is out of range, the file cannot be written, or no file is as small.
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.

    Example:
        >>> capture = leansplat.load_capture("garden", downscale=4)  # doctest: +SKIP
        >>> train_to_file(capture, "garden.sog", size=5_000_000).bytes  # doctest: +SKIP
    """
    began = time.perf_counter()
    path = Path(path)
    codec = codec_for(path)
    wanted = _wanted(capture, codec, count, size)
    told: list[str] = []
    if count is None and size is None:
        told.append(f"{wanted:,} Gaussians are as many as the photos call for; a count or a size is any other number")
    if iterations is not None and iterations < 1:
        raise InputError(f"setting iterations is {iterations}; give 1 or more")
    check_minutes(minutes, resume=resume)
    share = 0.0 if codec.suffix in PLAIN else _SHARE_OF_ENCODING
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder()) if run is None else Path(run)
        check_output(folder / "trained" / "scene.ply", path, overwrite=overwrite)
        begun = open_run(folder / "trained") if resume and has_begun(folder / "trained") else None
        if iterations is None and begun is not None:
            iterations = begun.config["settings"].get("iterations", LEAN_STEPS)
        elif iterations is None and minutes is None:
            iterations = LEAN_STEPS
        if batch is None:
            batch = 1 if begun is None else begun.began_with("training", TrainingConfig).batch
        further, deadline = share / (1 - share), None
        if iterations is not None:
            length = iterations - min(iterations - 1, int(share * iterations))
        elif begun is not None:
            length = begun.began_with("training", TrainingConfig).iterations
        else:
            assert minutes is not None
            seconds = 60 * minutes - _WRITING
            length, deadline = lean_within(
                seconds, capture, wanted, further=further, batch=batch, engine=engine or "cpu"
            )
        recipe = lean(wanted, length, points=capture.has_points)
        result = train(
            capture,
            replace(recipe, seed=seed, antialiased=antialiased, batch=batch),
            folder / "trained",
            engine=engine,
            settings={**(settings or {}), "iterations": iterations},
            resume=begun is not None,
            overwrite=overwrite,
            deadline=deadline,
            progress=at_stage(progress, "training"),
        )
        trained, used = result.gaussians, result.state.model.engine
        steps = result.state.step
        through = round(further * steps) if iterations is None else iterations - steps
        if iterations is None:
            told.append(f"{steps + through:,} training steps were made, to end on time")
        files = iter(("file", "file-again"))

        def write(codec: Codec, steps: int, again: bool) -> tuple[CompressionResult, bool, int]:
            place = folder / next(files)
            tuning = FineTuningConfig(steps=steps, batch=batch, seed=seed, position_rate=_POSITION_RATE)
            made = compress(
                folder / "trained",
                capture,
                path,
                CompressionConfig(fine_tuning=tuning),
                place if steps else None,
                codec=codec,
                engine=engine,
                resume=resume and steps > 0 and has_begun(place),
                overwrite=overwrite or again,
                progress=at_stage(progress, f"training through {codec.suffix}" if steps else "writing"),
            )
            return made, made.written == "fine-tuned", made.bytes

        def chosen(size: int, steps: int) -> Choice:
            views = few_views(capture)
            choice = choose(
                trained,
                worth_of(trained, views, used),
                views,
                codec,
                size,
                steps=steps,
                engine=used,
                progress=at_stage(progress, f"choosing how to fill {format_bytes(size)}"),
            )
            return replace(choice, count=min(choice.count, count or choice.count))

        if size is None:
            made, tuned, _ = write(codec, through, False)
        else:
            limit = size
            made = filled(chosen(limit, through), through, write, lambda: chosen(limit, 0))
            tuned = made.written == "fine-tuned"
        works = works_in(folder)
    taken = formats.scene_bytes(path)
    if size is not None and taken < LEAST_SHARE * size and count is None:
        told.append(
            f"{len(made.gaussians):,} Gaussians take no more than {format_bytes(taken)} at their finest, less than the "
            f"{format_bytes(size)} asked for; a larger --count fills it"
        )
    return FromPhotos(
        gaussians=made.gaussians,
        path=path,
        bytes=taken,
        trained=trained,
        tuned=tuned,
        steps=steps + through,
        told=tuple(told),
        seconds=time.perf_counter() - began,
        works=works,
    )


def _wanted(capture: Capture, codec: Codec, count: int | None, size: int | None) -> int:
    """Gaussians to train to.

    Raises:
        InputError: a number is below 1.
    """
    for name, value in (("count", count), ("size", size)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; give 1 or more")
    if size is None:
        return count_for(capture) if count is None else count
    fitting = max(1, round(_SPARE * size / _USUAL_BYTES[codec.suffix]))
    return fitting if count is None else min(count, fitting)
