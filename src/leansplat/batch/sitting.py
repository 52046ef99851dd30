"""`run_batch`: one command on many scenes, in a folder that remembers what has become of each.

    NAME.sog, NAME/ ...   what was made of each scene, with whatever the command writes beside it
    NAME.log              what the command said, all tries in order
    NAME.work/            while it goes on, and after a stop: what it is gone on from
    batch.jsonl           what happened, see `journal`
    results.json          every scene with its numbers; results.csv the same as a table, report.html as a page

One sitting ends when every scene has had its turn. The same command again does what is not done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from leansplat.batch.executor import Executor, executor_for
from leansplat.batch.fingerprints import fingerprint, scene_size
from leansplat.batch.journal import Journal
from leansplat.batch.page import page_of
from leansplat.batch.planning import PAGE, RESULTS, TABLE, Batch, Scene, Understand, planned
from leansplat.batch.rows import Row, as_csv, row_of
from leansplat.batch.scheduling import outcomes
from leansplat.batch.sizing import Workers, check_workers, memory_of, workers_for
from leansplat.batch.standing import Standing, refuse, standing_of
from leansplat.batch.tasks import FAILED, FINISHED, SKIPPED, Cost, Outcome, Task
from leansplat.errors import InputError, LeansplatError
from leansplat.files import clear_abandoned, replacing, write_json
from leansplat.locks import alone_in
from leansplat.progress import Progress, at_stage

FORMAT = "leansplat-batch-results-1"
"""Name and version of what results.json holds."""

WAITING = "waiting"
"""Status of a scene whose turn has not come."""

_log = logging.getLogger("leansplat")

MakeExecutor = Callable[[Workers], Executor]


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch.

    Args:
        batch: what was to be done.
        rows: one a scene, in the order of the inputs.
        kept: how many of them had been finished before.
        seconds: that this sitting took.
    """

    batch: Batch
    rows: Sequence[Row]
    kept: int
    seconds: float

    @property
    def failed(self) -> list[Row]:
        """Scenes that have had their turn and are not finished."""
        return [row for row in self.rows if row.status not in (FINISHED, WAITING)]

    def path(self, name: str) -> Path:
        """Where a file of the batch is, such as `planning.RESULTS`."""
        return self.batch.output / name

    def to_json(self) -> dict[str, Any]:
        """What results.json holds and `batch --json` prints."""
        counts = dict.fromkeys((FINISHED, FAILED, SKIPPED, WAITING), 0)
        for row in self.rows:
            counts[row.status] += 1
        return {
            "format": FORMAT,
            "command": [self.batch.command, *self.batch.options],
            "folder": str(self.batch.output),
            "seconds": self.seconds,
            "kept": self.kept,
            **counts,
            "scenes": [row.to_json() for row in self.rows],
        }


def _local(workers: Workers) -> Executor:
    return executor_for(workers=workers.count, threads=workers.threads, told=workers.told)


def run_batch(
    batch: Batch,
    understand: Understand,
    *,
    workers: int | None = None,
    executor: MakeExecutor = _local,
    say: Callable[[str], None] = _log.info,
    progress: Progress | None = None,
) -> BatchResult:
    """Run a command on many scenes; what goes wrong with one of them is in its row and stops no other.

    Args:
        batch: what is to be done.
        understand: see `planning.Understand`.
        workers: scenes at once; by default as many as cores and memory allow.
        executor: makes what does the work.
        say: told in a line who works.
        progress: told of the scenes that are done.

    Raises:
        InputError: something about the batch is wrong; nothing has been done then.
        RunError: another process is at work in the folder, or it holds another batch.
        LeansplatError: Ctrl-C stopped it.
    """
    began = time.monotonic()
    check_workers(workers)
    at_stage(progress, "looking at the inputs")
    scenes = planned(batch, understand)
    if batch.output.exists() and not batch.output.is_dir():
        raise InputError(f"{batch.output} is a file; give a folder for what is made of the scenes")
    with alone_in(batch.output):
        for folder in {scene.output(batch).parent for scene in scenes}:
            clear_abandoned(folder)
        with Journal(batch.output, batch.command) as journal:
            sitting = _Sitting(batch, scenes, journal)
            sized = _sized(batch, sitting.left, workers)
            at_stage(progress, "")
            try:
                if sitting.left:
                    with executor(sized) as working:
                        say(working.told)
                        sitting.work(working, sized, progress)
            except KeyboardInterrupt as error:
                sitting.write(time.monotonic() - began)
                raise LeansplatError(
                    f"stopped with {sitting.finished} of {len(scenes)} scenes finished; the same command goes on from "
                    "here"
                ) from error
            return sitting.write(time.monotonic() - began)


