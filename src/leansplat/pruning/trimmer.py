"""`trim`: iterative pruning. Rounds remove what a criterion says is worth least, with training in between so that what
is left takes over; then the scene is fine-tuned. The paper's gradient-aware rule is one of the criteria.

The loop is a training loop whose schedule is at its end (no densification, position rates as `Schedule` has them) with
rounds in it. All of its state is a `TrainingState`, as in training, so a killed run goes on from its last checkpoint
and ends with the same bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from leansplat.captures.capture import Capture
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.live import Shown
from leansplat.progress import Progress
from leansplat.pruning.config import TrimmingConfig
from leansplat.pruning.rounds import check_protected, prune
from leansplat.pruning.selection import count_after_round, keep_by_count, keep_by_quantile
from leansplat.runs import Run, alone_at_work
from leansplat.scoring import mean_score, view_scores
from leansplat.training import loop
from leansplat.training.batches import check_batch, views_of_batch
from leansplat.training.checkpoint import Checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.schedule import rates
from leansplat.training.session import Part, open_session
from leansplat.training.start import Start
from leansplat.training.state import TrainingState, training_step
from leansplat.training.strategies import Lineage


@dataclass(frozen=True)
class TrimmingResult:
    """What trimming made.

    Args:
        gaussians: the scene.
        seconds: time spent, over all sittings, without loading and evaluating.
        run: its run folder, None where nothing was written.
        rows: (M,) int64, which of the Gaussians that were given these are; those of a run are given as in its last
            checkpoint. None where an earlier version began the work.
    """

    gaussians: Gaussians
    seconds: float
    run: Run | None
    rows: Tensor | None


@alone_at_work
def trim(
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture | str | os.PathLike[str],
    config: TrimmingConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    protected: Tensor | None = None,
    frozen: Tensor | None = None,
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
        protected: (N,) bool, Gaussians of the scene given that stay whatever they are worth.
        frozen: (N,) bool, those that stay as they are.
        settings: further ones to record in the run's config.json, as JSON: where the capture is, its downscale.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: remove an earlier run from the folder first.
        progress: see `leansplat.progress.Progress`.

    Raises:
        InputError: the scene cannot be used, or no `config` says how far to go, or more Gaussians are protected than
            are to be left.
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
    config, checkpoint, start = session.settings(TrimmingConfig), session.resumed(), session.start
    check_batch(config.batch, len(session.capture.train))
    untouched = _Untouched.of(start, protected, frozen)
    if checkpoint is not None:
        state, training, notes = checkpoint.state, checkpoint.config, checkpoint.notes
        trimming = _Trimming(session.capture, config, state, training, notes, session.run, untouched)
    else:
        training = start.training.adjusted(Lineage)
        trimming = _Trimming.begin(session.capture, config, start.state(), training, session.run, untouched)
    trimming.finish(progress)
    gaussians, state = trimming.state.gaussians(), trimming.state
    session.finish(gaussians, state.step, state.seconds)
    rows = start.rows[trimming.rows] if Lineage.name in state.memory else None
    return TrimmingResult(gaussians, state.seconds, session.run, rows)


def _no_config() -> TrimmingConfig:
    raise InputError("trimming needs a config that says how far to go, such as TrimmingConfig(keep=0.25)")


@dataclass(frozen=True)
class _Untouched:
    """Gaussians that pruning or training keep their hands off.

    Args:
        given: the scene of N Gaussians that the work began with.
        protected, frozen: (N,) bool, or None where there are none: those that stay, and those that stay as they are.
    """

    given: Gaussians
    protected: Tensor | None
    frozen: Tensor | None

    @classmethod
    def of(cls, start: Start, protected: Tensor | None, frozen: Tensor | None) -> _Untouched | None:
        """What (N,) bool of the scene given say of a start; None where they say nothing."""
        if protected is None and frozen is None:
            return None
        masks = (None if mask is None else mask[start.rows] for mask in (protected, frozen))
        return cls(start.gaussians, *masks)

    def protects(self, rows: Tensor) -> Tensor | None:
        """(M,) bool: which of the Gaussians that were `rows` (M,) stay."""
        return None if self.protected is None else self.protected[rows]

    def restore(self, state: TrainingState, rows: Tensor) -> None:
        """Give those that stay as they are their values back."""
        if self.frozen is None:
            return
        places = self.frozen[rows].nonzero()[:, 0]
        for name in TENSOR_NAMES if len(places) else ():
            state.model.write(name, places, getattr(self.given, name)[rows[places]])


@dataclass
class _Trimming:
    """Trimming between two steps.

    Args:
        state, training: the scene and the recipe it is fine-tuned with.
        notes: what a checkpoint has to remember besides: the step and the number of Gaussians at the start.
        run: gets log and checkpoints; None for neither.
    """

    capture: Capture
    config: TrimmingConfig
    state: TrainingState
    training: TrainingConfig
    notes: Mapping[str, Any]
    run: Run | None = None
    untouched: _Untouched | None = None

    @classmethod
    def begin(
        cls,
        capture: Capture,
        config: TrimmingConfig,
        state: TrainingState,
        training: TrainingConfig,
        run: Run | None,
        untouched: _Untouched | None,
    ) -> _Trimming:
        """At the start: the first round has been done."""
        began = time.perf_counter()
        notes = {"first_step": state.step, "first_count": state.count}
        state.memory[Lineage.name] = Lineage().memory(state.count)  # that of an earlier trimming ends here
        trimming = cls(capture, config, state, training, notes, run, untouched)
        has_gradients = bool((state.statistics.views_seen > 0).any())
        kept = "kept" if state.model.facts.steps > 0 else "fresh"
        trimming._log("started", gaussians=state.count, optimizer=kept)
        if config.gradient_source == "stale" and not has_gradients and not config.control:
            trimming._log(
                "stale_gradients_emulated", reason="the scene brings no statistics of its training; gathered once"
            )
            weight = training.ssim_weight
            state.statistics = state.model.gather_statistics(capture.train, capture.background, weight)
        trimming._prune(1)
        state.seconds = time.perf_counter() - began
        return trimming

    @property
    def rows(self) -> Tensor:
        """(M,) which of the Gaussians at the start are left."""
        return self.state.memory[Lineage.name]["row"].cpu()

    def finish(self, progress: Progress | None) -> None:
        """All steps that are left."""
        loop.run_steps(
            self.state,
            self._one_step,
            self.notes["first_step"],
            self.config.iterations,
            run=self.run,
            save=lambda path: write_checkpoint(path, Checkpoint(self.state, self.training, self.notes)),
            checkpoint_every=self.config.checkpoint_every,
            progress=progress,
            quality=self._held_out if self.capture.test else None,
            shown=Shown(self.state.gaussians, self.capture),
        )

    def _held_out(self) -> Mapping[str, Any]:
        return loop.quality_on(self.state.model, self.capture.test, self.capture.background)

    def _one_step(self) -> float:
        """A training step, and a round of pruning where one is due after it; returns the loss."""
        state, config, capture = self.state, self.config, self.capture
        done = state.step - self.notes["first_step"]
        share = done / config.iterations
        rate_factor = config.schedule.rate_factor(share)
        position_factor = config.schedule.position_factor(share, self.training)
        for name, rate in rates(self.training).items():
            state.model.set_rate(name, rate_factor * rate)
        if config.batch == 1:
            indices = [state.next_view(len(capture.train))]
        else:
            batch = views_of_batch(config.seed, done // config.batch, config.batch, len(capture.train))
            indices = batch[: config.iterations - done]
        views = [capture.train[index] for index in indices]
        force = self._force(rate_factor * self.training.opacity_rate) if done < config.steps_of_rounds else 0.0
        seen = ViewStatistics.zeros(state.count, device=state.model.device) if force > 0 else None
        loss = training_step(
            state,
            views[0] if config.batch == 1 else views,
            self.training,
            capture.background,
            statistics=seen,
            position_factor=position_factor,
        )
        if seen is not None:
            self._press(seen.views_seen, force)
        if self.untouched is not None:
            self.untouched.restore(state, self.rows)
        for step in range(done + 1, done + len(views) + 1):
            if step % config.every == 0 and step // config.every < config.rounds:
                self._prune(step // config.every + 1)
        return loss

    @property
    def _target(self) -> int | None:
        """How many Gaussians shall be left at the end; None where the paper's quantile decides."""
        first = self.notes["first_count"]
        if self.config.count is not None:
            return min(first, self.config.count)
        return None if self.config.keep is None else max(1, round(self.config.keep * first))

    def _force(self, rate: float) -> float:
        """What a step between rounds takes from the opacity logits of what its view sees; `rate` is that of logits."""
        if self._target is None:
            return 0.0
        kept = self._target / self.notes["first_count"]
        return self.config.schedule.force(kept, self.config.steps_of_rounds, rate)

    def _press(self, views_seen: Tensor, force: float) -> None:
        """Lower the opacity logits of what views (N,) have seen, by each of them; but of those that are protected."""
        seen = views_seen > 0
        protected = None if self.untouched is None else self.untouched.protects(self.rows)
        if protected is not None:
            seen = seen & ~protected.to(seen.device)
        places = seen.nonzero()[:, 0]
        model = self.state.model
        model.write("opacities", places, model.attribute("opacities")[places] - force * views_seen[places])

    def _prune(self, number: int) -> None:
        """Round `number`, from 1: score, select, remove."""
        if self.config.control:
            return
        state, config, first = self.state, self.config, self.notes["first_count"]
        before, quality_before, quantile, target = state.count, self._quality(), config.quantile, self._target
        protected = None if self.untouched is None else self.untouched.protects(self.rows)
        if quantile is not None:
            asked: dict[str, float] = {"gamma": quantile}
        else:
            assert target is not None
            check_protected(protected, target)
            count = count_after_round(first, target, number, config.rounds, config.schedule.spacing)
            asked = {"count": count}
        pruned = prune(
            state,
            self.capture,
            lambda levels: keep_by_count(levels, count) if quantile is None else keep_by_quantile(levels, quantile),
            config.criterion,
            config.unseen,
            protected=protected,
            statistics=state.statistics if config.gradient_source == "stale" else None,
            ssim_weight=self.training.ssim_weight,
        )
        self._log(
            "round",
            round=number,
            rounds=config.rounds,
            asked=asked,
            before=before,
            removed=before - state.count,
            kept=state.count,
            sparsity=1 - state.count / first,
            sparsity_predicted=None if quantile is None else 1 - (1 - quantile) ** number,
            unseen=int((~pruned.seen).sum()),
            unseen_removed=pruned.unseen_removed,
            held_out_before=quality_before,
            held_out_after=self._quality(),
        )

    def _quality(self) -> dict[str, float | None] | None:
        """Quality on the held-out views for the log; not measured where nothing is logged."""
        if self.run is None:
            return None
        mean = mean_score(view_scores(self.state.model, self.capture.test, self.capture.background))
        return {"psnr": mean.psnr, "ssim": mean.ssim}

    def _log(self, event: str, **values: Any) -> None:
        if self.run is not None:
            self.run.log(event, self.state.step, **values)
