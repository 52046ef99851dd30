"""`gather`: what a sweep has found so far, read from the folders of its jobs into one JSON value.

A job is finished when its folder has a metrics.json, which is written last, and a config.json that records this very
job; failed when it has a failure.txt; skipped when a job it needs failed; waiting otherwise.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.files import replacing, write_json
from leansplat.paper.jobs import Job, Plan, open_plan
from leansplat.runs import Run, open_run

FORMAT = "leansplat-paper-results-1"
"""Name and version of what results.json holds."""

FINISHED, FAILED, SKIPPED, WAITING = "finished", "failed", "skipped", "waiting"
"""What `status` of a job can be."""

_ROUND = ("round", "asked", "before", "removed", "kept", "sparsity", "sparsity_predicted", "unseen", "unseen_removed")


def job_folder(folder: Path, name: str) -> Path:
    """The run folder of the job called `name` in the sweep in `folder`."""
    return folder / "jobs" / name


def picture_path(run_folder: Path) -> Path:
    """Where the render of the pictured view is in the run folder of a finished job."""
    return Run(run_folder, {}).picture_path


def photo_path(folder: Path, capture: str) -> Path:
    """Where the photo is that pictures of a capture are compared with."""
    return folder / "photos" / f"{capture}.png"


def results_path(folder: Path) -> Path:
    """Where `write_results` writes."""
    return folder / "results.json"


def write_results(folder: Path) -> dict[str, Any]:
    """Gather results.json for the folder's plan, replacing the one that is there; returns what it holds.

    Raises:
        InputError: there is no plan, or it is damaged.
    """
    # Read every time, because another process may have added its captures.
    results = gather(folder, open_plan(folder))
    write_json(results_path(folder), results, overwrite=True)
    return results


def gather(folder: Path, plan: Plan) -> dict[str, Any]:
    """What the folders of the plan's jobs hold.

    Returns:
        "format"; "scale"; "captures", each with "name", "downscale", "background" and "photos"; "jobs", each with what
        `Job.to_json` has, "status", "reason" (None unless failed or skipped), and "metrics" (see `measure`),
        "seconds" (of training), "threads", "versions" and "rounds", which are None unless it is finished.
    """
    entries: dict[str, dict[str, Any]] = {}
    photos: dict[str, Any] = {}
    for job in plan.jobs:
        entries[job.name] = _entry(folder, job, entries)
        if job.capture not in photos and entries[job.name]["status"] == FINISHED:
            photos[job.capture] = open_run(job_folder(folder, job.name)).config["settings"]["photos"]
    captures = [
        {
            "name": source.name,
            "downscale": source.downscale,
            "background": source.background,
            "photos": photos.get(source.name),
        }
        for source in plan.sources
    ]
    return {"format": FORMAT, "scale": plan.scale, "captures": captures, "jobs": list(entries.values())}


def record_failure(folder: Path, job: Job, reason: str, details: str) -> None:
    """Write failure.txt: the reason on a line, then `details`."""
    path = _failure_path(folder, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as file:
        file.write(f"{' '.join(reason.split())}\n\n{details}".encode())


def failure_of(folder: Path, job: Job) -> str | None:
    """Why a job failed the last time, None where it has not."""
    path = _failure_path(folder, job)
    return path.read_text(encoding="utf-8").partition("\n")[0] if path.exists() else None


def clear_failure(folder: Path, job: Job) -> None:
    """Forget an earlier failure."""
    _failure_path(folder, job).unlink(missing_ok=True)


def _entry(folder: Path, job: Job, before: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(("metrics", "seconds", "threads", "versions", "rounds"))
    reason = None
    broken = [name for name in job.needs if name in before and before[name]["status"] in (FAILED, SKIPPED)]
    if finished := _finished(folder, job):
        run, metrics = finished
        events = run.events()
        status = FINISHED
        found = {
            "metrics": metrics,
            "seconds": next((event["seconds"] for event in reversed(events) if "seconds" in event), 0.0),
            "threads": run.config["threads"],
            "versions": run.config["versions"],
            "rounds": [{name: event.get(name) for name in _ROUND} for event in events if event["event"] == "round"],
        }
    elif (failure := failure_of(folder, job)) is not None:
        status, reason = FAILED, failure
    elif broken:
        status, reason = SKIPPED, f"it needs {broken[0]}, which was not run to its end"
    else:
        status = WAITING
    return {**job.to_json(), "status": status, "reason": reason, **found}


def _finished(folder: Path, job: Job) -> tuple[Run, dict[str, Any]] | None:
    with suppress(InputError, OSError, ValueError):
        run = open_run(job_folder(folder, job.name))
        metrics = json.loads(run.metrics_path.read_text(encoding="utf-8"))
        if run.config["settings"].get("job") == job.to_json() and isinstance(metrics, dict):
            return run, metrics
    return None


def _failure_path(folder: Path, job: Job) -> Path:
    return job_folder(folder, job.name) / "failure.txt"
