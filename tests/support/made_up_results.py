"""Results of a sweep that never ran: every job finished, with numbers that are easy to tell apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leansplat.paper.gathering import FORMAT, job_folder, photo_path, picture_path
from leansplat.paper.jobs import Job
from leansplat.paper.plan import EXPERIMENTS, make_plan
from leansplat.paper.published import TABLE_1
from leansplat.paper.scores import Score
from leansplat.paper.sources import Source

DATASET = "Mip-NeRF360"


def published_or_numbered(job: Job, number: int) -> Score:
    """The paper's numbers on Mip-NeRF360 where it has the row, else numbers that no other job has."""
    row = TABLE_1.get(job.variant)
    if row is not None:
        return row.scores[DATASET]
    return Score(0.5 + number / 1000, 20 + number / 100, 0.3 + number / 1000, 100.0 + number)


def made_up_results(
    captures: Sequence[str] = ("fox",),
    experiments: Sequence[str] = tuple(EXPERIMENTS),
    *,
    seeds: Sequence[int] = (1,),
    scale: float = 1.0,
    score: Callable[[Job, int], Score] = published_or_numbered,
    status: Mapping[str, tuple[str, str | None]] | None = None,
) -> dict[str, Any]:
    """What results.json of such a sweep holds.

    Args:
        score: of a job and its number in the plan.
        status: status and reason of jobs that are not finished, by name.
    """
    plan = make_plan([Source(name, "synthetic") for name in captures], experiments, scale=scale, seeds=seeds)
    jobs = []
    for number, job in enumerate(plan.jobs):
        state, reason = (status or {}).get(job.name, ("finished", None))
        entry: dict[str, Any] = {**job.to_json(), "status": state, "reason": reason}
        entry |= dict.fromkeys(("metrics", "seconds", "threads", "versions", "rounds"))
        if state == "finished":
            entry |= finished(job, score(job, number))
        jobs.append(entry)
    photos = {"train": 43, "test": 7, "width": 270, "height": 480}
    sources = [{"name": name, "downscale": 4, "background": "black", "photos": photos} for name in captures]
    return {"format": FORMAT, "scale": scale, "captures": sources, "jobs": jobs}


def finished(job: Job, score: Score) -> dict[str, Any]:
    metrics = {
        "psnr": score.psnr,
        "ssim": score.ssim,
        "lpips": score.lpips,
        "lpips_net": "vgg, [0,1]",
        "lpips_reason": None,
        "gaussians": round(score.megabytes * 1e6 / 248),
        "bytes": round(score.megabytes * 1e6),
        "fps": 2000 / score.megabytes,
        "views": [{"name": "0042.jpg", "psnr": score.psnr - 1, "ssim": score.ssim, "lpips": score.lpips}],
        "opacity_histogram": [640 - 10 * index for index in range(64)],
        "pictured": "0042.jpg",
        "processor": "abacus",
    }
    rounds = []
    if "gamma" in job.settings:
        gamma, left = job.settings["gamma"], 1000
        for number in range(1, 11):
            rounds.append(
                {
                    "round": number,
                    "asked": {"gamma": gamma},
                    "before": left,
                    "removed": left // 10,
                    "kept": left - left // 10,
                    "sparsity": 1 - (left - left // 10) / 1000,
                    "sparsity_predicted": 1 - (1 - gamma) ** number,
                }
            )
            left -= left // 10
    return {"metrics": metrics, "seconds": 60.0, "threads": 2, "versions": {}, "rounds": rounds}


def write(results: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def write_pictures(results: Mapping[str, Any], folder: Path, shape: tuple[int, int] = (40, 50)) -> None:
    """A grey photo a capture, and renders that differ from it by noise, which is strongest at rows 20 to 35, columns
    5 to 20 of the strongest pruning."""
    random = np.random.default_rng(0)
    photo = np.full((*shape, 3), 128, np.uint8)
    for job in results["jobs"]:
        path = photo_path(folder, job["capture"])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
        picture = picture_path(job_folder(folder, job["name"]))
        picture.parent.mkdir(parents=True, exist_ok=True)
        render = photo + random.integers(0, 5, photo.shape).astype(np.uint8)
        if job["variant"] == "gradient-0.6":
            render[20:36, 5:21] += random.integers(60, 100, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(render).save(picture)
