"""`Task` and `Outcome`: a piece of work and what became of it, as plain data that may travel to another machine.

A task is one command line of leansplat. Where a file or folder stands in it, the word is a `Place`: an address and what
it is for. So whoever runs it can put there what that address is called where it runs, and nothing of a scene but its
address is ever sent around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Use: TypeAlias = Literal["input", "output", "checkpoints", "run"]

INPUT: Final = "input"
"""A place that is read and never changed."""

OUTPUT: Final = "output"
"""A place that the command makes."""

CHECKPOINTS: Final = "checkpoints"
"""A run folder to go on from, which goes when the command has ended well."""

RUN: Final = "run"
"""A run folder that is both, the output and what is gone on from."""

Status: TypeAlias = Literal["finished", "failed", "died", "skipped"]

FINISHED: Final = "finished"
FAILED: Final = "failed"
DIED: Final = "died"
SKIPPED: Final = "skipped"


@dataclass(frozen=True)
class Place:
    """A word of a command line that is a file or folder.

    Args:
        address: a path, or an address of another store.
        use: `INPUT`, `OUTPUT`, `CHECKPOINTS` or `RUN`.
    """

    address: str
    use: Use


@dataclass(frozen=True)
class Cost:
    """What a task takes while it runs.

    Args:
        threads: processor threads; the kernels get as many.
        memory: bytes, an estimate; 0 where there is none.
        gpus: graphics cards, which may be a part of one.
    """

    threads: int = 1
    memory: int = 0
    gpus: float = 0.0


@dataclass(frozen=True)
class Task:
    """One command of leansplat to run.

    Args:
        name: unique among all tasks, such as the name of the scene.
        command: the command line after the name of the program; `--json` is added where it runs.
        log: address of the file that the command's standard error goes to.
        cost: what it takes.
        answer: address of the file that what the command prints goes to, for commands that make no other; None without.
        resume: whether run folders may hold work on this very task, which is then gone on with; else they are cleared.
        needs: names of the tasks that must be finished before.
    """

    name: str
    command: tuple[str | Place, ...]
    log: str
    cost: Cost = Cost()
    answer: str | None = None
    resume: bool = False
    needs: tuple[str, ...] = ()

    def places(self, *uses: Use) -> list[Place]:
        """The places in the command that are for one of some uses."""
        return [word for word in self.command if isinstance(word, Place) and word.use in uses]


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Args:
        status: `FINISHED`; `FAILED`, which the same task would do again; `DIED`, as its process or machine did, so that
            it is worth another try; `SKIPPED`, as one that it needs failed.
        answer: what the command printed, None where it printed nothing.
        sentence: why it is not finished, in one line; empty where it is.
        seconds: from its start to its end, on the clock.
        where: name of the machine.
        memory: bytes that its process had in memory at most, None where the system does not say.
    """

    status: Status
    answer: Mapping[str, Any] | None = None
    sentence: str = ""
    seconds: float = 0.0
    where: str = ""
    memory: int | None = None
