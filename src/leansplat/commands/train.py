"""`leansplat train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, describe_run
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    CaptureFolder,
    Engine,
    Flag,
    Json,
    Overwrite,
    Resume,
    RunFolder,
    Seed,
    Threads,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a 3D Gaussian Splatting scene from photos, by the published recipe of 3DGS.

    At the end, the scene is measured on the photos held out.

    Example: leansplat train photos/ -o runs/garden --downscale 4
    """

    capture: Positional[CaptureFolder]
    output: RunFolder
    iterations: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 30000)")] = None
    """Number of training steps. Any other number than 30000 scales the whole schedule with it."""
    downscale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Factor by which the photos are reduced in width and height."""
    background: Annotated[
        Literal["black", "white"] | None, arg(metavar="{black,white}", help_behavior_hint="(default: black)")
    ] = None
    """Colour behind the scene, on which transparent photos are composed."""
    seed: Seed = None
    antialiased: Flag = False
    """Train with opacity compensation, for scenes that are looked at from much closer or farther than the photos."""
    engine: Engine = None
    resume: Resume = False
    overwrite: Overwrite = False
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.training import TrainingConfig, train

        recipe = TrainingConfig(seed=0 if self.seed is None else self.seed, antialiased=self.antialiased)
        config = recipe.scaled(recipe.iterations if self.iterations is None else self.iterations)
        changed = self.iterations is not None or self.seed is not None or self.antialiased
        with alone_in(self.output), ProgressBar("train") as progress:
            begun = begun_run(self.output, self.threads) if self.resume else None
            photos = photo_options(None if begun is None else self.output, self.background, self.downscale)
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            result = train(
                capture,
                config if begun is None or changed else None,
                self.output,
                engine=self.engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            return describe_run(result, capture)
