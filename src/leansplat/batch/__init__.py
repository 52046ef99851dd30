"""Many scenes: one command on each of them, in worker processes here or on other machines.

`tasks` says what a piece of work is, `executor` who may do it, `piece` how one is done where it is done, and
`scheduling` feeds the one to the other. `sitting` is all of it for a folder, as `leansplat batch` has it.
"""

from leansplat.batch.executor import Executor, executor_for
from leansplat.batch.scheduling import outcomes
from leansplat.batch.tasks import DIED, FAILED, FINISHED, SKIPPED, Cost, Outcome, Place, Task

__all__ = [
    "DIED",
    "FAILED",
    "FINISHED",
    "SKIPPED",
    "Cost",
    "Executor",
    "Outcome",
    "Place",
    "Task",
    "executor_for",
    "outcomes",
]
