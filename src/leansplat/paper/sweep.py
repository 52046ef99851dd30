"""`run_sweep`: runs the jobs of a plan, one after the other, in a folder that remembers all of them.

    plan.json       every job ever asked for here
    jobs/NAME/      a run folder for each job; one that could not be run has failure.txt with the reason and traceback
    photos/         the photo of each capture that pictures are compared with
    results.json    gathered from the jobs' folders after every job

Whether a job is finished is read from its folder alone, so a sweep that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.captures import Capture
from leansplat.errors import CaptureError, InputError, LeansplatError
from leansplat.files import clear_abandoned
from leansplat.locks import alone_in
from leansplat.paper.gathering import (
    FINISHED,
    clear_failure,
    gather,
    job_folder,
    photo_path,
    record_failure,
    write_results,
)
from leansplat.paper.jobs import Job, Plan, open_plan, read_plan, write_plan
from leansplat.paper.kinds import KINDS, Task
from leansplat.paper.measure import measure, pictured
from leansplat.paper.pace import seconds_left
from leansplat.paper.plan import CHECKPOINT_KEPT
from leansplat.paper.sources import Source, load_source
from leansplat.pictures import cut_out, write_png
from leansplat.progress import Progress
from leansplat.runs import Run, open_run

_PLAN_SECONDS = 10.0
"""How long to wait for another process that is writing the plan."""

_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class Standing:
    """Where a sweep stands when it starts a job.

    Args:
        job: the one that starts.
        number, total: it is the `number`-th of `total` jobs of this sitting, finished ones included.
        left: how many are to be run after it.
        seconds_left: how long this one and those after it will take; None where nothing is known yet.
    """

    job: Job
    number: int
    total: int
    left: int
    seconds_left: float | None


Begin = Callable[[Standing], Progress | None]
"""Called before a job starts; what it returns is told about the job's steps."""


def run_sweep(
    folder: Path,
    wanted: Plan | None = None,
    *,
    begin: Begin | None = None,
    load: Callable[[Source], Capture] = load_source,
) -> dict[str, Any]:
    """Run what is wanted and not finished yet; returns the results, as results.json holds them.

    A job that fails is recorded and tried again by the next sweep; jobs that need it are left out.

    Args:
        folder: the folder of the sweep; it is made if needed. Several processes may run jobs in it, each those of other
            captures.
        wanted: the jobs to add to the folder's plan and to run; None runs everything in that plan.
        begin: see `Begin`.
        load: loads captures, each when its first job starts.

    Raises:
        InputError: there is no plan, it contradicts what is wanted, or the folder cannot be written.
        RunError: another process runs jobs of one of the captures.
    """
    plan = remember(folder, wanted)
    jobs = by_capture((wanted or plan).jobs)
    with ExitStack() as alone:
        for capture in dict.fromkeys(job.capture for job in jobs):
            alone.enter_context(alone_in(folder / "jobs" / capture))
        for place in (folder, folder / "photos"):
            clear_abandoned(place)
        return _run_jobs(folder, jobs, plan, begin, load)


def _run_jobs(
    folder: Path, jobs: Sequence[Job], plan: Plan, begin: Begin | None, load: Callable[[Source], Capture]
) -> dict[str, Any]:
    """`run_sweep`, while nobody else runs jobs of these captures."""
    captures = _Captures(plan, folder, load)
    results = write_results(folder)
    for number, job in enumerate(jobs, start=1):
        seconds = {entry["name"]: entry["seconds"] for entry in results["jobs"] if entry["status"] == FINISHED}
        if job.name in seconds:
            _drop_checkpoints(open_run(job_folder(folder, job.name)), job)
            continue
        if not all(name in seconds for name in job.needs):
            continue
        progress = None
        if begin is not None:
            waiting = [later for later in jobs[number - 1 :] if later.name not in seconds]
            finished = [(other, seconds[other.name]) for other in plan.jobs if other.name in seconds]
            progress = begin(Standing(job, number, len(jobs), len(waiting) - 1, seconds_left(waiting, finished)))
        _run(folder, job, captures, progress)
        results = write_results(folder)
    return results


