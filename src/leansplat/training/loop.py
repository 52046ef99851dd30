"""The loop that training and trimming share: step, keep log, progress and checkpoints along the way, and resume.

What a step is, and what happens between steps (densify, prune), comes from the caller as a function. All that decides
the result is in a state that the caller can save; means for the log start anew at every checkpoint, so a resumed run
logs and computes the same as one that was not interrupted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from leansplat.captures.capture import Capture
from leansplat.configs import Config
from leansplat.errors import RunError
from leansplat.progress import Progress
from leansplat.runs import Run, hash_capture
from leansplat.simd.sharing import FairShare
from leansplat.simd.threads import thread_count
from leansplat.training.checkpoint import Checkpoint, read_checkpoint
from leansplat.training.config import TrainingConfig

_LOG_EVERY = 100
_REPORT_EVERY = 10
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
    run: Run | None,
    save: Callable[[Path], None],
    checkpoint_every: int,
    progress: Progress | None = None,
    after_step: Callable[[State], None] | None = None,
) -> None:
    """Call `one_step` until `state` is `total` steps past step `first`.

    Args:
        one_step: takes `state` one step on, does what is due after it, and returns the loss.
        run: gets the log and the checkpoints; None for neither.
        save: writes a checkpoint of `state` to a file.
        checkpoint_every: steps between checkpoints; the last step always has one.
        progress: told every ten steps and after the last, of "loss" and "gaussians".
        after_step: called last after every step.
    """
    started = time.perf_counter() - state.seconds
    losses: list[float] = []
    share = FairShare()
    while state.step < first + total:
        with share.step():
            losses.append(one_step())
        done = state.step - first
        last = done == total
        checkpoint_due = done % checkpoint_every == 0 or last
        state.seconds = time.perf_counter() - started
        if progress is not None and (done % _REPORT_EVERY == 0 or last):
            progress(done, total, {"loss": losses[-1], "gaussians": state.count})
        if done % _LOG_EVERY == 0 or checkpoint_due:
            if run is not None:
                mean = sum(losses) / len(losses)
                values = {"loss": mean, "gaussians": state.count, "seconds": round(state.seconds, 3)}
                run.log("progress", state.step, **values)
            losses.clear()
        if run is not None and checkpoint_due:
            save(run.checkpoint_path(state.step))
            run.drop_old_checkpoints()
        if after_step is not None:
            after_step(state)


def resume(run: Run, command: str, settings: Mapping[str, Config], capture: Capture) -> Checkpoint | None:
    """The last checkpoint of a run, whose log is cut back to it; None where the run has none yet and starts over.

    Args:
        command: what wants to go on.
        settings: parts of the settings in config.json that must be as they were, such as {"training": config}.

    Raises:
        RunError: the run was made by another command, with other settings or of another capture, or its checkpoint is
            damaged or not its own.
    """
    check_resumable(run, command, settings, capture)
    steps = run.checkpoints()
    if not steps:
        run.cut_log(-1)
        return None
    path = run.checkpoint_path(steps[-1])
    checkpoint = read_checkpoint(path)
    state = checkpoint.state
    whole = state.step == steps[-1] and state.model.engine == engine_of(run, None)
    if not whole or checkpoint.config != run.began_with("training", TrainingConfig):
        raise RunError(f"{path} belongs to another run; delete it or start a new run")
    go_back(run, steps[-1])
    return checkpoint


def engine_of(run: Run | None, wanted: str | None) -> str:
    """The engine to work with: what `run` was made for, "cpu" where nothing says anything else.

    Raises:
        RunError: another engine than that is wanted.
    """
    made_for = None if run is None else run.config["settings"].get("engine", "cpu")  # older runs name none
    if run is not None and wanted not in (None, made_for):
        raise RunError(f"{run.folder} was begun with the engine {made_for}; go on with that, or start a new run")
    return wanted or made_for or "cpu"


def check_resumable(run: Run, command: str, settings: Mapping[str, Config], capture: Capture) -> None:
    """Refuse to resume a run with another command, settings or capture than it began with; as `resume`.

    Raises:
        RunError: the first thing that differs.
    """
    if run.config["command"] != command:
        raise RunError(f"{run.folder} was made by {run.config['command']}; resume it with that command")
    changed = []
    for part, config in settings.items():
        then, now = run.began_with(part, type(config)).to_json(), config.to_json()
        changed += [name for name in now if now[name] != then[name]]
    if changed:
        names = ", ".join(changed)
        raise RunError(f"{run.folder} was started with other settings ({names}); keep them or start a new run")
    run.check_input("capture", hash_capture(capture))


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