class _Sitting:
    """The scenes of a batch, and what has become of them so far.

    Raises:
        RunError: one of them cannot be done, see `standing.refuse`.
    """

    def __init__(self, batch: Batch, scenes: Sequence[Scene], journal: Journal) -> None:
        self._batch, self._journal = batch, journal
        self._names = [scene.name for scene in scenes]
        self._sources = {scene.name: scene.asked.source for scene in scenes}
        remembered = cache(fingerprint)
        standings = [standing_of(scene, batch, journal.entries.get(scene.name), remembered) for scene in scenes]
        refuse(standings, batch)
        self.left = [standing for standing in standings if not standing.done]
        self._rows = {
            standing.scene.name: standing.entry.row for standing in standings if standing.done and standing.entry.row
        }
        self._kept = len(self._rows)
        self._failed = 0

    @property
    def finished(self) -> int:
        """How many scenes are finished."""
        return sum(row.status == FINISHED for row in self._rows.values())

    def work(self, executor: Executor, sized: Workers, progress: Progress | None) -> None:
        """Give every scene that is left its turn."""
        begun: dict[str, Standing] = {}
        self._tell(progress)
        for task, outcome in outcomes(self._tasks(sized, begun), executor):
            self._take(begun.pop(task.name), task, outcome)
            self._tell(progress)

    def write(self, seconds: float) -> BatchResult:
        """Write results.json, results.csv and report.html, for all scenes."""
        rows = [self._rows.get(name) or Row(name, self._sources[name], None, WAITING) for name in self._names]
        result = BatchResult(self._batch, rows, self._kept, seconds)
        write_json(result.path(RESULTS), result.to_json(), overwrite=True)
        for name, text in ((TABLE, as_csv(rows)), (PAGE, page_of(result.to_json(), rows))):
            with replacing(result.path(name), overwrite=True) as file:
                file.write(text.encode("utf-8", "surrogateescape"))
        return result

    def _tasks(self, sized: Workers, begun: dict[str, Standing]) -> Iterator[Task]:
        """A task for each scene that is left, made when it is asked for."""
        for standing in self.left:
            scene = standing.scene
            begun[scene.name] = standing
            self._journal.started(scene.name, standing.entry)
            yield scene.task(self._batch, _cost(scene, sized), resume=standing.resume)

    def _take(self, standing: Standing, task: Task, outcome: Outcome) -> None:
        """Put down what became of a scene."""
        scene, known = standing.scene, self._batch.known
        output = scene.output(self._batch)
        smaller = known.takes == "scene" and known.makes in ("file", "run")
        row = row_of(
            scene.name,
            scene.asked.source,
            str(output),
            outcome,
            quality=known.quality,
            bytes_before=scene_size(scene.asked.source) if smaller else None,
            threads=task.cost.threads,
        )
        self._rows[scene.name] = row
        self._failed += row.status != FINISHED
        self._journal.ended(scene.name, replace(standing.entry, output=fingerprint(output), row=row))

    def _tell(self, progress: Progress | None) -> None:
        if progress is not None:
            progress(len(self._rows), len(self._names), {"failed": self._failed} if self._failed else {})


def _cost(scene: Scene, sized: Workers) -> Cost:
    threads = getattr(scene.parsed, "threads", None) or sized.threads
    return Cost(threads, sized.memory, 1.0 if _wants_card(scene) else 0.0)


def _wants_card(scene: Scene) -> bool:
    parsed = scene.parsed
    return getattr(parsed, "device", None) == "cuda" or getattr(parsed, "engine", None) == "gsplat"


def _sized(batch: Batch, left: Sequence[Standing], workers: int | None) -> Workers:
    """The workers for what is left."""
    threads = [count for standing in left if (count := getattr(standing.scene.parsed, "threads", None)) is not None]
    card = any(_wants_card(standing.scene) for standing in left)
    needed = 0 if workers is not None else max((_memory(standing.scene, batch) for standing in left), default=0)
    return workers_for(needed, tasks=len(left), workers=workers, threads=max(threads) if threads else None, card=card)


def _memory(scene: Scene, batch: Batch) -> int:
    general = getattr(scene.parsed, "capture", None)
    capture = scene.asked.capture or (None if general is None else str(general))
    downscale = getattr(scene.parsed, "downscale", None) or 1
    return memory_of(batch.known, scene.asked.source, capture, downscale)
