"""`Results`: what results.json of a sweep holds, by capture and variant, with the few formulas that reports share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.paper.gathering import FINISHED, FORMAT, results_path
from leansplat.paper.scores import Score


@dataclass(frozen=True)
class Result:
    """A finished job.

    Args:
        values: the job's entry in results.json.
    """

    values: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What the job's metrics.json holds."""
        metrics: Mapping[str, Any] = self.values["metrics"]
        return metrics

    @property
    def score(self) -> Score:
        """Quality and size."""
        # A perfect render has an infinite PSNR, which JSON holds as null.
        psnr = math.inf if self.metrics["psnr"] is None else self.metrics["psnr"]
        return Score(self.metrics["ssim"], psnr, self.metrics["lpips"], self.metrics["bytes"] / 1e6)

    @property
    def gaussians(self) -> int:
        return int(self.metrics["gaussians"])

    def view_psnr(self, name: str) -> float | None:
        """PSNR of one held-out view."""
        return next((view["psnr"] for view in self.metrics["views"] if view["name"] == name), None)


@dataclass(frozen=True)
class Results:
    """Everything a sweep has found.

    Args:
        folder: where results.json is; the folders of the jobs may be missing there.
        values: what it holds; see `paper.gathering.gather`.
    """

    folder: Path
    values: Mapping[str, Any]

    @property
    def captures(self) -> list[str]:
        """Names of the captures, in the order they were given."""
        return [capture["name"] for capture in self.values["captures"]]

    @property
    def scale(self) -> float:
        """Length of the schedules in units of the paper's."""
        return float(self.values["scale"])

    @property
    def schedule(self) -> str:
        """A sentence that says how long the schedules were."""
        if self.scale == 1:
            return "All schedules are as long as the paper's."
        return f"All schedules are {self.scale:g} times as long as the paper's."

    @property
    def jobs(self) -> list[Mapping[str, Any]]:
        """Every job, finished or not."""
        return list(self.values["jobs"])

    def all_of(self, capture: str, variant: str) -> list[Result]:
        """The finished jobs of a variant, one per seed, in the order they were asked for."""
        return [
            Result(job)
            for job in self.jobs
            if (job["capture"], job["variant"], job["status"]) == (capture, variant, FINISHED)
        ]

    def find(self, capture: str, variant: str) -> Result | None:
        """The job of a variant with the first seed; None while it is not finished."""
        for job in self.jobs:
            if job["capture"] == capture and job["variant"] == variant:
                return Result(job) if job["status"] == FINISHED else None
        return None

    def some(self, capture: str, variants: Sequence[str]) -> dict[str, Result]:
        """Those of the variants that are finished, in their order."""
        found = {variant: self.find(capture, variant) for variant in variants}
        return {variant: result for variant, result in found.items() if result is not None}


def read_results(folder: Path) -> Results:
    """Read results.json of a sweep.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = results_path(folder)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}")
        results = Results(folder, values)
        _ = (results.captures, results.scale, [job["status"] for job in results.jobs])
        return results
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; run `leansplat paper run` into this folder first") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); `leansplat paper run -o {folder}` writes it again") from error


def at_size(curve: Sequence[tuple[float, float]], megabytes: float) -> float | None:
    """A curve of (MB, value) read at a size, linearly in the logarithm of the size; None beyond its ends."""
    points = sorted(curve)
    for (low, first), (high, last) in pairwise(points):
        if low <= megabytes <= high:
            share = 0.0 if high == low else math.log(megabytes / low) / math.log(high / low)
            return first + share * (last - first)
    return None
