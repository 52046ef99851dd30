"""`train`: a capture becomes a scene by the published 3DGS recipe.

The loop is short: take the next view, make a training step, let the recipe's strategies do what is due after it. All
state is in `TrainingState`, so a run that was killed goes on from its last checkpoint and
ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from leansplat.captures.capture import Capture
from leansplat.distributed.channel import LostError
from leansplat.errors import InputError, RunError
from leansplat.gaussians import WORLD, Gaussians
from leansplat.live import Shown
from leansplat.origin import described, origin_of_capture
from leansplat.progress import Progress
from leansplat.runs import Run, alone_at_work
from leansplat.training import loop
from leansplat.training.batches import check_batch, views_of_batch
from leansplat.training.checkpoint import Checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.coverage import warn_of_empty_views
from leansplat.training.initialisation import initial_gaussians
from leansplat.training.photos import Photos
from leansplat.training.recipes import stretched
from leansplat.training.session import Part, open_session
from leansplat.training.state import TrainingState, training_step
from leansplat.training.strategies import AfterStep

if TYPE_CHECKING:
    from leansplat.training.deadline import Deadline

_log = logging.getLogger("leansplat")

_PACED = "paced"
"""Event of the log: what is left of the training was drawn out or pressed together."""


@dataclass(frozen=True)
class TrainingResult:
    """What training made.

    Args:
        gaussians: the scene.
        state: where training stands, to go on from (the trimmer's statistics and moments).
        seconds: time spent training, over all sittings, without loading and evaluating.
        run: its run folder, None where nothing was written.
    """

    gaussians: Gaussians
    state: TrainingState
    seconds: float
    run: Run | None


@alone_at_work
def train(
    capture: Capture | str | os.PathLike[str],
    config: TrainingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: TrainingState | None = None,
    deadline: Deadline | None = None,
    progress: Progress | None = None,
    after_step: Callable[[TrainingState], None] | None = None,
) -> TrainingResult:
    """Train a scene on the training views of `capture`.

    Args:
        capture: photos with cameras, or the folder of a capture, whose photos are used at full size, or as those that
            the run to resume began with; its test views are not touched.
        config: the recipe; the published one by default, or the run's own when resuming.
        run: folder to make a run in, which keeps log, checkpoints and the scene. Without it nothing is written.
        engine: what trains, a name in `leansplat.engines.ENGINES`: by default "cpu", or what the run began
            with.
        settings: further ones to record in the run's config.json, as JSON: where the capture is, its downscale.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: remove an earlier run from the folder first.
        start: where to begin instead of at the capture's points, at its step 0; changed in place. Resuming a run that
            has no checkpoint yet begins there too. It brings its engine.
        deadline: of a training by the lean recipe, whose length it changes on the way. Each change is logged, with the
            new number of steps, and has a checkpoint; what is resumed goes on with the last one.
        progress: see `leansplat.progress.Progress`.
        after_step: called after every step and what strategies did after it, for instance to evaluate. Right after an
            opacity reset a scene renders badly; evaluate at other steps.

    Example:
        >>> capture = leansplat.load_capture("fox", downscale=4)  # doctest: +SKIP
        >>> train(capture, TrainingConfig().scaled(7000), "runs/fox").gaussians  # doctest: +SKIP

    Raises:
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.
        InputError: there is no such engine, or `start` is of another one.
    """
    if start is not None and engine not in (None, start.model.engine):
        raise InputError(
            f"the state to start from is held by the engine {start.model.engine}; give that engine or none"
        )
    session = open_session(
        "train",
        capture,
        {"training": Part(config, TrainingConfig, TrainingConfig)},
        run,
        engine=engine if start is None else start.model.engine,
        settings=settings,
        resume=resume,
        overwrite=overwrite,
    )
    capture, begun, checkpoint = session.capture, session.settings(TrainingConfig), session.resumed()
    check_batch(begun.batch, len(capture.train))
    plan = begun if session.run is None else _as_paced(begun, session.run)
    state = checkpoint.state if checkpoint else start or begin_training(capture, plan, session.engine)
    state.remember(plan)
    photos = Photos(capture.train, plan)
    shown = Shown(state.gaussians, capture)

    def one_step() -> float:
        return _scheduled_step(state, capture, photos, plan, session.run)

    while state.step < plan.iterations:
        loop.run_steps(
            state,
            one_step,
            0,
            plan.iterations if deadline is None else deadline.next_mark(plan),
            of=plan.iterations,
            run=session.run,
            save=lambda path: write_checkpoint(path, Checkpoint(state, begun)),
            checkpoint_every=plan.checkpoint_every,
            progress=progress,
            after_step=after_step,
            quality=(lambda: loop.quality_on(state.model, capture.test, capture.background)) if capture.test else None,
            shown=shown,
        )
        if deadline is not None and state.step < plan.iterations:
            before, plan = plan.iterations, deadline.adapted(plan, state.step)
            if plan.iterations != before:
                session.log(_PACED, state.step, iterations=plan.iterations)
    gaussians = state.gaussians()
    warn_of_empty_views(gaussians, capture.train, capture.background, "training", state.model.engine)
    session.finish(gaussians, state.step, state.seconds)
    return TrainingResult(gaussians, state, state.seconds, session.run)


def _as_paced(begun: TrainingConfig, run: Run) -> TrainingConfig:
    """The recipe that a run has come to since it began, by the deadline that it had."""
    config = begun
    for event in run.events():
        if event["event"] == _PACED:
            config = stretched(config, event["step"], event["iterations"])
    return config


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


def _scheduled_step(
    state: TrainingState, capture: Capture, photos: Photos, config: TrainingConfig, run: Run | None
) -> float:
    """One training step and what the recipe's strategies do after it; returns the loss.

    A batch counts as so many steps, and what is due after any of them is done after it, so that whatever happens after
    every so many steps happens after as many views as without a batch.
    """
    before, seed, number = state.step, config.seed, len(capture.train)
    if config.batch == 1:
        indices = [state.next_view(number)]
    else:
        indices = views_of_batch(seed, before // config.batch, config.batch, number)[: config.iterations - before]
    background, drawn = capture.background, state.generator.get_state() if config.random_background else None
    if config.random_background:
        red, green, blue = torch.rand(3, generator=state.generator).tolist()
        background = (red, green, blue)
    steps = range(before + 1, before + len(indices) + 1)
    wanted = any(each.wants_statistics(step) for each in config.strategies for step in steps)
    try:
        views = [photos.view(index, before + 1) for index in indices]
        seen = views[0] if config.batch == 1 else views
        loss = training_step(state, seen, config, background, statistics=state.statistics if wanted else None)
    except LostError as lost:
        if drawn is not None:
            state.generator.set_state(drawn)
        lost.untouched = True
        raise
    after = AfterStep(state, capture, config.iterations, run)
    for step in steps:
        state.step = step
        for each in config.strategies:
            each.after_step(after)
            if state.count == 0:
                raise RunError(f"no Gaussian is left after step {state.step}, when {each.name} removed the last ones")
    return loss
