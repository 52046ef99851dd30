"""`leansplat eval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from leansplat.commands.answer import Answer, megabytes, number, table
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    Background,
    CaptureFolder,
    Device,
    Downscale,
    Json,
    Quiet,
    Scene,
    Threads,
    engine_on,
)
from leansplat.commands.photo_options import photo_options

if TYPE_CHECKING:
    from leansplat.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a scene on the photos of a capture that were held out of training.

    Example: leansplat eval runs/garden --capture photos/ --downscale 4
    """

    scene: Scene
    capture: CaptureFolder
    downscale: Downscale = None
    background: Background = None
    lpips: Annotated[
        Literal["vgg", "alex", "none"],
        arg(
            help="Network of the LPIPS distance. vgg is what 3DGS papers report, alex is several times faster, and "
            "none leaves LPIPS out.",
        ),
    ] = "vgg"
    split: Literal["test", "train"] = "test"
    """Photos to measure on: test are those held out, train are those of training."""
    device: Device = None
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.evaluation import evaluate
        from leansplat.progress_bar import ProgressBar

        engine = engine_on(self.device) or "cpu"
        photos = photo_options(self.scene, self.background, self.downscale, warn=False)
        lpips = None if self.lpips == "none" else self.lpips
        with ProgressBar("eval", quiet=self.quiet) as progress:
            progress.stage("loading the photos")
            capture = load_capture(self.capture, photos.downscale, photos.background)
            progress.stage("")
            evaluation = evaluate(self.scene, capture, lpips=lpips, split=self.split, engine=engine, progress=progress)
        return Answer(_describe(evaluation), evaluation.to_json())


def _describe(evaluation: Evaluation) -> str:
    rows = [[view.name, number(view.psnr, 2), number(view.ssim, 4), number(view.lpips, 4)] for view in evaluation.views]
    rows.append(["mean", number(evaluation.psnr, 2), number(evaluation.ssim, 4), number(evaluation.lpips, 4)])
    lpips = f"LPIPS: {evaluation.lpips_net or evaluation.lpips_reason}"
    speed = f"{number(evaluation.fps, 1)} frames per second"
    size = f"{evaluation.gaussians:,} Gaussians, {megabytes(evaluation.bytes)}, {speed}"
    return "\n".join([table(["view", "PSNR", "SSIM", "LPIPS"], rows), "", size, lpips])
