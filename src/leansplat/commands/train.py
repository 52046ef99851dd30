"""`leansplat train`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

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
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture
    from leansplat.training import TrainingConfig

_log = logging.getLogger("leansplat")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a 3D Gaussian Splatting scene from photos.

    By the published recipe of 3DGS, or by a lean one that trains straight to a number of Gaussians in a fraction of the
    time. At the end, the scene is measured on the photos held out.

    Examples: leansplat train photos/ -o runs/garden --downscale 4
              leansplat train photos/ -o runs/garden --downscale 4 --count 300000
              leansplat train photos/ -o runs/garden --downscale 4 --recipe lean
    """

    capture: Positional[CaptureFolder]
    output: RunFolder
    recipe: Annotated[
        Literal["3dgs", "lean"] | None,
        arg(metavar="{3dgs,lean}", help_behavior_hint="(default: 3dgs, lean with --count)"),
    ] = None
    """Recipe of training. 3dgs: the published one, whose scenes are as large as they become. lean: to --count."""
    count: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: as many as the photos call for, with lean)")
    ] = None
    """Number of Gaussians to train to, exactly."""
    iterations: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 30000 for 3dgs, 5000 for lean)")
    ] = None
    """Number of training steps. Any other number than the default scales the whole schedule with it."""
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
        from leansplat.training import train

        if self.recipe == "3dgs" and self.count is not None:
            raise InputError("--recipe 3dgs trains to no --count; leave one of them out, or trim the scene afterwards")
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
                engine=self.engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            return describe_run(result, capture)

    def _config(self, capture: Capture) -> TrainingConfig:
        """The settings that the options ask for; says how many Gaussians there will be where they do not."""
        from leansplat.training import TrainingConfig, count_for, lean

        if self.recipe == "lean" or self.count is not None:
            config = lean(count_for(capture) if self.count is None else self.count)
            if self.count is None:
                _log.warning(
                    "training to %s Gaussians, as many as the photos call for; --count is any other number",
                    f"{count_for(capture):,}",
                )
        else:
            config = TrainingConfig()
        config = replace(config, seed=0 if self.seed is None else self.seed, antialiased=self.antialiased)
        return config.scaled(config.iterations if self.iterations is None else self.iterations)
