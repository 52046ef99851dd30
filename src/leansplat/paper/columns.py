"""`Column`: scores by variant, of a capture of ours or of a dataset in the paper.

Tables, curves and claims are functions of a column, so that the same formula reads our numbers and the published ones.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from leansplat.datasets import DATASETS as SCENES
from leansplat.datasets import PAPER
from leansplat.paper.plan import GAMMAS
from leansplat.paper.published import DATASETS, TABLE_1, TABLE_2
from leansplat.paper.results import Results, at_size
from leansplat.paper.scores import Score

Measure = Literal["psnr", "ssim", "lpips"]


@dataclass(frozen=True)
class Column:
    """What is known of a capture or of a dataset.

    Args:
        title: what stands above its numbers.
        scores: the scores by variant; a variant that is missing was not run.
        published: whether the numbers are the paper's.
    """

    title: str
    scores: Mapping[str, Score]
    published: bool = False

    def curve(self, variants: Sequence[str], measure: Measure = "psnr") -> list[tuple[float, float]]:
        """(MB, value) of those of the variants that have both."""
        points = [
            (score.megabytes, getattr(score, measure))
            for score in (self.scores.get(variant) for variant in variants)
            if score is not None
        ]
        return [(size, value) for size, value in points if value is not None and math.isfinite(value)]

    def numbered(self, start: str) -> list[str]:
        """Variants whose name is `start`, a dash and a number, by ascending number."""
        numbers = {
            name: _number(name.removeprefix(f"{start}-")) for name in self.scores if name.startswith(f"{start}-")
        }
        return [name for _, name in sorted((number, name) for name, number in numbers.items() if number is not None)]

    def psnr_at(self, variants: Sequence[str], megabytes: float) -> float | None:
        """PSNR of the curve through some variants at a size; None beyond its ends."""
        return at_size(self.curve(variants), megabytes)


def rows_of(rule: str) -> list[str]:
    """Variants of Table 1 by a rule: "gradient", "opacity", or "stale", which has the gammas of "gradient"."""
    return [f"{rule}-{gamma:g}" for gamma in GAMMAS["gradient" if rule == "stale" else rule]]


def our_columns(results: Results) -> list[Column]:
    """A column per capture, then one with the means of each dataset of the paper whose scenes are all captures here."""
    columns = []
    scores: dict[str, dict[str, Score]] = {}
    for capture in results.captures:
        variants = dict.fromkeys(job["variant"] for job in results.jobs if job["capture"] == capture)
        found = results.some(capture, list(variants))
        scores[capture] = {variant: result.score for variant, result in found.items()}
        columns.append(Column(capture, scores[capture]))
    for dataset in (SCENES[name] for name in PAPER):
        scenes = [scene.name for scene in dataset.scenes]
        if all(scene in scores for scene in scenes):
            shared = [variant for variant in scores[scenes[0]] if all(variant in scores[scene] for scene in scenes)]
            means = {variant: _mean([scores[scene][variant] for scene in scenes]) for variant in shared}
            columns.append(Column(f"{dataset.title}, mean of {len(scenes)} scenes", means))
    return columns


def published_columns() -> list[Column]:
    """A column per dataset in the paper's tables; where both tables have a row of a name, it is that of Table 1."""
    rows = {**TABLE_2, **TABLE_1}
    return [
        Column(f"{dataset} (paper)", {variant: row.scores[dataset] for variant, row in rows.items()}, published=True)
        for dataset in DATASETS
    ]


def _mean(scores: Sequence[Score]) -> Score:
    distances = [score.lpips for score in scores if score.lpips is not None]
    return Score(
        statistics.fmean(score.ssim for score in scores),
        statistics.fmean(score.psnr for score in scores),
        statistics.fmean(distances) if len(distances) == len(scores) else None,
        statistics.fmean(score.megabytes for score in scores),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
