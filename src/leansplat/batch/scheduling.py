"""`outcomes`: feeds tasks to an executor and gives back what became of each.

Tasks come from an iterator that is only asked for the next one when there is room, and about twice as many are given to
the executor as it can work on: none of its slots waits for us, and ten thousand tasks take no more memory than ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from leansplat.batch.executor import Executor
from leansplat.batch.tasks import DIED, FAILED, FINISHED, SKIPPED, Outcome, Task

TRIES = 3
"""How often a task is begun at most whose process or machine dies."""


def outcomes(tasks: Iterable[Task], executor: Executor) -> Iterator[tuple[Task, Outcome]]:
    """What became of each task, as they end.

    A task that dies is begun again, and goes on with what its run folder holds; after `TRIES` times it has failed. One
    that needs a task which is not finished is skipped.

    Args:
        tasks: each after those it needs.
        executor: in whose `with` block this is.
    """
    return _Schedule(iter(tasks), executor).run()


class _Schedule:
    def __init__(self, tasks: Iterator[Task], executor: Executor) -> None:
        self._tasks, self._executor = tasks, executor
        self._more = True
        self._waiting: list[Task] = []  # for tasks they need
        self._flying: dict[str, int] = {}  # which try each task is at
        self._ended: dict[str, bool] = {}  # whether it is finished

    def run(self) -> Iterator[tuple[Task, Outcome]]:
        while True:
            yield from self._fill()
            if not self._flying:
                for task in self._waiting:
                    missing = next(name for name in task.needs if name not in self._ended)
                    yield task, Outcome(SKIPPED, sentence=f"it needs {missing}, which nobody makes")
                return
            task, outcome = self._executor.finished()
            tried = self._flying.pop(task.name)
            if outcome.status == DIED and tried < TRIES:
                self._flying[task.name] = tried + 1
                self._executor.start(replace(task, resume=True))
                continue
            if outcome.status == DIED:
                outcome = replace(outcome, status=FAILED, sentence=f"{TRIES} times, {outcome.sentence}")
            self._ended[task.name] = outcome.status == FINISHED
            yield task, outcome

    def _fill(self) -> Iterator[tuple[Task, Outcome]]:
        """Give the executor what it has room for; yields tasks that are skipped."""
        while len(self._flying) < 2 * max(1, self._executor.slots):
            task = self._next()
            if task is None:
                return
            broken = [name for name in task.needs if not self._ended[name]]
            if broken:
                self._ended[task.name] = False
                yield task, Outcome(SKIPPED, sentence=f"it needs {broken[0]}, which is not finished")
            else:
                self._flying[task.name] = 1
                self._executor.start(task)

    def _next(self) -> Task | None:
        """A task whose needs have all ended, None where there is none for now."""
        for index, task in enumerate(self._waiting):
            if self._is_ready(task):
                return self._waiting.pop(index)
        while self._more:
            following = next(self._tasks, None)
            if following is None:
                self._more = False
            elif self._is_ready(following):
                return following
            else:
                self._waiting.append(following)
        return None

    def _is_ready(self, task: Task) -> bool:
        return all(name in self._ended for name in task.needs)
