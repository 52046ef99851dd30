"""Where trimming starts: the last checkpoint of a run, with its optimiser, or any scene with a fresh one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from leansplat import formats
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.render.order import morton_order
from leansplat.render.statistics import ViewStatistics
from leansplat.runs import hash_file, open_run
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.optimizer import Adam
from leansplat.training.state import TrainingState


@dataclass(frozen=True)
class Start:
    """A scene ready to be fine-tuned.

    Args:
        state: scene and optimiser, at the end of the training schedule, so that the position rate is the final one.
        training: the recipe to fine-tune with.
        has_optimizer: whether moments and statistics come from the scene's training.
        sha256: of the file the scene was read from, None for one from memory.
    """

    state: TrainingState
    training: TrainingConfig
    has_optimizer: bool
    sha256: str | None


def start_from(scene: Gaussians | str | os.PathLike[str], extent: float, seed: int) -> Start:
    """Prepare a scene for trimming.

    Args:
        scene: Gaussians, a scene file of any format, or a run folder; a run without checkpoints counts as its scene.
        extent: scene extent of the capture to fine-tune on.
        seed: of the order of the views, whatever seed the scene was trained with.

    Raises:
        InputError: there is no scene, or it has no Gaussians, or some are not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(scene, Gaussians):
        path = Path(scene)
        if path.is_dir() and (path / "config.json").exists():
            run = open_run(path)
            steps = run.checkpoints()
            if steps:
                file = run.checkpoint_path(steps[-1])
                checkpoint = read_checkpoint(file)
                state = replace(
                    checkpoint.state,
                    generator=generator,
                    view_queue=torch.zeros(0, dtype=torch.int64),
                    step=max(checkpoint.state.step, checkpoint.config.iterations),
                    extent=extent,
                    seconds=0.0,
                )
                return Start(state, checkpoint.config, True, hash_file(file))
            path = run.scene_path
        gaussians = formats.read(path)
        return _fresh(
            gaussians, extent, generator, seed, hash_file(path / "scene.ply" if path.is_dir() else path), path
        )
    return _fresh(scene, extent, generator, seed, None, None)


def _fresh(
    gaussians: Gaussians, extent: float, generator: torch.Generator, seed: int, sha256: str | None, path: Path | None
) -> Start:
    name = str(path) if path is not None else "the scene"
    if len(gaussians) == 0:
        raise InputError(f"{name} has no Gaussians; there is nothing to trim")
    broken = len(gaussians) - int(gaussians.finite().sum())
    if broken:
        raise InputError(
            f"{name} has {broken} Gaussians that are not finite; drop them first (leansplat convert --drop-nonfinite)"
        )
    training = TrainingConfig(seed=seed, sh_degree=gaussians.sh_degree, antialiased=gaussians.antialiased)
    ordered = gaussians[morton_order(gaussians.means)]
    state = TrainingState(
        optimizer=Adam.fresh(ordered, training),
        statistics=ViewStatistics.zeros(len(ordered)),
        generator=generator,
        view_queue=torch.zeros(0, dtype=torch.int64),
        step=training.iterations,
        extent=extent,
    )
    return Start(state, training, False, sha256)