def remember(folder: Path, wanted: Plan | None) -> Plan:
    """The folder's plan with what is wanted."""
    if wanted is None:
        return open_plan(folder)
    with alone_in(folder, wait=_PLAN_SECONDS):  # others that add to it do so before or after
        before = read_plan(folder)
        plan = wanted if before is None else before.extended(wanted, folder)
        try:
            (folder / "jobs").mkdir(parents=True, exist_ok=True)
            (folder / "photos").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be used for a sweep ({error.strerror}); choose another one") from error
        write_plan(plan, folder)
        return plan


class _Captures:
    """Captures by name; the last one stays in memory."""

    def __init__(self, plan: Plan, folder: Path, load: Callable[[Source], Capture]) -> None:
        self._plan, self._folder, self._load = plan, folder, load
        self._name = ""
        self._capture: Capture | None = None

    def source(self, name: str) -> dict[str, Any]:
        """Where a capture is from and how it is loaded, as a run records it."""
        source = self._plan.source(name)
        return {"capture": source.folder, "downscale": source.downscale, "background": source.background}

    def get(self, name: str) -> Capture:
        if self._capture is None or self._name != name:
            self._capture = None
            capture = self._load(self._plan.source(name))
            if not capture.test:
                raise CaptureError(f"capture {name} holds no photo out, so nothing can be measured; check its split")
            for warning in capture.warnings:
                _log.warning("%s", warning)
            write_png(cut_out(pictured(capture)), photo_path(self._folder, name), overwrite=True)
            self._name, self._capture = name, capture
        return self._capture


def _run(folder: Path, job: Job, captures: _Captures, progress: Progress | None) -> None:
    """Run a job to its end; what goes wrong is recorded in its folder.

    Raises:
        RunError: somebody else is at work in its folder.
    """
    with alone_in(job_folder(folder, job.name)):
        clear_abandoned(job_folder(folder, job.name))
        clear_failure(folder, job)
        _run_or_record(folder, job, captures, progress)


def run_job(folder: Path, name: str, *, load: Callable[[Source], Capture] = load_source) -> bool:
    """Run one job of the folder's plan here, unless it is finished; what goes wrong is recorded in its folder.

    Args:
        folder: of the sweep. Other processes may run other jobs in it, and one that gathers results.json.
        name: of the job.
        load: loads its capture.

    Returns:
        Whether it was run, and not finished before.

    Raises:
        InputError: there is no such job, or one that it needs is not finished.
        RunError: another process runs it.
    """
    plan = open_plan(folder)
    entries = {entry["name"]: entry for entry in gather(folder, plan)["jobs"]}
    job = next((job for job in plan.jobs if job.name == name), None)
    if job is None:
        raise InputError(f"{folder} has no job {name}; plan.json lists those that there are")
    if entries[name]["status"] == FINISHED:
        return False
    missing = [other for other in job.needs if entries[other]["status"] != FINISHED]
    if missing:
        raise InputError(f"{name} needs {missing[0]}, which is not finished; run that first")
    _run(folder, job, _Captures(plan, folder, load), None)
    return True


def _run_or_record(folder: Path, job: Job, captures: _Captures, progress: Progress | None) -> None:
    try:
        capture = captures.get(job.capture)
        camera = pictured(capture).camera
        settings = {
            **captures.source(job.capture),
            "job": job.to_json(),
            "photos": {
                "train": len(capture.train),
                "test": len(capture.test),
                "width": camera.width,
                "height": camera.height,
            },
        }
        task = Task(job, folder / "jobs", capture, settings, progress)
        file = KINDS[job.kind].run(task)
        run = open_run(task.folder)
        measure(run, file, capture)
        _drop_checkpoints(run, job)
    except Exception as error:
        reason = str(error) if isinstance(error, LeansplatError) else f"{type(error).__name__}: {error}"
        record_failure(folder, job, reason, traceback.format_exc())


def _drop_checkpoints(run: Run, job: Job) -> None:
    """Delete the checkpoints of a finished job that no other starts from: they are most of a sweep's size."""
    steps = run.checkpoints()
    for step in steps[:-1] if job.variant in CHECKPOINT_KEPT else steps:
        run.checkpoint_path(step).unlink(missing_ok=True)


def by_capture(jobs: Sequence[Job]) -> list[Job]:
    """Jobs in their order, those of one capture together."""
    order = list(dict.fromkeys(job.capture for job in jobs))
    return sorted(jobs, key=lambda job: order.index(job.capture))
