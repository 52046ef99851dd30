"""`trim`: the paper's gradient-aware iterative pruning. Ten rounds remove what is low in opacity and gradient, with
training in between so that what is left takes over; then the scene is fine-tuned.

The loop is a training loop whose schedule is at its end (position rate at its final value, no densification) with
rounds in it. All of its state is a `TrainingState`, as in training, so a killed run goes on from its last checkpoint
and ends with the same bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leansplat.captures.capture import Capture
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.pruning.config import TrimmingConfig
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.evidence import Evidence
from leansplat.pruning.selection import count_after_round, keep_by_count, keep_by_quantile, removal_levels
from leansplat.runs import Run, alone_at_work
from leansplat.scoring import mean_score, view_scores
from leansplat.training import loop
from leansplat.training.checkpoint import Checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.session import Part, Session, open_session
from leansplat.training.state import TrainingState, training_step


@dataclass(frozen=True)
class TrimmingResult:
    """What trimming made.

    Args:
        gaussians: the scene.
        seconds: time spent, over all sittings, without loading and evaluating.
        run: its run folder, None where nothing was written.
    """

    gaussians: Gaussians
    seconds: float
    run: Run | None


@alone_at_work
def trim(
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture | str | os.PathLike[str],
    config: TrimmingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrimmingResult:
    """Prune a trained scene in rounds and fine-tune it on the training views of `capture`.

    Args:
        scene: a run folder (its optimiser state is used), a scene file of any tool, or Gaussians.
        capture: photos with cameras, or the folder of a capture, which is loaded as the scene was trained; its test
            views only show up in the log.
        config: how far and how; when resuming, the run's own by default.
        run: folder to make a run in, which keeps log, checkpoints and the scene. Without it nothing is written.
        engine: what trains, a name in `leansplat.engines.ENGINES`: by default "cpu", or what the run began
            with. It need not be the one that the scene was trained with.
        settings: further ones to record in the run's config.json, as JSON: where the capture is, its downscale.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: remove an earlier run from the folder first.
        progress: see `leansplat.progress.Progress`.

    Raises:
        InputError: the scene cannot be used, or no `config` says how far to go.
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.

    Example:
        >>> trim("runs/fox", capture, TrimmingConfig(keep=0.25), "runs/fox-25").gaussians  # doctest: +SKIP
    """
    session = open_session(
        "trim",
        capture,
        {"trimming": Part(config, TrimmingConfig, _no_config)},
        run,
        scene=scene,
        engine=engine,
        settings=settings,
        resume=resume,
        overwrite=overwrite,
    )
    config, checkpoint = session.settings(TrimmingConfig), session.resumed()
    if checkpoint is not None:
        trimming = _Trimming(session, config, checkpoint.state, checkpoint.config, checkpoint.notes)
    else:
        trimming = _Trimming.begin(session, config)
    state = trimming.state
    loop.run_steps(
        state,
        trimming.one_step,
        trimming.notes["first_step"],
        config.iterations,
        run=session.run,
        save=lambda path: write_checkpoint(path, Checkpoint(state, trimming.training, trimming.notes)),
        checkpoint_every=config.checkpoint_every,
        progress=progress,
    )
    gaussians = state.gaussians()
    session.finish(gaussians, state.step, state.seconds)
    return TrimmingResult(gaussians, state.seconds, session.run)


def _no_config() -> TrimmingConfig:
    raise InputError("trimming needs a config that says how far to go, such as TrimmingConfig(keep=0.25)")


@dataclass
class _Trimming:
    """Trimming between two steps.

    Args:
        session: where it writes, if anywhere.
        state, training: the scene and the recipe it is fine-tuned with.
        notes: what a checkpoint has to remember besides: the step and the number of Gaussians at the start.
    """

    session: Session
    config: TrimmingConfig
    state: TrainingState
    training: TrainingConfig
    notes: Mapping[str, Any]

    @classmethod
    def begin(cls, session: Session, config: TrimmingConfig) -> _Trimming:
        """At the start: the first round has been done."""
        start = session.start
        began = time.perf_counter()
        state = start.state
        notes = {"first_step": state.step, "first_count": len(state.model)}
        trimming = cls(session, config, state, start.training, notes)
        has_gradients = bool((state.statistics.views_seen > 0).any())
        trimming._log("started", gaussians=len(state.model), optimizer="kept" if start.has_optimizer else "fresh")
        if config.gradient_source == "stale" and not has_gradients and not config.control:
            trimming._log(
                "stale_gradients_emulated", reason="the scene brings no statistics of its training; gathered once"
            )
            state.statistics = trimming._gather()
        trimming._prune(1)
        state.seconds = time.perf_counter() - began
        return trimming

    def one_step(self) -> float:
        """A training step, and a round of pruning where one is due after it; returns the loss."""
        view = self.session.capture.train[self.state.next_view(len(self.session.capture.train))]
        loss = training_step(self.state, view, self.training, self.session.capture.background)
        done = self.state.step - self.notes["first_step"]
        if done % self.config.every == 0 and done // self.config.every < self.config.rounds:
            self._prune(done // self.config.every + 1)
        return loss

    def _prune(self, number: int) -> None:
        """Round `number`, from 1: score, select, remove."""
        if self.config.control:
            return
        state, config, first = self.state, self.config, self.notes["first_count"]
        statistics = state.statistics if config.gradient_source == "stale" else self._gather()
        evidence = Evidence(state.model, self.session.capture.train, self.session.capture.background, statistics)
        seen = evidence.seen
        levels = removal_levels(CRITERIA[config.criterion](evidence), evidence.gradient, seen, config.unseen)
        before = len(levels)
        predicted = None
        if config.quantile is not None:
            asked: dict[str, float] = {"gamma": config.quantile}
            kept = keep_by_quantile(levels, config.quantile)
            predicted = 1 - (1 - config.quantile) ** number
        else:
            target = config.count if config.count is not None else max(1, round((config.keep or 1.0) * first))
            count = count_after_round(first, min(first, target), number, config.rounds)
            asked = {"count": count}
            kept = keep_by_count(levels, count)
        quality_before = self._quality()
        state.select(kept)
        self._log(
            "round",
            round=number,
            rounds=config.rounds,
            asked=asked,
            before=before,
            removed=before - len(state.model),
            kept=len(state.model),
            sparsity=1 - len(state.model) / first,
            sparsity_predicted=predicted,
            unseen=int((~seen).sum()),
            unseen_removed=int((~seen & ~kept).sum()),
            held_out_before=quality_before,
            held_out_after=self._quality(),
        )

    def _gather(self) -> ViewStatistics:
        capture = self.session.capture
        return self.state.model.gather_statistics(capture.train, capture.background, self.training.ssim_weight)

    def _quality(self) -> dict[str, float | None] | None:
        """Quality on the held-out views for the log; not measured where nothing is logged."""
        if self.session.run is None:
            return None
        mean = mean_score(view_scores(self.state.model, self.session.capture.test, self.session.capture.background))
        return {"psnr": mean.psnr, "ssim": mean.ssim}

    def _log(self, event: str, **values: Any) -> None:
        self.session.log(event, self.state.step, **values)
