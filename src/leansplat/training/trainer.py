"""`train`: a capture becomes a scene by the published 3DGS recipe.

The loop is short: take the next view, make a training step, then whatever the schedule asks for (densify, reset
opacities, checkpoint). All state is in `TrainingState`, so a run that was killed goes on from its last checkpoint and
ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.as_trained import opened
from leansplat.captures.capture import Capture
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import CaptureError, InputError, RunError
from leansplat.gaussians import WORLD, Gaussians
from leansplat.origin import described, origin_of_capture
from leansplat.progress import Progress
from leansplat.runs import Run, alone_at_work, create_run, hash_capture, run_to_resume
from leansplat.training import loop, schedule
from leansplat.training.checkpoint import Checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.coverage import warn_of_empty_views
from leansplat.training.densification import densify, reset_opacities
from leansplat.training.initialisation import initial_gaussians
from leansplat.training.mask import drawn
from leansplat.training.state import TrainingState, training_step

_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class TrainingResult:
    """What training made.

    Args:
        gaussians: the scene.
        state: where training stands, to go on from (the trimmer's statistics and moments).
        seconds: time spent training, over all sittings, without loading and evaluating.
    """

    gaussians: Gaussians
    state: TrainingState
    seconds: float


@alone_at_work
def train(
    capture: Capture | str | os.PathLike[str],
    config: TrainingConfig | None = None,
    run: Run | str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: TrainingState | None = None,
    progress: Progress | None = None,
    after_step: Callable[[TrainingState], None] | None = None,
) -> TrainingResult:
    """Train a scene on the training views of `capture`.

    Args:
        capture: photos with cameras, or the folder of a capture, whose photos are used at full size, or as those that
            the run to resume began with; its test views are not touched.
        config: the recipe; the published one by default, or the run's own when resuming.
        run: where to keep log, checkpoints and the scene: a run made by `create_training_run`, or a folder to make one
            in. Without it nothing is written.
        engine: what trains, a name in `leansplat.engines.ENGINES`: by default "cpu", or what `run` was made for.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: remove an earlier run from the folder first.
        start: where to begin instead of at the capture's points, at its step 0; changed in place. Resuming a run that
            has no checkpoint yet begins there too. It brings its engine.
        progress: see `leansplat.progress.Progress`.
        after_step: called after every step and what the schedule did after it, for instance to evaluate. Right after an
            opacity reset a scene renders badly; evaluate at other steps.

    Example:
        >>> capture = leansplat.load_capture("fox", downscale=4)  # doctest: +SKIP
        >>> train(capture, TrainingConfig().scaled(7000), "runs/fox").gaussians  # doctest: +SKIP

    Raises:
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.
        InputError: there is no such engine, or `start` is of another one.
    """
    begun = run_to_resume(run) if resume else None
    capture, settings = opened(capture, None if begun is None else begun.folder)
    if not capture.train:
        raise CaptureError(f"capture {capture.name} has no training views; check its split")
    if start is not None and engine not in (None, start.model.engine):
        raise InputError(f"the start to train from is held by the engine {start.model.engine}; leave {engine} out")
    engine = engine if start is None else start.model.engine
    if begun is not None:
        run = begun
        config, state = _resume(run, capture, config, start, engine)
    else:
        config = config or TrainingConfig()
        if run is not None and not isinstance(run, Run):
            run = create_training_run(
                *(run, capture, config), engine=engine or "cpu", settings=settings, overwrite=overwrite
            )
        state = start or begin_training(capture, config, loop.engine_of(run, engine))
    loop.run_steps(
        state,
        lambda: _scheduled_step(state, capture, config, run),
        0,
        config.iterations,
        run=run,
        save=lambda path: write_checkpoint(path, Checkpoint(state, config)),
        checkpoint_every=config.checkpoint_every,
        progress=progress,
        after_step=after_step,
    )
    gaussians = state.gaussians()
    warn_of_empty_views(gaussians, capture.train, capture.background, "training", state.model.engine)
    if run is not None:
        run.write_scene(gaussians)
        run.log("finished", state.step, gaussians=len(gaussians), seconds=round(state.seconds, 3))
    return TrainingResult(gaussians, state, state.seconds)


def create_training_run(
    folder: str | os.PathLike[str],
    capture: Capture,
    config: TrainingConfig,
    *,
    engine: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Run:
    """Make the run folder of a training.

    Args:
        engine: see `train`.
        settings: further ones to record, as JSON: where the capture is, its downscale.
        overwrite: see `create_run`.
    """
    return create_run(
        folder,
        "train",
        {
            "background": list(capture.background),
            **(settings or {}),
            "engine": engines.named(engine).name,
            "training": config.to_json(),
        },
        {"capture": hash_capture(capture)},
        seed=config.seed,
        overwrite=overwrite,
    )


def begin_training(capture: Capture, config: TrainingConfig, engine: str = "cpu") -> TrainingState:
    """The state before the first step, from the capture's points or random ones."""
    generator = torch.Generator().manual_seed(config.seed)
    positions = None if capture.points is None else capture.points.positions
    origin = origin_of_capture([view.camera for view in capture.train], positions)
    if origin != WORLD:
        _log.warning(
            "%s: the cameras lie too far from zero for float32; training keeps positions relative to %s",
            *(capture.name, described(origin)),
        )
    gaussians = initial_gaussians(
        capture.relative_to(origin), generator, sh_degree=config.sh_degree, random_points=config.random_points
    )
    gaussians = replace(gaussians, antialiased=config.antialiased, origin=origin)
    return TrainingState.begin(gaussians, config, capture.extent, generator=generator, engine=engine)


def _resume(
    run: Run, capture: Capture, config: TrainingConfig | None, start: TrainingState | None, engine: str | None
) -> tuple[TrainingConfig, TrainingState]:
    began_with = run.began_with("training", TrainingConfig)
    engine = loop.engine_of(run, engine)
    checkpoint = loop.resume(run, "train", {"training": config} if config is not None else {}, capture)
    if checkpoint is not None:
        return began_with, checkpoint.state
    return began_with, start or begin_training(capture, began_with, engine)


def _scheduled_step(state: TrainingState, capture: Capture, config: TrainingConfig, run: Run | None) -> float:
    """One training step and what the schedule asks for after it; returns the loss."""
    view = capture.train[state.next_view(len(capture.train))]
    background = capture.background
    if config.random_background:
        red, green, blue = torch.rand(3, generator=state.generator).tolist()
        background = (red, green, blue)
    gathers = schedule.gathers_statistics(config, state.step + 1)
    loss = training_step(state, view, config, background, statistics=state.statistics if gathers else None)
    step, large, transparent = state.step, 0, len(state.model)
    if schedule.densifies(config, step):
        origin = state.model.facts.origin
        cameras = torch.stack([view.camera.relative_to(origin).position for view in capture.train])
        counts, sources = densify(
            state.model,
            state.statistics,
            config,
            state.extent,
            state.generator,
            cameras=cameras if schedule.prunes_large(config, step) else None,
        )
        large, transparent = counts.large, counts.pruned - counts.large
        if large > counts.gaussians > 0:
            _log.warning(
                "step %d removed %d Gaussians for their size and left %d; a larger prune_size keeps them",
                step,
                large,
                counts.gaussians,
            )
        state.statistics = ViewStatistics.zeros(counts.gaussians, device=state.model.device)
        if state.mask is not None:
            state.mask = state.mask[sources.to(state.mask.device)]
        if run is not None:
            run.log("densified", step, **asdict(counts))
    if state.mask is not None and schedule.prunes_masked(config, step):
        _keep(state, drawn(state.mask, config), run, "masked_removed")
    if schedule.prunes_faint(config, step):
        opacity = state.model.attribute("opacities").sigmoid()
        _keep(state, opacity >= config.opacity_pruning_threshold, run, "faint_removed")
    if len(state.model) == 0:
        raise RunError(
            f"no Gaussian is left after step {step}: {large} of the last ones were too large for the scene and "
            f"{transparent} had become transparent; check that the cameras fit the photos and the points"
        )
    if schedule.resets_opacities(config, step, white_background=min(capture.background) >= 1):
        reset_opacities(state.model, config.reset_opacity)
        if run is not None:
            run.log("opacities_reset", step)
    return loss


def _keep(state: TrainingState, kept: Tensor, run: Run | None, event: str) -> None:
    """Remove the Gaussians that are not `kept` (N,), and log it."""
    if bool(kept.all()):
        return
    state.select(kept)
    if run is not None:
        run.log(event, state.step, pruned=int((~kept).sum()), gaussians=len(state.model))
