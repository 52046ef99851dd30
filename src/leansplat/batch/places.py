"""Where a task's files are for the machine that runs it, from before its command begins until it has ended.

For a path that is the path itself, and commands write whole files by themselves. A store of another kind brings what is
read to a scratch folder, and takes back what was made: it is a class as `LocalPlaces` is, and a line in `places_of`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from leansplat.batch.tasks import CHECKPOINTS, Place, Task
from leansplat.files import write_json


class Places(Protocol):
    """A task's files here, in a `with` block around its command.

    Entering it brings the inputs and what a run folder holds already, and leaving it keeps run folders, whatever
    happened, and clears what was only lent.
    """

    def path(self, place: Place) -> str:
        """What a word of the command is called here."""
        ...

    @property
    def log(self) -> Path:
        """The file for the command's standard error, to append to."""
        ...

    def delivered(self, answer: Mapping[str, Any] | None) -> None:
        """Called once the command has ended well: put what it made where the task says, whole and only once."""
        ...

    def __enter__(self) -> Places: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class LocalPlaces:
    """`Places` of a task whose addresses are all paths."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def path(self, place: Place) -> str:
        return place.address

    @property
    def log(self) -> Path:
        return Path(self._task.log)

    def delivered(self, answer: Mapping[str, Any] | None) -> None:
        if self._task.answer is not None:
            write_json(self._task.answer, answer, overwrite=True)
        for place in self._task.places(CHECKPOINTS):
            shutil.rmtree(place.address, ignore_errors=True)

    def __enter__(self) -> LocalPlaces:
        made = [place.address for place in self._task.places("output", "checkpoints", "run")]
        made += [self._task.log] + ([] if self._task.answer is None else [self._task.answer])
        for folder in {Path(address).parent for address in made}:
            folder.mkdir(parents=True, exist_ok=True)
        if not self._task.resume:
            for place in self._task.places(CHECKPOINTS):
                shutil.rmtree(place.address, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


def places_of(task: Task) -> Places:
    """The `Places` of a task, by the kind of its addresses."""
    return LocalPlaces(task)
