"""Where trimming and compression start: a checkpoint of a run or of 3DGS, with its optimiser, or any scene with a fresh
one; and the run folder of what starts there.

However a scene comes, training goes on after the end of its schedule, with the position rate at its final value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.engines.cpu.packed import pack
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError
from leansplat.formats import inria_checkpoint
from leansplat.formats.format import opened
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order
from leansplat.origin import settled
from leansplat.runs import Run, create_run, hash_capture, hash_file, open_run
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.loop import Settings
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
    """Prepare a scene to be trained on.

    Args:
        scene: Gaussians, a scene file of any format, or a folder with a scene. A run folder counts as its last
            checkpoint if it has one; a checkpoint of 3DGS (`.pth`) brings moments, learning rates, gradient statistics
            and scene extent.
        extent: scene extent of the capture to fine-tune on.
        seed: of the order of the views, whatever seed the scene was trained with.

    Raises:
        InputError: there is no scene, or it has no Gaussians, or some are not finite.
    """
    if isinstance(scene, Gaussians):
        return _fresh(scene, extent, seed, None, "the scene")
    path = Path(scene)
    file = _last_checkpoint(path)
    if file is not None:
        checkpoint = read_checkpoint(file)
        state = replace(
            checkpoint.state,
            generator=torch.Generator().manual_seed(seed),
            view_queue=torch.zeros(0, dtype=torch.int64),
            step=max(checkpoint.state.step, checkpoint.config.iterations),
            extent=extent,
            seconds=0.0,
        )
        return Start(state, checkpoint.config, True, hash_file(file))
    file = formats.scene_path(path)
    if file.suffix.lower() in inria_checkpoint.FORMAT.suffixes:
        return _from_3dgs(file, seed)
    return _fresh(formats.read(file), extent, seed, hash_file(*formats.scene_files(file)), str(path))


def check_scene(run: Run, scene: Gaussians | str | os.PathLike[str]) -> None:
    """Refuse to go on with a run from another scene file than it began with.

    Raises:
        InputError: there is no such file, or it is another one.
    """
    if not isinstance(scene, Gaussians):
        file = _last_checkpoint(Path(scene)) or formats.scene_path(scene)
        with opened(file):  # says it in a sentence where there is none
            run.check_input("scene", hash_file(file))


def create_run_from(
    scene: Gaussians | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    command: str,
    capture: Capture,
    config: Mapping[str, Settings],
    seed: int,
    *,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Run:
    """Make the run folder of a command that starts from a scene.

    Args:
        scene: as `start_from` takes it.
        config: the command's own settings, by the name of their part in config.json.
        settings: further ones to record, as JSON: where the capture is, its downscale.
        overwrite: see `create_run`.

    Raises:
        InputError: the scene cannot be used, or lies in the folder that the run would replace.
        RunError: the folder is in use, or cannot be made.
    """
    path = None if isinstance(scene, Gaussians) else Path(scene)
    if path is not None and Path(folder).resolve() in (path.resolve(), path.resolve().parent):
        raise InputError(
            f"{folder} holds the scene to {command}, which would be lost; choose another folder for the run"
        )
    start = start_from(scene, capture.extent, seed)
    inputs = {"capture": hash_capture(capture)}
    if start.sha256 is not None:
        inputs["scene"] = start.sha256
    parts = {name: part.to_json() for name, part in {**config, "training": start.training}.items()}
    recorded = {
        "background": list(capture.background),
        **(settings or {}),
        "scene": None if path is None else str(scene),
        **parts,
    }
    return create_run(folder, command, recorded, inputs, seed=seed, overwrite=overwrite)


def _last_checkpoint(path: Path) -> Path | None:
    """What a run folder counts as; None for any other scene."""
    if not (path.is_dir() and (path / "config.json").exists()):
        return None
    run = open_run(path)
    steps = run.checkpoints()
    return run.checkpoint_path(steps[-1]) if steps else None


def _fresh(gaussians: Gaussians, extent: float, seed: int, sha256: str | None, name: str) -> Start:
    gaussians = gaussians.finite_equivalent()
    _check(gaussians, name)
    training = TrainingConfig(seed=seed, sh_degree=gaussians.sh_degree, antialiased=gaussians.antialiased)
    return Start(TrainingState.begin(gaussians, training, extent, step=training.iterations), training, False, sha256)


def _from_3dgs(file: Path, seed: int) -> Start:
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
    state = TrainingState.begin(gaussians, training, checkpoint.extent, step=step)
    order = morton_order(gaussians.means)
    state.optimizer.first_moment = pack(checkpoint.first_moment[order]).data
    state.optimizer.second_moment = pack(checkpoint.second_moment[order]).data
    state.optimizer.steps = checkpoint.steps
    state.statistics = ViewStatistics(
        views_seen=checkpoint.views_seen[order],
        max_radius=checkpoint.max_radius[order],
        gradient_sum=checkpoint.gradient_sum[order],
    )
    return Start(state, training, True, hash_file(file))


def _check(gaussians: Gaussians, name: str) -> None:
    if len(gaussians) == 0:
        raise InputError(f"{name} has no Gaussians; there is nothing to work on")
    broken = len(gaussians) - int(gaussians.finite().sum())
    if broken:
        raise InputError(
            f"{name} has {broken} Gaussians that are not finite; drop them first (leansplat convert --drop-nonfinite)"
        )
