"""`StoredPlaces`: a task whose files lie at addresses: they are fetched, and what was made of them is put back.

A command only ever sees paths in a scratch folder, which goes afterwards whatever happens. Whatever is told of those
paths (records, answers, complaints) names the addresses instead. Outputs are published (`storage.publishing`), so
however often a task is done, by however many machines, one result appears and it is whole. Run folders are mirrored
while they grow, and come from their mirror when a task is begun again somewhere else.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from leansplat.batch.companions import listing_of
from leansplat.batch.tasks import CHECKPOINTS, INPUT, OUTPUT, RUN, Place, Task, Use
from leansplat.errors import LeansplatError
from leansplat.files import replacing, write_json
from leansplat.storage import (
    FOLDER,
    Cache,
    Listed,
    Mirror,
    TakenError,
    identity,
    is_address,
    joined,
    last_name,
    parent,
    publish,
    published,
    put_bytes,
    reach,
    scratch_folder,
)

_TELLING = (".json", ".jsonl")
"""Suffixes of files that say which files a command worked on."""
_MOST_TOLD = 64 << 20
"""Bytes of the largest file that is searched for names of files."""

_log = logging.getLogger("leansplat")


class StoredPlaces:
    """`Places` of a task of whose places some, or its log, are addresses."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._stack = ExitStack()
        self._paths: dict[Place, Path] = {}
        self._named: list[tuple[str, str]] = []
        self._mirrors: list[Mirror] = []
        self._before: Mapping[str, Any] | None = None

    def path(self, place: Place) -> str:
        return str(self._paths.get(place, place.address))

    @property
    def log(self) -> Path:
        return self._scratch / "log.txt" if is_address(self._task.log) else Path(self._task.log)

    @property
    def before(self) -> Mapping[str, Any] | None:
        return self._before

    def told(self, text: str) -> str:
        for here, address in self._named:
            text = text.replace(here, address)
        return text

    def delivered(self, answer: Mapping[str, Any] | None) -> None:
        for place in self._results():
            publish(place.address, self._made(place), work=self._work, values={"answer": answer})
        if self._task.answer is not None and is_address(self._task.answer):
            file = self._scratch / "answer.json"
            write_json(file, answer, overwrite=True)
            publish(self._task.answer, {self._task.answer: file}, work=self._work, values={"answer": answer})
        elif self._task.answer is not None:
            write_json(self._task.answer, answer, overwrite=True)
        for mirror in self._mirrors:
            mirror.stop()
            mirror.remove()
        self._mirrors.clear()
        for place in self._task.places(CHECKPOINTS):
            if place not in self._paths:
                shutil.rmtree(place.address, ignore_errors=True)

    def __enter__(self) -> StoredPlaces:
        try:
            return self._entered()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for mirror in self._mirrors:
            mirror.__exit__()
        if hasattr(self, "_scratch") and is_address(self._task.log) and self.log.exists():
            try:
                put_bytes(self.told(self.log.read_text(encoding="utf-8", errors="replace")).encode(), self._task.log)
            except LeansplatError as problem:
                _log.warning("%s", problem)
        self._stack.close()

    def _entered(self) -> StoredPlaces:
        self._scratch = self._stack.enter_context(scratch_folder())
        self._prepare_local()
        inputs = {place: listing_of(place.address) for place in self._stored(INPUT)}
        self._work = self._identity({place: listed for place, (_, listed, _) in inputs.items()})
        self._before = self._found_before()
        if self._before is not None:
            return self
        if is_address(self._task.log) and self._task.resume:
            with suppress(FileNotFoundError):
                self.log.write_bytes(reach(self._task.log, lambda files, path: files.cat_file(path)))
        cache = Cache()
        for number, (place, (folder, listed, name)) in enumerate(inputs.items()):
            target = self._scratch / f"in-{number}" / last_name(folder)
            cache.bring(folder, target, listed)
            self._lend(place, target / name if name else target)
        for number, place in enumerate(self._stored(OUTPUT, RUN, CHECKPOINTS)):
            target = self._scratch / f"out-{number}" / last_name(place.address)
            target.parent.mkdir()
            self._lend(place, target)
            if place.use in (CHECKPOINTS, RUN):
                self._keep(place, target)
        return self

    def _lend(self, place: Place, target: Path) -> None:
        self._paths[place] = target
        self._named.append((str(target), place.address))
        real = os.path.realpath(target)
        if real != str(target):
            self._named.append((real, place.address))

    def _keep(self, place: Place, target: Path) -> None:
        """Bring what a run folder held before, and keep it from now on."""
        address = place.address
        if place.use == RUN:
            address = joined(parent(address), FOLDER, f"{last_name(address)}.run")
        mirror = Mirror(target, address, work=self._work, told=self._retold)
        if self._task.resume:
            mirror.restore()
        else:
            mirror.remove()
        self._mirrors.append(mirror)
        mirror.__enter__()

    def _prepare_local(self) -> None:
        """As `LocalPlaces` does, for what is a path among addresses."""
        made = [place.address for place in self._task.places(OUTPUT, RUN, CHECKPOINTS) if not is_address(place.address)]
        made += [path for path in (self._task.log, self._task.answer) if path is not None and not is_address(path)]
        for folder in {Path(path).parent for path in made}:
            folder.mkdir(parents=True, exist_ok=True)
        for place in self._task.places(CHECKPOINTS):
            if not is_address(place.address) and not self._task.resume:
                shutil.rmtree(place.address, ignore_errors=True)

    def _stored(self, *uses: Use) -> list[Place]:
        return list(dict.fromkeys(place for place in self._task.places(*uses) if is_address(place.address)))

    def _results(self) -> list[Place]:
        return self._stored(OUTPUT, RUN)

    def _identity(self, inputs: Mapping[Place, list[Listed]]) -> str:
        """A name for what is done: the command, and the content of what it reads, as far as the storage tells of it."""
        words = [
            [word.use, word.address, identity(inputs[word]) if word in inputs else ""]
            if isinstance(word, Place)
            else word
            for word in self._task.command
        ]
        return sha256(json.dumps(words).encode()).hexdigest()[:32]

    def _found_before(self) -> Mapping[str, Any] | None:
        """The answer of this very task, where its results have been published.

        Raises:
            TakenError: the results of something else have.
        """
        addresses = [place.address for place in self._results()]
        if self._task.answer is not None and is_address(self._task.answer):
            addresses.append(self._task.answer)
        notes = [(address, published(address)) for address in addresses]
        for address, note in notes:
            if note is not None and note.work != self._work:
                raise TakenError(
                    f"{address} has been made of other inputs or with other options; choose another output, or ask for "
                    "it to be overwritten"
                )
        answers = [note.values.get("answer") for _, note in notes if note is not None]
        complete = bool(notes) and len(answers) == len(notes)
        return (answers[0] or {}) if complete else None

    def _made(self, place: Place) -> dict[str, Path]:
        """The files that a command has made for a place, and what it wrote beside it, by their addresses."""
        target = self._paths[place]
        around = parent(place.address)
        made = {}
        for path in sorted(target.parent.rglob("*")):
            if path.is_file() and not path.name.startswith(".leansplat"):
                if path.stat().st_size <= _MOST_TOLD:
                    content = path.read_bytes()
                    told = self._retold(path.name, content)
                    if told != content:
                        with replacing(path, overwrite=True) as file:
                            file.write(told)
                made[joined(around, path.relative_to(target.parent).as_posix())] = path
        if not made:
            raise LeansplatError(f"the command has made nothing for {place.address}")
        return made

    def _retold(self, name: str, content: bytes) -> bytes:
        """The content of a file with addresses where it names what is only here; of other files than JSON as it is."""
        if not name.endswith(_TELLING):
            return content
        return self.told(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
