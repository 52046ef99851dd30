"""`demo`: the whole of leansplat on a built-in capture, in a few minutes and without any file of your own.

It makes the same calls as the commands: photos, train, trim to a quarter, evaluate both scenes on held-out views.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.captures.synthetic import synthetic_capture
from leansplat.errors import InputError
from leansplat.evaluation import Evaluation, evaluate_run
from leansplat.files import clear_abandoned
from leansplat.locks import alone_in
from leansplat.pictures import side_by_side, write_png
from leansplat.progress import Progress
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import Run
from leansplat.seeds import check_seed
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification


@dataclass(frozen=True)
class DemoConfig:
    """How long the demo takes and how small it makes the scene; the defaults suit two cores."""

    views: int = 60
    """Photos of the built-in scene; every eighth is held out."""

    size: int = 256
    """Width and height of a photo in pixels."""

    iterations: int = 3000
    """Training steps; the published schedule is scaled to them."""

    densify_every: int = 100
    """Steps between densifications. The published interval, which `scaled` shortens in so short a training: fewer
    densifications make a smaller scene in less time, at a little quality."""

    keep: float = 0.25
    """Share of the Gaussians that trimming keeps."""

    rounds: int = 10
    """Rounds of pruning."""

    every: int = 50
    """Training steps from one round to the next."""

    finetune: int = 1000
    """Training steps after the rounds."""

    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Args:
        trained_run, trimmed_run: the run folders, each with its scene.ply.
        trained, trimmed: how good, big and fast the two scenes are.
        picture: a PNG with one row per view: photo, trained, trimmed.
        seconds: how long everything took.
    """

    trained_run: Run
    trimmed_run: Run
    trained: Evaluation
    trimmed: Evaluation
    picture: Path
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "trained": {"run": str(self.trained_run.folder), **self.trained.to_json()},
            "trimmed": {"run": str(self.trimmed_run.folder), **self.trimmed.to_json()},
            "picture": str(self.picture),
            "seconds": self.seconds,
        }


def demo(
    folder: str | os.PathLike[str],
    config: DemoConfig | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DemoResult:
    """Train on the built-in capture, trim the scene, and measure both on held-out views.

    Args:
        folder: where the runs `trained` and `trimmed` and the picture `comparison.png` go; made if needed.
        overwrite: whether an earlier demo there may be replaced.
        progress: told about the steps of training, then about those of trimming.

    Raises:
        InputError: something is in the folder and `overwrite` is false, it cannot be written, or another demo is at
            work there.
    """
    with alone_in(folder):
        return _demo(Path(folder), config or DemoConfig(), overwrite, progress)


def _demo(folder: Path, config: DemoConfig, overwrite: bool, progress: Progress | None) -> DemoResult:
    """`demo`, while nobody else is at work in the folder."""
    started = time.perf_counter()
    clear_abandoned(folder)
    picture = folder / "comparison.png"
    if picture.exists() and not overwrite:
        raise InputError(f"{picture} already exists; pass --overwrite (overwrite=True) or choose another folder")
    capture = synthetic_capture(config.views, config.size, config.seed)

    recipe = TrainingConfig(seed=config.seed).scaled(config.iterations)
    training = recipe.adjusted(Densification, every=config.densify_every)
    trained = train(capture, training, folder / "trained", overwrite=overwrite, progress=progress)

    trimming = TrimmingConfig(
        keep=config.keep, rounds=config.rounds, every=config.every, finetune=config.finetune, seed=config.seed
    )
    trimmed = trim(folder / "trained", capture, trimming, folder / "trimmed", overwrite=overwrite, progress=progress)
    assert trained.run is not None
    assert trimmed.run is not None
    before = evaluate_run(trained.run, trained.gaussians, capture, lpips=None)
    after = evaluate_run(trimmed.run, trimmed.gaussians, capture, lpips=None)
    write_png(side_by_side(capture, [trained.gaussians, trimmed.gaussians]), picture, overwrite=overwrite)
    return DemoResult(trained.run, trimmed.run, before, after, picture, time.perf_counter() - started)
