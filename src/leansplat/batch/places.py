"""Where a task's files are for the machine that runs it, from before its command begins until it has ended.

For a path that is the path itself, and commands write whole files by themselves. For an address (`StoredPlaces`), what
is read is brought to a scratch folder, and what was made is taken back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from leansplat.batch.tasks import CHECKPOINTS, INPUT, OUTPUT, RUN, Place, Task
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

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The answer of this very task where its results have been delivered already, so that nothing is to do."""
        ...

    def told(self, text: str) -> str:
        """A text of the command, with files called as the task calls them."""
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

    @property
    def before(self) -> None:
        return None

    def told(self, text: str) -> str:
        return text

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
    from leansplat.storage import is_address

    named = [place.address for place in task.places(INPUT, OUTPUT, RUN, CHECKPOINTS)]
    if not any(is_address(text) for text in (*named, task.log, task.answer or "")):
        return LocalPlaces(task)
    from leansplat.batch.stored_places import StoredPlaces

    return StoredPlaces(task)
