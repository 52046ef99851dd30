"""`leansplat train`."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, describe_run, megabytes, number
from leansplat.commands.captures import load_capture
from leansplat.commands.closing import closing, scene_in_words, size_of
from leansplat.commands.options import (
    Batch,
    CaptureFolder,
    Device,
    Engine,
    Flag,
    Json,
    Overwrite,
    Quiet,
    Resume,
    Seed,
    Threads,
    Watch,
    batch_size,
    engine_on,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run
from leansplat.commands.watch import seen
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture
    from leansplat.shrinking import FromPhotos
    from leansplat.training import TrainingConfig
    from leansplat.training.deadline import Deadline

_log = logging.getLogger("leansplat")

_SUFFIXES = (".sog", ".spz", ".ply", ".npz", ".splat", ".glb")
"""Of names that are files; all others are run folders."""

_STARTING = 3.0
"""Seconds until a command begins to work."""
_MEASURING = 4.0
"""Seconds that measuring a scene takes for a million pixels of photos held out, most of which are LPIPS's."""
_LEAST_SHARE = 0.5
"""Of the time that was asked for, which is left for training whatever else there is to do."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a 3D Gaussian Splatting scene from photos.

    By the published recipe of 3DGS, or by a lean one that trains straight to a number of Gaussians in a fraction of the
    time. OUT is a run folder, or a file such as garden.sog, which the lean recipe trains straight to. At the end, the
    scene is measured on the photos held out.

    Examples: leansplat train photos/ -o runs/garden --downscale 4
              leansplat train photos/ -o runs/garden --downscale 4 --count 300000
              leansplat train photos/ -o garden.sog --downscale 4
              leansplat train photos/ -o garden.sog --downscale 4 --size 5MB --minutes 10
    """

    capture: Positional[CaptureFolder]
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Run folder to write, with scene, log and checkpoints; or a file: .sog, .spz, .compressed.ply, .ply, .splat, .glb
    or .npz."""
    recipe: Annotated[
        Literal["3dgs", "lean"] | None,
        arg(metavar="{3dgs,lean}", help_behavior_hint="(default: 3dgs; lean with --count, --size or a file)"),
    ] = None
    """Recipe of training. 3dgs: the published one, whose scenes are as large as they become. lean: to --count."""
    count: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: as many as the photos call for, with lean)")
    ] = None
    """Number of Gaussians to train to, exactly."""
    size: Annotated[str | None, arg(metavar="SIZE", help_behavior_hint="")] = None
    """Size of the file to write, such as 5MB: at most that, and at least 97 % of it."""
    iterations: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 30000 for 3dgs, 10000 for lean)")
    ] = None
    """Number of training steps. Any other number than the default scales the whole schedule with it."""
    minutes: Annotated[float | None, arg(metavar="M", help_behavior_hint="")] = None
    """Time for everything, to which the lean recipe fits the number of its steps as it goes."""
    downscale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Factor by which the photos are reduced in width and height."""
    background: Annotated[
        Literal["black", "white"] | None, arg(metavar="{black,white}", help_behavior_hint="(default: black)")
    ] = None
    """Colour behind the scene, on which transparent photos are composed."""
    batch: Batch = None
    seed: Seed = None
    antialiased: Flag = False
    """Train with opacity compensation, for scenes that are looked at from much closer or farther than the photos."""
    device: Device = None
    engine: Engine = None
    run_folder: Annotated[
        Path | None, arg(name="run", aliases=["--run-folder"], metavar="RUN", help_behavior_hint="")
    ] = None
    """Where OUT is a file: folder for what --resume goes on from."""
    resume: Resume = False
    overwrite: Overwrite = False
    view: Watch = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    @property
    def _engine(self) -> str | None:
        return engine_on(self.device, self.engine)

    shared: ClassVar[bool] = True
    """Several processes that torchrun starts share the work."""

    def check(self) -> None:
        """Refuse what is wrong whatever the capture is.

        Raises:
            InputError: something is.
        """
        if self.recipe == "3dgs" and self.count is not None:
            raise InputError("--recipe 3dgs trains to no --count; leave one of them out, or trim the scene afterwards")
        if self.minutes is not None and self.iterations is not None:
            raise InputError("--minutes and --iterations both say how long to train; give one of them")
        if self.minutes is not None and self.recipe == "3dgs":
            raise InputError("--recipe 3dgs has a length of its own; leave --minutes out, or give --iterations")
        if self.minutes is not None:
            from leansplat.training import check_minutes

            check_minutes(self.minutes, resume=self.resume)
        if self.size is not None:
            from leansplat.shrinking import parse_bytes

            parse_bytes(self.size)
        if self._makes_file:
            return
        for name, value in (("--size", self.size), ("--run", self.run_folder)):
            if value is not None:
                raise InputError(
                    f"{name} belongs to a file, and {self.output} is a run folder; name one such as {self.output}.sog"
                )

    @property
    def _makes_file(self) -> bool:
        return not self.output.is_dir() and self.output.name.lower().endswith(_SUFFIXES)

    def run(self) -> Answer:
        engine_on(self.device, self.engine)
        self.check()
        return self._to_file() if self._makes_file else self._to_run()

    def _to_file(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.records import write_record
        from leansplat.runs import hash_capture
        from leansplat.shrinking import parse_bytes, train_to_file

        if self.recipe == "3dgs":
            raise InputError(
                f"--recipe 3dgs trains to no file; train to a run folder, then shrink it to {self.output.name}"
            )
        if self.resume and self.run_folder is None:
            raise InputError("there is no run folder to resume; name with --run the one that was interrupted")
        size, began = None if self.size is None else parse_bytes(self.size), time.perf_counter()
        alone = nullcontext() if self.run_folder is None else alone_in(self.run_folder)
        with (
            alone,
            seen(self.view, self.run_folder, self.output.name) as kept,
            ProgressBar("train", quiet=self.quiet) as progress,
        ):
            trained = None if self.run_folder is None else self.run_folder / "trained"
            begun = begun_run(trained, self.threads) if self.resume else None
            photos = photo_options(None if begun is None else trained, self.background, self.downscale)
            progress.stage("loading the photos")
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            progress.stage(self._stage())
            result = train_to_file(
                capture,
                self.output,
                count=self.count,
                size=size,
                iterations=self.iterations,
                minutes=self._minutes_left(capture, began),
                batch=batch_size(self.batch) if begun is None else self.batch,
                seed=0 if self.seed is None else self.seed,
                antialiased=self.antialiased,
                run=kept,
                engine=self._engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            progress.stage("measuring on held-out views")
            answer = _describe_file(result, capture)
            asked = {"count": self.count, "size": size, "minutes": self.minutes, "steps": result.steps}
            recorded = {name: value for name, value in asked.items() if value is not None}
            write_record(
                self.output,
                "train",
                answer.values,
                settings={"capture": str(self.capture), **photos.to_json(), "training to a file": recorded},
                inputs={"capture": hash_capture(capture)},
                works=result.works,
            )
            return replace(answer, closing=self._closing(capture, self.output, len(result.gaussians)))

    def _closing(self, capture: Capture, output: Path, gaussians: int) -> tuple[str, str]:
        size = size_of(output) or 0
        return closing(
            f"{len(capture.train)} photos",
            scene_in_words(output, gaussians, size),
            bytes_before=None,
            bytes_after=size,
            views=[output],
            reported=output,
        )

    def _to_run(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.training import train

        began = time.perf_counter()
        asked = (self.recipe, self.count, self.iterations, self.batch, self.seed)
        changed = self.antialiased or any(each is not None for each in asked)
        with (
            alone_in(self.output),
            seen(self.view, self.output),
            ProgressBar("train", quiet=self.quiet) as progress,
        ):
            begun = begun_run(self.output, self.threads) if self.resume else None
            photos = photo_options(None if begun is None else self.output, self.background, self.downscale)
            progress.stage("loading the photos")
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            progress.stage(self._stage())
            config, deadline = self._config(capture, began) if begun is None or changed else (None, None)
            if deadline is not None:
                progress.stage("")
            result = train(
                capture,
                config,
                self.output,
                engine=self._engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                deadline=deadline,
                progress=progress,
            )
            progress.stage("measuring on held-out views")
            answer = describe_run(result, capture)
            answer = replace(answer, closing=self._closing(capture, self.output, len(result.gaussians)))
            if deadline is None:
                return answer
            steps = result.state.step
            made = f"{steps:,} training steps were made, to end on time."
            return replace(answer, text=f"{made}\n{answer.text}", values={**answer.values, "steps": steps})

    def _stage(self) -> str:
        """What goes on before the first step, where it is not the training itself."""
        return "" if self.minutes is None else "timing some steps"

    def _minutes_left(self, capture: Capture, began: float) -> float | None:
        """Of the time that was asked for, what is left for training when a command began at `began`."""
        if self.minutes is None:
            return None
        pixels = sum(view.camera.width * view.camera.height for view in capture.test)
        others = _STARTING + time.perf_counter() - began + _MEASURING * pixels / 1e6
        return max(self.minutes - others / 60, _LEAST_SHARE * self.minutes)

    def _config(self, capture: Capture, began: float) -> tuple[TrainingConfig, Deadline | None]:
        """The settings that the options ask for, and when to be over; says how many Gaussians there will be where they
        do not."""
        from leansplat.training import LEAN_STEPS, TrainingConfig, count_for, lean, lean_within

        steps, batch, deadline = self.iterations, batch_size(self.batch), None
        if self.recipe == "lean" or self.count is not None or self.minutes is not None:
            count = count_for(capture) if self.count is None else self.count
            if self.count is None:
                _log.warning(
                    "training to %s Gaussians, as many as the photos call for; --count is any other number",
                    f"{count:,}",
                )
            left = self._minutes_left(capture, began)
            if left is not None:
                steps, deadline = lean_within(60 * left, capture, count, batch=batch, engine=self._engine or "cpu")
            config = lean(count, LEAN_STEPS if steps is None else steps, points=capture.has_points)
        else:
            config = TrainingConfig()
            config = config if steps is None else config.scaled(steps)
        seed = 0 if self.seed is None else self.seed
        return replace(config, batch=batch, seed=seed, antialiased=self.antialiased), deadline


def _describe_file(result: FromPhotos, capture: Capture) -> Answer:
    from leansplat.evaluation import evaluate

    evaluation = evaluate(result.gaussians, capture, fps=False, file_size=result.bytes) if capture.test else None
    lines = [f"{text[:1].upper()}{text[1:]}." for text in result.told]
    made = f"{result.path}: {len(result.gaussians):,} Gaussians, {megabytes(result.bytes)}"
    if evaluation is None:
        lines.append("The capture holds no photo out, so there is nothing to measure the scene on.")
    else:
        quality = f"PSNR {evaluation.psnr:.2f} dB, SSIM {evaluation.ssim:.4f}, LPIPS {number(evaluation.lpips, 4)}"
        lines.append(f"On {len(evaluation.views)} held-out views: {quality}")
    lines.append(f"{made}, made in {result.seconds:,.0f} s")
    values = {
        "file": str(result.path),
        "bytes": result.bytes,
        "gaussians": len(result.gaussians),
        "steps": result.steps,
        "written": "fine-tuned" if result.tuned else "plain",
        "seconds": result.seconds,
        "told": list(result.told),
        **({} if evaluation is None else {"metrics": evaluation.to_json()}),
    }
    return Answer("\n".join(lines), values)
