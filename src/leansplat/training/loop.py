"""The loop that training and trimming share: step, and keep log, progress and checkpoints along the way.

What a step is, and what happens between steps (densify, prune), comes from the caller as a function. All that decides
the result is in a state that the caller can save; means for the log start anew at every checkpoint, so a resumed run
logs and computes the same as one that was not interrupted.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from leansplat.captures.capture import View
from leansplat.distributed.channel import Channel, LostError
from leansplat.distributed.joining import leading
from leansplat.engines.engine import Background, Renderer
from leansplat.errors import StoppedError
from leansplat.live import Live, Shown
from leansplat.metrics.psnr import psnr
from leansplat.progress import Progress
from leansplat.runs import Run
from leansplat.simd.sharing import FairShare
from leansplat.simd.threads import thread_count
from leansplat.temporary_folders import is_temporary

_LOG_EVERY = 100
_REPORT_EVERY = 10

_MEASUREMENTS, _STEPS_BETWEEN = 10, 500
"""Measurements on held-out views at most, and steps between them at least: about a hundredth of the time."""

_VIEWS_MEASURED = 8
_log = logging.getLogger("leansplat")


class LoopState(Protocol):
    """What the loop has to know of a state: the steps and seconds behind it."""

    step: int
    seconds: float

    @property
    def count(self) -> int:
        """Gaussians in the scene."""


State = TypeVar("State", bound=LoopState)


def run_steps(
    state: State,
    one_step: Callable[[], float],
    first: int,
    total: int,
    *,
    of: int | None = None,
    run: Run | None,
    save: Callable[[Path], None],
    checkpoint_every: int,
    progress: Progress | None = None,
    after_step: Callable[[State], None] | None = None,
    quality: Callable[[], Mapping[str, Any]] | None = None,
    shown: Shown | None = None,
) -> None:
    """Call `one_step` until `state` is `total` steps past step `first`.

    Args:
        one_step: takes `state` one step on, or as many as the views of a batch, does what is due after it, and returns
            the loss.
        of: steps that there will be in all, where these are only the first `total` of them.
        run: gets the log and the checkpoints; None for neither.
        save: writes a checkpoint of `state` to a file.
        checkpoint_every: steps between checkpoints; the last step always has one.
        progress: told every ten steps and after the last, of "loss" and "gaussians", and of "psnr" once it is known.
        after_step: called last after every step.
        quality: measures the scene on views held out, for the log; asked now and then (`steps_to_measure`).
        shown: what those who watch the run see.

    Raises:
        StoppedError: one of them wanted it to stop. There is a checkpoint of the last step.
        LostError: of several processes one is gone. There is a checkpoint of the last whole step, if it is known.
    """
    live = None if run is None or shown is None else Live(run.folder, shown)
    started = time.perf_counter() - state.seconds
    losses: list[float] = []
    share, others = FairShare(), leading()
    known: dict[str, float] = {}
    whole = total if of is None else of
    to_measure = frozenset() if run is None or quality is None else steps_to_measure(whole)
    later = nullcontext() if others is None else others.told_to_end_later()
    with nullcontext() if live is None else closing(live), later:
        while state.step < first + total:
            before = state.step - first
            try:
                if others is None:
                    with share.step():
                        losses.append(one_step())
                else:  # who waits for others does not lack the processor
                    losses.append(_step_with(others, one_step))
            except LostError as lost:
                raise _with_checkpoint(lost, run, state, save) from lost
            done = state.step - first
            last = done >= total
            state.seconds = time.perf_counter() - started
            now = {"loss": losses[-1], "gaussians": state.count}
            stopped = live is not None and live.tell(
                state.step, done, whole, {**now, "seconds": round(state.seconds, 3), **known}
            )
            checkpoint_due = passed(before, done, checkpoint_every) or last or stopped
            if progress is not None and (passed(before, done, _REPORT_EVERY) or last):
                progress(done, whole, {**now, **known})
            if passed(before, done, _LOG_EVERY) or checkpoint_due:
                if run is not None:
                    mean = sum(losses) / len(losses)
                    values = {"loss": mean, "gaussians": state.count, "seconds": round(state.seconds, 3)}
                    run.log("progress", state.step, **values)
                losses.clear()
            if run is not None and quality is not None and not to_measure.isdisjoint(range(before + 1, done + 1)):
                measured = quality()
                run.log("held_out", state.step, **measured, seconds=round(state.seconds, 3))
                known = {} if measured.get("psnr") is None else {"psnr": measured["psnr"]}
            if run is not None and checkpoint_due:
                try:
                    save(run.checkpoint_path(state.step))
                except LostError as lost:
                    lost.untouched = True
                    raise _with_checkpoint(lost, run, state, save) from lost
                run.drop_old_checkpoints()
            if after_step is not None:
                after_step(state)
            if run is not None and stopped and done < whole:
                run.log("stopped", state.step, gaussians=state.count, seconds=round(state.seconds, 3))
                raise StoppedError(
                    f"stopped after step {done:,} of {whole:,}, as a watcher wanted; there is a checkpoint of it in "
                    f"{run.folder}, and --resume goes on from there"
                )


def _step_with(others: Channel, one_step: Callable[[], float]) -> float:
    """A step of several processes, which begins if all are there."""
    try:
        others.check()
    except LostError as lost:
        lost.untouched = True
        raise
    return one_step()


def _with_checkpoint(lost: LostError, run: Run | None, state: LoopState, save: Callable[[Path], None]) -> LostError:
    """What there is to say when a process is gone: a checkpoint is written first, if the state is a whole one."""
    if run is None:
        return lost.saying("start again")
    if is_temporary(run.folder):
        return lost.saying("start again, with --run-folder RUN to have something to go on from")
    if lost.untouched:
        save(run.checkpoint_path(state.step))
        run.drop_old_checkpoints()
        run.log("lost", state.step, gaussians=state.count, reason=str(lost))
    steps = run.checkpoints()
    if not steps:
        return lost.saying(f"{run.folder} has no checkpoint yet, so --resume begins again")
    return lost.saying(f"there is a checkpoint of step {steps[-1]:,} in {run.folder}, and --resume goes on from there")


def passed(before: int, done: int, every: int) -> bool:
    """Whether a multiple of `every` lies after step `before` and not after step `done`."""
    return done // every > before // every


def steps_to_measure(total: int) -> frozenset[int]:
    """The steps of `total` after which held-out views are looked at: the last, and others on the way in equal parts.

    Those are a step early, since what strategies do at round steps, such as resetting opacities, shows for a while.
    """
    times = min(_MEASUREMENTS, total // _STEPS_BETWEEN)
    return frozenset(total if number == times else number * total // times - 1 for number in range(1, times + 1))


@torch.inference_mode()
def quality_on(scene: Renderer, views: Sequence[View], background: Background) -> Mapping[str, Any]:
    """The mean PSNR of up to eight held-out views, evenly chosen, as the log has it; SSIM would take longer."""
    chosen = views[:: -(-len(views) // _VIEWS_MEASURED)] if views else views
    found = []
    for view in chosen:
        image = scene.render(view.camera, background).image.cpu().clamp(0, 1)
        found.append(psnr(image, view.photo.to(torch.float32) / 255, view.mask))
    return {"psnr": statistics.fmean(found) if found else None, "views": len(chosen)}


def go_back(run: Run, step: int) -> None:
    """Bring the folder of a run back to the checkpoint of `step`, its last one, to go on from there."""
    run.cut_log(step)
    run.drop_old_checkpoints()
    if thread_count() != run.config["threads"]:
        _log.warning(
            "%s began on %d threads and goes on with %d; the last bits of the result depend on that",
            run.folder,
            run.config["threads"],
            thread_count(),
        )
    run.log("resumed", step, threads=thread_count())
