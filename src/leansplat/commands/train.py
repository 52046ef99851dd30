"""`leansplat train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, describe_run
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    Background,
    CaptureFolder,
    Downscale,
    Flag,
    Json,
    Overwrite,
    Resume,
    RunFolder,
    Seed,
    Threads,
)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a 3D Gaussian Splatting scene from photos, by the published recipe.

    Example: leansplat train photos/ -o runs/garden --downscale 4
    """

    capture: Positional[CaptureFolder]
    output: RunFolder
    iterations: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 30000)")] = None
    """Training steps; any other number than 30000 scales the whole schedule with it."""
    downscale: Downscale = 1
    background: Background = "black"
    seed: Seed = None
    antialiased: Flag = False
    """Train with opacity compensation, for scenes that are looked at from far closer or farther than the photos."""
    resume: Resume = False
    overwrite: Overwrite = False
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.evaluation import evaluate_run
        from leansplat.progress import Progress
        from leansplat.runs import open_run
        from leansplat.training import TrainingConfig, create_training_run, train

        capture = load_capture(self.capture, self.downscale, self.background, points=True)
        changed = self.iterations is not None or self.seed is not None or self.antialiased
        config = TrainingConfig(seed=self.seed or 0, antialiased=self.antialiased).scaled(self.iterations or 30_000)
        if self.resume:
            run = open_run(self.output)
        else:
            settings = {"capture": str(self.capture), "downscale": self.downscale, "background": self.background}
            run = create_training_run(self.output, capture, config, settings=settings, overwrite=self.overwrite)
        with Progress("train") as progress:
            keep_settings = self.resume and not changed
            result = train(capture, None if keep_settings else config, run, resume=self.resume, progress=progress)
        evaluation = evaluate_run(run, result.gaussians, capture) if capture.test else None
        return describe_run(run, result.seconds, evaluation)
