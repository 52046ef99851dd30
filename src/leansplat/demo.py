"""`demo`: the whole of leansplat on a built-in capture, in a minute or two and without any file of your own.

It makes the same calls as the commands: photos, train, trim to a quarter, train through the rounding of a small file,
and evaluate all three scenes on held-out views.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leansplat.captures.synthetic import synthetic_capture
from leansplat.compression import CompressionConfig, FineTuningConfig, compress, report
from leansplat.errors import InputError
from leansplat.evaluation import Evaluation, evaluate, evaluate_run
from leansplat.files import clear_abandoned
from leansplat.locks import alone_in
from leansplat.pictures import side_by_side, write_png
from leansplat.progress import Progress, at_stage
from leansplat.pruning import TrimmingConfig, trim
from leansplat.records import write_record
from leansplat.runs import Run, hash_file
from leansplat.seeds import check_seed
from leansplat.training import lean, train


@dataclass(frozen=True)
class DemoConfig:
    """How long the demo takes and how small it makes the scene; the defaults suit two cores."""

    views: int = 60
    """Photos of the built-in scene; every eighth is held out."""

    size: int = 256
    """Width and height of a photo in pixels."""

    count: int = 48_000
    """Gaussians to train to, by the lean recipe."""

    iterations: int = 1500
    """Training steps."""

    keep: float = 0.25
    """Share of the Gaussians that trimming keeps."""

    rounds: int = 10
    """Rounds of pruning."""

    every: int = 40
    """Training steps from one round to the next."""

    finetune: int = 500
    """Training steps after the rounds."""

    through: int = 200
    """Training steps through the rounding of the small file."""

    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Args:
        trained_run, trimmed_run: the run folders, each with its scene.ply.
        file: the small file of the trimmed scene, a .sog.
        trained, trimmed, small: how good, big and fast the three scenes are.
        picture: a PNG with one row per view: photo, trained, trimmed, small file.
        seconds: how long everything took.
    """

    trained_run: Run
    trimmed_run: Run
    file: Path
    trained: Evaluation
    trimmed: Evaluation
    small: Evaluation
    picture: Path
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "trained": {"run": str(self.trained_run.folder), **self.trained.to_json()},
            "trimmed": {"run": str(self.trimmed_run.folder), **self.trimmed.to_json()},
            "small": {"file": str(self.file), **self.small.to_json()},
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
    """Train on the built-in capture, trim the scene, make a small file of it, and measure all three on held-out views.

    Args:
        folder: where the runs `trained` and `trimmed`, `small.sog` and the picture `comparison.png` go; made if needed.
        overwrite: whether an earlier demo there may be replaced.
        progress: told about the steps of training, of trimming, and of training through the file.

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
    picture, file = folder / "comparison.png", folder / "small.sog"
    for path in (picture, file):
        if path.exists() and not overwrite:
            raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another folder")
    built_in = {"views": config.views, "size": config.size, "seed": config.seed}
    at_stage(progress, "drawing the photos")
    capture = synthetic_capture(**built_in)
    settings = {"built-in capture": built_in}

    training = replace(lean(config.count, config.iterations), seed=config.seed)
    trained = train(
        capture,
        training,
        folder / "trained",
        settings=settings,
        overwrite=overwrite,
        progress=at_stage(progress, "training"),
    )
    trimming = TrimmingConfig(
        keep=config.keep, rounds=config.rounds, every=config.every, finetune=config.finetune, seed=config.seed
    )
    trimmed = trim(
        folder / "trained",
        capture,
        trimming,
        folder / "trimmed",
        settings=settings,
        overwrite=overwrite,
        progress=at_stage(progress, "trimming"),
    )
    assert trained.run is not None
    assert trimmed.run is not None
    compression = CompressionConfig(fine_tuning=FineTuningConfig(steps=config.through, seed=config.seed))
    small = compress(
        folder / "trimmed",
        capture,
        file,
        compression,
        overwrite=overwrite,
        progress=at_stage(progress, "training through the small file"),
    )
    at_stage(progress, "measuring on held-out views")
    write_record(
        file,
        "compress",
        {"file": str(file), "seconds": small.seconds, **report(small, capture, lpips=None).to_json()},
        settings={"scene": str(folder / "trimmed"), **settings, "compression": compression.to_json()},
        inputs=trimmed.run.config["inputs"] | {"scene": hash_file(trimmed.run.scene_path)},
    )
    scenes = [trained.gaussians, trimmed.gaussians, small.gaussians]
    write_png(side_by_side(capture, scenes), picture, overwrite=overwrite)
    return DemoResult(
        trained.run,
        trimmed.run,
        file,
        evaluate_run(trained.run, trained.gaussians, capture, lpips=None),
        evaluate_run(trimmed.run, trimmed.gaussians, capture, lpips=None),
        evaluate(small.gaussians, capture, lpips=None, file_size=small.bytes),
        picture,
        time.perf_counter() - started,
    )
