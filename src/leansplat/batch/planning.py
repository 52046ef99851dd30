"""`planned`: every scene of a batch with its command line and its output, or one sentence on what is wrong with that.

All mistakes that can be seen are seen before anything begins: an option that the command does not have, two scenes with
one output, a line of a manifest that says nothing. What is wrong with a scene itself shows when its turn comes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leansplat.batch.asked import Asked
from leansplat.batch.commands import Batchable, batchable, check_options, suffix_of, trial_words, words_of
from leansplat.batch.inputs import asked_for
from leansplat.batch.journal import NAME as JOURNAL
from leansplat.batch.tasks import Cost, Place, Task
from leansplat.errors import InputError
from leansplat.locks import NAME as LOCK
from leansplat.storage import joined

RESULTS, TABLE, PAGE = "results.json", "results.csv", "report.html"
"""Files that a batch writes into its folder besides the outputs."""

_OURS = {JOURNAL, LOCK, RESULTS, TABLE, PAGE}

Understand = Callable[[Sequence[str]], Any]
"""Makes a command, as in `leansplat.commands`, from the words of its line; raises `InputError` where it cannot."""


@dataclass(frozen=True)
class Batch:
    """What is to be done.

    Args:
        inputs: see `inputs.asked_for`.
        output: the folder for everything; with `store`, for all but the outputs.
        command: of leansplat.
        options: of it, the same for all scenes.
        form: the format of the outputs, where the command leaves a choice; None for its usual one.
        overwrite: whether to make again what was made by another command, or changed since it was made, or is no
            output of this batch at all, instead of refusing.
        store: address of the folder for outputs, logs and what is gone on from; empty where that is `output`, too.
    """

    inputs: Sequence[str]
    output: Path
    command: str
    options: Sequence[str] = ()
    form: str | None = None
    overwrite: bool = False
    store: str = ""

    @property
    def target(self) -> str:
        """The folder or the address that outputs go to."""
        return self.store or str(self.output)

    @property
    def known(self) -> Batchable:
        return batchable(self.command)


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene of a batch.

    Args:
        asked: what it is.
        suffix: of its output; "" for a folder.
        parsed: its options as they were understood, the same object for all scenes with the same ones.
    """

    asked: Asked
    suffix: str
    parsed: Any

    @property
    def name(self) -> str:
        return self.asked.name

    def output(self, batch: Batch) -> str:
        """Where what is made of it goes: a path, or an address."""
        return _below(batch, f"{self.name}{self.suffix}")

    def task(self, batch: Batch, cost: Cost, *, resume: bool = False) -> Task:
        """The task of it."""
        output, beside = self.output(batch), _below(batch, self.name)
        command = words_of(
            batch.command,
            source=self.asked.source,
            capture=self.asked.capture,
            options=(*batch.options, *self.asked.options),
            output=output,
            is_file=bool(self.suffix),
            checkpoints=f"{beside}.work",
            parsed=self.parsed,
        )
        answer = output if batch.known.makes == "answer" else None
        return Task(self.name, command, f"{beside}.log", cost, answer, resume)


def _below(batch: Batch, name: str) -> str:
    return joined(batch.store, name) if batch.store else str(batch.output / name)


def digest(task: Task, suffix: str) -> str:
    """What was asked for, but for where its files are; they count by their fingerprints."""
    words = [word.use if isinstance(word, Place) else word for word in task.command]
    return hashlib.sha256(json.dumps([words, suffix]).encode()).hexdigest()[:32]


def planned(batch: Batch, understand: Understand) -> list[Scene]:
    """The scenes of a batch.

    Raises:
        InputError: there is none, or something about one of them is wrong; see above.
    """
    suffix = suffix_of(batch.command, batch.form)
    understood: dict[tuple[bool, str, tuple[str, ...]], Any] = {}
    scenes: list[Scene] = []
    for asked in asked_for(batch.inputs, batch.known.takes, batch.target):
        scenes.append(_scene(asked, batch, suffix, understand, understood))
    _refuse_collisions(scenes, batch)
    return scenes


def _scene(
    asked: Asked,
    batch: Batch,
    usual: str,
    understand: Understand,
    understood: dict[tuple[bool, str, tuple[str, ...]], Any],
) -> Scene:
    suffix = usual if asked.suffix is None else _own_suffix(asked, batch)
    if suffix and asked.name.lower().endswith(suffix) and len(asked.name) > len(suffix):
        asked = replace(asked, name=asked.name[: -len(suffix)])
    try:
        return Scene(asked, suffix, _understood(batch, asked, suffix, understand, understood))
    except InputError as error:
        own = asked.options or asked.capture or asked.suffix
        raise InputError(f"{asked.where}: {error}" if own else str(error)) from error


def _understood(
    batch: Batch,
    asked: Asked,
    suffix: str,
    understand: Understand,
    understood: dict[tuple[bool, str, tuple[str, ...]], Any],
) -> Any:
    """The command with the options of a scene; the same for all that have the same."""
    options, capture = (*batch.options, *asked.options), asked.capture is not None
    key = (capture, suffix, options)
    if key not in understood:
        parsed = understand(trial_words(batch.command, options, capture=capture, suffix=suffix))
        check_options(parsed, batch.command, capture=capture, suffix=suffix)
        understood[key] = parsed
    return understood[key]


def _own_suffix(asked: Asked, batch: Batch) -> str:
    """The suffix that a manifest names, where the command makes files of that kind."""
    suffix = (asked.suffix or "").lower()
    try:
        if batch.known.makes == "file" or batch.known.files:
            return suffix_of(batch.command, suffix)
    except InputError as error:
        raise InputError(f"{asked.where}: {error}") from error
    raise InputError(f"{asked.where} has an output ending in {suffix}, which {batch.command} does not write; leave it")


def _refuse_collisions(scenes: Sequence[Scene], batch: Batch) -> None:
    """Refuse outputs that are each other's, or lie in each other, or are files of the batch itself."""
    taken: dict[str, Scene] = {}
    for scene in scenes:
        output = f"{scene.name}{scene.suffix}"
        if output in _OURS:
            raise InputError(
                f"{scene.asked.where} would become {output}, which is the batch's own; give it another name in a "
                "manifest"
            )
        other = taken.setdefault(output.casefold(), scene)
        other = other if other is not scene else taken.setdefault(f"{scene.name.casefold()}\0", scene)
        if other is not scene:
            raise InputError(
                f"{other.asked.where} and {scene.asked.where} would both become {_below(batch, output)}; rename one, "
                'or name their outputs in a manifest ("output")'
            )
    for scene in scenes:
        parts = scene.name.casefold().split("/")
        for end in range(1, len(parts)):
            around = taken.get("/".join(parts[:end]))
            if around is not None and not around.suffix:
                raise InputError(
                    f"{scene.asked.where} would be written into the folder that {around.asked.where} becomes "
                    f'({_below(batch, around.name)}); name their outputs in a manifest ("output")'
                )
