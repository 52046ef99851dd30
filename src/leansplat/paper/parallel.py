"""`run_sweep_at_once`: the jobs of a plan in processes, as many at once as there is room for, in a sweep's folder.

Each process runs `leansplat paper job`, and leaves in the job's folder what `run_sweep` would leave there. A job begins
when those it needs are finished, so trimmings of one baseline go side by side once that is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from leansplat.batch import FAILED, Cost, Executor, Task, outcomes
from leansplat.files import clear_abandoned
from leansplat.locks import alone_in
from leansplat.paper.gathering import FINISHED, failure_of, record_failure, write_results
from leansplat.paper.jobs import Job, Plan
from leansplat.paper.sweep import by_capture, remember
from leansplat.progress import Progress


def run_sweep_at_once(
    folder: Path, wanted: Plan | None, executor: Executor, *, threads: int, progress: Progress | None = None
) -> dict[str, Any]:
    """As `sweep.run_sweep`, but for what works on the jobs.

    Args:
        folder: the folder of the sweep, which every process that works on a job must see by this name.
        wanted: see `run_sweep`.
        executor: what works on them.
        threads: of each job.
        progress: told of the jobs that are done.

    Raises:
        InputError, RunError: as `run_sweep` does.
    """
    plan = remember(folder, wanted)
    jobs = {job.name: job for job in by_capture((wanted or plan).jobs)}
    with ExitStack() as alone:
        for capture in dict.fromkeys(job.capture for job in jobs.values()):
            alone.enter_context(alone_in(folder / "jobs" / capture))
        for place in (folder, folder / "photos"):
            clear_abandoned(place)
        return _run(folder, jobs, executor, threads, progress)


def _run(
    folder: Path, jobs: Mapping[str, Job], executor: Executor, threads: int, progress: Progress | None
) -> dict[str, Any]:
    results = write_results(folder)
    finished = {entry["name"] for entry in results["jobs"] if entry["status"] == FINISHED}
    done, failed = len(finished & set(jobs)), 0
    with executor:
        for task, outcome in outcomes(_tasks(folder, jobs, finished, threads), executor):
            if outcome.status == FAILED and failure_of(folder, jobs[task.name]) is None:
                record_failure(folder, jobs[task.name], outcome.sentence, f"{task.log} has what it said.\n")
            results = write_results(folder)
            done, failed = done + 1, failed + (outcome.status != FINISHED)
            if progress is not None:
                progress(done, len(jobs), {"failed": failed} if failed else {})
    return results


def _tasks(folder: Path, jobs: Mapping[str, Job], finished: set[str], threads: int) -> Iterator[Task]:
    for job in jobs.values():
        if job.name not in finished:
            yield Task(
                name=job.name,
                command=("paper", "job", job.name, "-o", str(folder)),
                log=str(folder / "logs" / f"{job.name}.log"),
                cost=Cost(threads),
                needs=tuple(name for name in job.needs if name not in finished),
            )
