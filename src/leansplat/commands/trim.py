"""`leansplat trim`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from leansplat.commands.answer import Answer, describe_run
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    Background,
    CaptureFolder,
    Count,
    Downscale,
    Engine,
    Flag,
    Json,
    Overwrite,
    Resume,
    RunFolder,
    Scene,
    Seed,
    Share,
    Threads,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run
from leansplat.pruning.criteria import CRITERIA

_CRITERIA_HELP = "What a Gaussian is judged by. " + " ".join(
    f"{name}: {(function.__doc__ or '').splitlines()[0]}" for name, function in CRITERIA.items()
)

_ONE_CRITERION = PrimitiveConstructorSpec(
    nargs=1,
    metavar="CRITERION",
    instance_from_str=lambda words: words[0],
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value],
    choices=tuple(CRITERIA),
)


@dataclass(frozen=True, kw_only=True)
class Trim:
    """Remove the Gaussians a scene needs least, in rounds with training in between, then fine-tune what is left.

    Say how far to go with one of --keep, --count, --gamma, --target-sparsity and --control. The scene may come from any
    tool.

    Example: leansplat trim runs/garden --capture photos/ --downscale 4 --keep 25% -o runs/garden-25
    """

    scene: Scene
    capture: CaptureFolder
    output: RunFolder
    keep: Share = None
    """Keep this share of the Gaussians, exactly, such as 25% or 0.25."""
    count: Count = None
    """Keep exactly N Gaussians."""
    gamma: Annotated[float | None, arg(metavar="QUANTILE", help_behavior_hint="")] = None
    """Each round removes what is below this quantile in opacity and in gradient both (paper: 0.225 to 0.6)."""
    target_sparsity: Annotated[Share, arg(metavar="SHARE")] = None
    """The paper's Eq. 6: make --gamma from the share to remove in all; real shares are lower, --keep is exact."""
    criterion: Annotated[str, _ONE_CRITERION, arg(help=_CRITERIA_HELP)] = "gradient"
    gradient_source: Literal["fresh", "stale"] = "fresh"
    """Gather gradients anew for every round, or keep those from training throughout, as the authors' code does."""
    rounds: Annotated[int, arg(metavar="N")] = 10
    """Rounds of pruning, the first before any training."""
    every: Annotated[int, arg(metavar="N")] = 500
    """Training steps from one round to the next."""
    finetune: Annotated[int, arg(metavar="N")] = 10_000
    """Training steps after the steps of the rounds."""
    control: Flag = False
    """Prune nothing but train as long, to see what the extra training alone gives."""
    unseen: Literal["opacity", "keep", "prune"] = "opacity"
    """Gaussians that no training view sees: rank them by opacity, keep them to the last, or prune them first."""
    downscale: Downscale = None
    background: Background = None
    seed: Seed = None
    engine: Engine = None
    resume: Resume = False
    overwrite: Overwrite = False
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.evaluation import evaluate_run
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.pruning import TrimmingConfig, trim

        given = {entry.name: getattr(self, entry.name) for entry in fields(TrimmingConfig) if hasattr(self, entry.name)}
        changed = any(given[entry.name] != entry.default for entry in fields(self) if entry.name in given)
        given["seed"] = self.seed or 0
        with alone_in(self.output), ProgressBar("trim") as progress:
            begun = begun_run(self.output, self.threads) if self.resume else None
            config = TrimmingConfig(**given) if begun is None or changed else None
            known = self.scene if begun is None else self.output
            photos = photo_options(known, self.background, self.downscale, warn=False)
            # With its points, so that the run records the same capture as a training on it does.
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            result = trim(
                self.scene,
                capture,
                config,
                self.output,
                engine=self.engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            assert result.run is not None
            evaluation = evaluate_run(result.run, result.gaussians, capture) if capture.test else None
            return describe_run(result.run, result.seconds, evaluation)
