"""`leansplat train`."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, describe_run, megabytes, number
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    CaptureFolder,
    Device,
    Engine,
    Flag,
    Json,
    Overwrite,
    Resume,
    Seed,
    Threads,
    engine_on,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture
    from leansplat.shrinking import FromPhotos
    from leansplat.training import TrainingConfig

_log = logging.getLogger("leansplat")

_SUFFIXES = (".sog", ".spz", ".ply", ".npz", ".splat", ".glb")
"""Of names that are files; all others are run folders."""


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
        int | None, arg(metavar="N", help_behavior_hint="(default: 30000 for 3dgs, 5000 for lean)")
    ] = None
    """Number of training steps. Any other number than the default scales the whole schedule with it."""
    minutes: Annotated[float | None, arg(metavar="M", help_behavior_hint="")] = None
    """Time for everything, from which the lean recipe finds the number of steps by timing some."""
    downscale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Factor by which the photos are reduced in width and height."""
    background: Annotated[
        Literal["black", "white"] | None, arg(metavar="{black,white}", help_behavior_hint="(default: black)")
    ] = None
    """Colour behind the scene, on which transparent photos are composed."""
    seed: Seed = None
    antialiased: Flag = False
    """Train with opacity compensation, for scenes that are looked at from much closer or farther than the photos."""
    device: Device = None
    engine: Engine = None
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="")] = None
    """Where OUT is a file: folder for what --resume goes on from."""
    resume: Resume = False
    overwrite: Overwrite = False
    threads: Threads = None
    json: Json = False

    @property
    def _engine(self) -> str | None:
        return engine_on(self.device, self.engine)

    def run(self) -> Answer:
        engine_on(self.device, self.engine)
        if self.recipe == "3dgs" and self.count is not None:
            raise InputError("--recipe 3dgs trains to no --count; leave one of them out, or trim the scene afterwards")
        if self.minutes is not None and self.iterations is not None:
            raise InputError("--minutes and --iterations both say how long to train; give one of them")
        if self.minutes is not None and self.recipe == "3dgs":
            raise InputError("--recipe 3dgs has a length of its own; leave --minutes out, or give --iterations")
        if self.minutes is not None:
            from leansplat.training import check_minutes

            check_minutes(self.minutes, resume=self.resume)
        if not self.output.is_dir() and self.output.name.lower().endswith(_SUFFIXES):
            return self._to_file()
        for name, value in (("--size", self.size), ("--run", self.run_folder)):
            if value is not None:
                raise InputError(
                    f"{name} belongs to a file, and {self.output} is a run folder; name one such as {self.output}.sog"
                )
        return self._to_run()

    def _to_file(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.records import write_record
        from leansplat.runs import hash_capture
        from leansplat.shrinking import parse_bytes, train_to_file
        from leansplat.training import LEAN_STEPS

        if self.recipe == "3dgs":
            raise InputError(
                f"--recipe 3dgs trains to no file; train to a run folder, then shrink it to {self.output.name}"
            )
        if self.resume and self.run_folder is None:
            raise InputError("there is no run folder to resume; name with --run the one that was interrupted")
        size = None if self.size is None else parse_bytes(self.size)
        alone = nullcontext() if self.run_folder is None else alone_in(self.run_folder)
        with alone, ProgressBar("train") as progress:
            trained = None if self.run_folder is None else self.run_folder / "trained"
            begun = begun_run(trained, self.threads) if self.resume else None
            photos = photo_options(None if begun is None else trained, self.background, self.downscale)
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            result = train_to_file(
                capture,
                self.output,
                count=self.count,
                size=size,
                iterations=LEAN_STEPS if self.iterations is None else self.iterations,
                minutes=self.minutes,
                seed=0 if self.seed is None else self.seed,
                antialiased=self.antialiased,
                run=self.run_folder,
                engine=self._engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
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
            return answer

    def _to_run(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.training import train

        asked = (self.recipe, self.count, self.iterations, self.seed)
        changed = self.antialiased or any(each is not None for each in asked)
        with alone_in(self.output), ProgressBar("train") as progress:
            begun = begun_run(self.output, self.threads) if self.resume else None
            photos = photo_options(None if begun is None else self.output, self.background, self.downscale)
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            result = train(
                capture,
                self._config(capture) if begun is None or changed else None,
                self.output,
                engine=self._engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            return describe_run(result, capture)

    def _config(self, capture: Capture) -> TrainingConfig:
        """The settings that the options ask for; says how many Gaussians there will be where they do not."""
        from leansplat.training import TrainingConfig, count_for, lean, lean_steps_within
        from leansplat.training.strategies import BudgetTraining

        if self.recipe == "lean" or self.count is not None or self.minutes is not None:
            config = lean(count_for(capture) if self.count is None else self.count)
            if self.count is None:
                _log.warning(
                    "training to %s Gaussians, as many as the photos call for; --count is any other number",
                    f"{count_for(capture):,}",
                )
        else:
            config = TrainingConfig()
        config = replace(config, seed=0 if self.seed is None else self.seed, antialiased=self.antialiased)
        steps = config.iterations if self.iterations is None else self.iterations
        budget = config.strategy(BudgetTraining)
        if self.minutes is not None and budget is not None:
            steps = lean_steps_within(60 * self.minutes, capture, budget.count, engine=self._engine or "cpu")
            _log.warning("%s training steps fit into the time", f"{steps:,}")
        return config.scaled(steps)


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
