"""Where trimming and compression start: a checkpoint of a run or of 3DGS, with its optimiser, or any scene with a fresh
one.

However a scene comes, training goes on after the end of its schedule, with the position rate at its final value.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from leansplat import engines, formats
from leansplat.engines.engine import Moments
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError
from leansplat.formats import inria_checkpoint
from leansplat.formats.known import INRIA_CHECKPOINT
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order
from leansplat.origin import settled
from leansplat.runs import hash_file, open_run
from leansplat.training import schedule
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState


@dataclass(frozen=True)
class Start:
    """A scene ready to be fine-tuned.

    Args:
        gaussians: the scene, in Morton order.
        rows: (N,) int64, which of the Gaussians that were given each of them is; those of a run are given as in its
            last checkpoint.
        training: the recipe to fine-tune with.
        has_optimizer: whether moments and statistics come from the scene's training.
        state: makes scene and optimiser, at the end of the training schedule, so that the position rate is the final
            one. To be called once.
    """

    gaussians: Gaussians
    rows: Tensor
    training: TrainingConfig
    has_optimizer: bool
    state: Callable[[], TrainingState]


def start_from(scene: Gaussians | str | os.PathLike[str], extent: float, seed: int, engine: str = "cpu") -> Start:
    """Prepare a scene to be trained on.

    Args:
        scene: Gaussians, a scene file of any format, or a folder with a scene. A run folder counts as its last
            checkpoint if it has one; a checkpoint of 3DGS (`.pth`) brings moments, learning rates, gradient statistics
            and scene extent.
        extent: scene extent of the capture to fine-tune on.
        seed: of the order of the views, whatever seed the scene was trained with.
        engine: what trains, whatever engine the scene was trained with.

    Raises:
        InputError: there is no scene, or it has no Gaussians, or some are not finite.
    """
    if isinstance(scene, Gaussians):
        return _fresh(scene, extent, seed, engine, "the scene")
    path = Path(scene)
    file = _last_checkpoint(path)
    if file is not None:
        checkpoint = read_checkpoint(file)
        before = checkpoint.state
        return Start(
            before.gaussians(),
            torch.arange(before.count),
            checkpoint.config,
            True,
            lambda: replace(
                _moved(before, checkpoint.config, engine),
                generator=torch.Generator().manual_seed(seed),
                view_queue=torch.zeros(0, dtype=torch.int64),
                step=max(before.step, checkpoint.config.iterations),
                extent=extent,
                seconds=0.0,
            ),
        )
    file = formats.scene_path(path)
    if file.suffix.lower() in INRIA_CHECKPOINT.suffixes:
        return _from_3dgs(file, seed, engine)
    return _fresh(formats.read(file), extent, seed, engine, str(path))


def hash_scene(scene: str | os.PathLike[str]) -> str:
    """SHA-256 of the files that `start_from` reads.

    Raises:
        InputError: there is no such scene.
    """
    checkpoint = _last_checkpoint(Path(scene))
    return hash_file(*(formats.scene_files(scene) if checkpoint is None else (checkpoint,)))


def _last_checkpoint(path: Path) -> Path | None:
    """What a run folder counts as; None for any other scene."""
    if not (path.is_dir() and (path / "config.json").exists()):
        return None
    run = open_run(path)
    steps = run.checkpoints()
    return run.checkpoint_path(steps[-1]) if steps else None


def _moved(state: TrainingState, training: TrainingConfig, engine: str) -> TrainingState:
    """The state in the hands of an engine, with its moments, its statistics, and what strategies remember."""
    before = state.model
    if before.engine == engine:
        return state
    model = engines.named(engine).begin(before.gaussians(), schedule.rates(training), before.moments())
    memory = {
        name: {tensor: values.to(model.device) for tensor, values in remembered.items()}
        for name, remembered in state.memory.items()
    }
    return replace(state, model=model, statistics=state.statistics.to(model.device), memory=memory)


def _fresh(gaussians: Gaussians, extent: float, seed: int, engine: str, name: str) -> Start:
    gaussians = gaussians.finite_equivalent()
    _check(gaussians, name)
    training = TrainingConfig(seed=seed, sh_degree=gaussians.sh_degree, antialiased=gaussians.antialiased)
    order = morton_order(gaussians.means)
    ordered = gaussians[order]

    def state() -> TrainingState:
        model = engines.named(engine).begin(ordered, schedule.rates(training))
        return TrainingState.of(model, training, extent, step=training.iterations)

    return Start(ordered, order, training, False, state)


def _from_3dgs(file: Path, seed: int, engine: str) -> Start:
    checkpoint = inria_checkpoint.load(file)
    gaussians = Gaussians.from_arrays(settled(checkpoint.gaussians.arrays(), file))
    _check(gaussians, str(file))
    training = TrainingConfig(
        iterations=checkpoint.iteration,
        seed=seed,
        sh_degree=gaussians.sh_degree,
        sh0_rate=checkpoint.rates["sh0"],
        shN_rate=checkpoint.rates["shN"],
        opacity_rate=checkpoint.rates["opacities"],
        scale_rate=checkpoint.rates["scales"],
        quat_rate=checkpoint.rates["quats"],
    )
    step = max(training.iterations, training.position_rate_steps)
    order = morton_order(gaussians.means)
    ordered = gaussians[order]

    def state() -> TrainingState:
        moments = Moments(checkpoint.first_moment[order], checkpoint.second_moment[order], checkpoint.steps)
        model = engines.named(engine).begin(ordered, schedule.rates(training), moments)
        begun = TrainingState.of(model, training, checkpoint.extent, step=step)
        begun.statistics = ViewStatistics(
            views_seen=checkpoint.views_seen,
            max_radius=checkpoint.max_radius,
            gradient_sum=checkpoint.gradient_sum,
        )[order].to(model.device)
        return begun

    return Start(ordered, order, training, True, state)


def _check(gaussians: Gaussians, name: str) -> None:
    if len(gaussians) == 0:
        raise InputError(f"{name} has no Gaussians; there is nothing to work on")
    broken = len(gaussians) - int(gaussians.finite().sum())
    if broken:
        raise InputError(
            f"{name} has {broken} Gaussians that are not finite; drop them first (leansplat convert --drop-nonfinite)"
        )
