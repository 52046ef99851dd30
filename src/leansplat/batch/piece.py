"""`run_piece`: one task, where it runs, from its files to its outcome.

The command is a process of its own, so a crash, a kill or too little memory takes one scene and nothing else. It gets
as many threads as the task says by its environment, which makes its results those of the same command typed by hand
with as many; what it says goes to the task's log, and what it prints is its answer.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from leansplat.batch.places import Places, places_of
from leansplat.batch.tasks import CHECKPOINTS, DIED, FAILED, FINISHED, OUTPUT, RUN, Outcome, Place, Status, Task
from leansplat.errors import LeansplatError
from leansplat.lifeline import with_lifeline
from leansplat.storage import AwayError

_SAID = "leansplat: "
"""What the last line of a command that has failed begins with."""
_LONGEST_SENTENCE = 2_000
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What the kernels, PyTorch and its matrix products read their number of threads from."""

Began = Callable[["subprocess.Popen[bytes]"], None]
"""Told of the process of a task, so that it can be stopped."""


def run_piece(task: Task, *, began: Began | None = None) -> Outcome:
    """Run a task here to its end.

    Nothing that goes wrong with it is raised: the outcome says so. Only what stops this process itself comes through.

    Args:
        began: see `Began`.
    """
    start = time.monotonic()
    status: Status = FAILED
    answer, sentence, memory = None, "", None
    try:
        with places_of(task) as places:
            if places.before is not None:
                return Outcome(FINISHED, places.before, "", time.monotonic() - start, platform.node())
            code, printed, memory = _run(task, places, began)
            status, answer, sentence = _understood(code, printed, places.log, task.log)
            sentence = places.told(sentence)
            answer = None if answer is None else json.loads(places.told(json.dumps(answer)))
            if status == FINISHED:
                places.delivered(answer)
    except AwayError as error:
        status, sentence = DIED, str(error)
    except (LeansplatError, OSError) as error:
        status, sentence = FAILED, str(error)
    return Outcome(status, answer, sentence, time.monotonic() - start, platform.node(), memory)


def command_line(task: Task, places: Places) -> list[str]:
    """The words of a task's command here; it goes on with what its run folders hold, and replaces what else it finds.

    A command is only told to replace what is there, as it is after a kill in its last moment.
    """
    words = [places.path(word) if isinstance(word, Place) else word for word in task.command]
    begun = [place for place in task.places(CHECKPOINTS, RUN) if _holds_anything(places.path(place))]
    if begun and task.resume:
        words.append("--resume")
    if any(Path(places.path(place)).exists() for place in task.places(OUTPUT, RUN, CHECKPOINTS)):
        words.append("--overwrite")
    return [*words, "--json"]


def environment_of(task: Task) -> dict[str, str]:
    """The environment of a task's process."""
    threads = dict.fromkeys(_THREADS, str(task.cost.threads))
    return with_lifeline({**os.environ, "PYTHONUNBUFFERED": "1", **threads})


def _holds_anything(folder: str) -> bool:
    with suppress(OSError):
        return any(Path(folder).iterdir())
    return False


def _run(task: Task, places: Places, began: Began | None) -> tuple[int, bytes, int | None]:
    """The exit code of the command, negative for a signal; what it printed; bytes of memory it had at most."""
    line = [sys.executable, "-m", "leansplat", *command_line(task, places)]
    with open(places.log, "ab") as log, _peak_told() as (passed, variables, peak):
        log.write(f"$ leansplat {' '.join(line[3:])}\n".encode())
        log.flush()
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**environment_of(task), **variables},
            pass_fds=passed,
            start_new_session=True,  # Ctrl-C is for who waits for it
        )
        with process:
            try:
                if began is not None:
                    began(process)
                assert process.stdout is not None
                printed = process.stdout.read()
                memory = _wait(process)
            except BaseException:
                stop(process)
                raise
        return process.returncode, printed, peak() or memory


@contextmanager
def _peak_told() -> Iterator[tuple[tuple[int, ...], dict[str, str], Callable[[], int | None]]]:
    """A pipe by which a command tells how much memory it had at most, where processes can be given one.

    What the system tells of a process that has ended counts what its parent had when it was begun.

    Yields:
        What to pass to the process, variables for it, and a function that gives the bytes once it has ended: None where
        it did not come to telling.
    """
    if sys.platform == "win32":
        yield (), {}, lambda: None
        return
    end, given = os.pipe()
    os.set_blocking(end, False)

    def peak() -> int | None:
        with suppress(OSError, ValueError):
            return int(os.read(end, 32)) or None
        return None

    try:
        yield (given,), {"LEANSPLAT_PEAK_TO": str(given)}, peak
    finally:
        os.close(end)
        os.close(given)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a task's process and all that it has started."""
    with suppress(OSError):
        if process.returncode is not None:
            return
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for the end of a process; bytes of memory it had at most, where the system says so."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _understood(code: int, printed: bytes, log: Path, told: str) -> tuple[Status, Mapping[str, Any] | None, str]:
    """Status, answer and sentence of a command that has ended, whose log is at `log` and called `told`."""
    answer = None
    with suppress(ValueError):
        answer = json.loads(printed)
    if not isinstance(answer, dict):
        answer = None
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return DIED, None, f"its process was ended by {_signal_name(number)}{_perhaps(number)}; {told} has what it said"
    if code != 0:
        with open(log, "rb") as file:
            return FAILED, answer, _last_words(file) or f"it ended with exit code {code}; {told} has what it said"
    if answer is None:
        return FAILED, None, f"it printed no answer; {told} has what it said"
    return FINISHED, answer, ""


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _perhaps(number: int) -> str:
    return ", perhaps for want of memory" if number == getattr(signal, "SIGKILL", None) else ""


def _last_words(log: IO[bytes]) -> str:
    """The sentence that a command ended with, or the last line of its traceback."""
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 8 * _LONGEST_SENTENCE))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return last.removeprefix(_SAID)[:_LONGEST_SENTENCE]
