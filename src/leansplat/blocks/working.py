"""Who works on the blocks: this process, one after the other, or processes of their own by an executor of `batch`.

For an executor, the work on a block is the command `leansplat block FOLDER NUMBER`. Kernels split their work into as
many parts as the plan says, however many threads there are for them, so everybody makes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from leansplat.batch.executor import Executor
from leansplat.batch.scheduling import outcomes
from leansplat.batch.tasks import FINISHED, Cost, Task
from leansplat.blocks.plan import Plan
from leansplat.blocks.work import judge_block, shrink_block
from leansplat.errors import RunError
from leansplat.progress import Progress
from leansplat.simd.threads import in_parts

SHRINK, JUDGE = "shrink", "judge"
"""What there is to do with a block."""

_WORK: dict[str, Callable[[Path, int], None]] = {SHRINK: shrink_block, JUDGE: judge_block}


def work_on(folder: Path, number: int, what: str) -> None:
    """Do one of the two with a block, with the bits that everybody makes; errors as `shrink_block` has them."""
    with _parts_of(Plan.read(folder)):
        _WORK[what](folder, number)


def work_on_all(
    folder: Path,
    numbers: Sequence[int],
    what: str,
    executor: Executor | None,
    cost: Cost,
    progress: Progress | None = None,
) -> int:
    """Do it with some blocks.

    Args:
        executor: whom to give them to, in whose `with` block this is; None to do them here.
        cost: what a block takes.
        progress: told of blocks done.

    Returns:
        Bytes that a process of a block had in memory at most; 0 where nobody says.

    Raises:
        RunError: a block failed; says which and why. Those that are done are kept.
    """
    most = 0
    if executor is None:
        for done, number in enumerate(numbers):
            _tell(progress, done, len(numbers))
            work_on(folder, number, what)
    else:
        tasks = (_task(folder, number, what, cost) for number in numbers)
        for done, (task, outcome) in enumerate(outcomes(tasks, executor)):
            _tell(progress, done, len(numbers))
            if outcome.status != FINISHED:
                raise RunError(f"{task.name} failed: {outcome.sentence}")
            most = max(most, outcome.memory or 0)
    _tell(progress, len(numbers), len(numbers))
    return most


def _task(folder: Path, number: int, what: str, cost: Cost) -> Task:
    command = ("block", str(folder.resolve()), str(number), *(("--judge",) if what == JUDGE else ()))
    return Task(f"block {number}", command, str(folder.resolve() / "logs" / f"{number:04}.log"), cost)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total, {})


@contextmanager
def _parts_of(plan: Plan) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        with in_parts(plan.threads):
            yield
    finally:
        torch.set_num_threads(threads)
