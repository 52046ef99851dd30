"""`Executor`: who works on tasks. Processes of this machine do, and whatever else can take a task and give an outcome.

An executor knows nothing of folders, retries or the order of tasks: it is given one at a time and gives back whichever
ends. How many it is given at once is up to `scheduling`, which keeps few of them around however many there are.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from leansplat.batch.tasks import Outcome, Task


class Executor(Protocol):
    """Works on tasks in a `with` block, at the end of which none of them is worked on any more.

    Only one thread may call it.
    """

    @property
    def slots(self) -> int:
        """How many tasks it can work on at the same time; this may change while it works."""
        ...

    @property
    def told(self) -> str:
        """How it works, in a line such as "2 workers of 1 thread each"."""
        ...

    def start(self, task: Task) -> None:
        """Take a task, and return at once; it may wait in here until something is free."""
        ...

    def finished(self) -> tuple[Task, Outcome]:
        """Wait until a task ends that was taken, and return it; each is returned once.

        Interrupted by Ctrl-C, it raises `KeyboardInterrupt` at once.
        """
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop whatever is still going on: no process of a task is left, here or elsewhere."""
        ...


def executor_for(*, workers: int, threads: int, told: str = "") -> Executor:
    """The executor that the options of a command ask for: the one function that a further kind of it is added to.

    Args:
        workers: tasks at once, in processes of this machine.
        threads: of each task, for what it tells; a task's own cost says what it gets.
        told: what it tells instead, in a line.
    """
    from leansplat.batch.local import LocalExecutor

    return LocalExecutor(workers, told or f"{workers} at a time, with {threads} of the processor's threads each")
