"""Quality at a fixed number of Gaussians: trained straight to it, against trained by the published recipe and trimmed.

This makes no rows of its own: those of the lean recipe are made by time_to_quality.py, the others by
trimming_defaults.py, which says how the scenes were trained that they trim. results_page.py writes the section of
docs/results.md.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from time_to_quality import AS_LONG, AT_PERCENT, COMMAND, PUBLISHED_STEPS, RESULT, SEEDS, STEPS, seconds_of, table

PAPER = "the paper's rule"
TRIMMED = {PAPER: "paper", "GaussianPOP": "default without pressure", "opacity pressure": "default"}
"""Rules of trimming by what trimming_defaults.py calls them."""
LEAN = {steps: f"lean, {steps:,} steps" for steps in (STEPS, *sorted(AS_LONG.values()))}
MEASURES = (("psnr", 2), ("ssim", 4), ("lpips", 4))

Rows = Mapping[str, Mapping[str, Any]]


def found(percent: int, name: str, lean: Rows, trimmed: Rows) -> dict[str, Mapping[str, Any]]:
    """The rows that there are of a capture at a share, by what made them."""
    count = AT_PERCENT[percent][name]
    other = "built-in" if name == "synthetic" else name
    keys = {rule: f"{other}/{key}/{percent}" for rule, key in TRIMMED.items()}
    rows = {rule: trimmed[key] for rule, key in keys.items() if key in trimmed}
    keys = {label: f"{name}/lean/{count}/{steps}" for steps, label in LEAN.items()}
    return {**rows, **{label: lean[key] for label, key in keys.items() if key in lean}}


def over(row: Mapping[str, Any], control: Mapping[str, Any]) -> list[float]:
    return [row[name] - control[name] for name, _ in MEASURES]


def signed(values: Sequence[float]) -> list[str]:
    return [f"{value:+.{digits}f}" for value, (_, digits) in zip(values, MEASURES, strict=True)]


def section() -> str:
    """All of it as Markdown."""
    lean: Rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    trimmed: Rows = json.loads((RESULT.parent / "trimming_defaults.json").read_text(encoding="utf-8"))["rows"]
    means: list[list[str]] = []
    single: list[list[str]] = []
    for percent, counts in AT_PERCENT.items():
        rows = {name: found(percent, name, lean, trimmed) for name in counts}
        for what in (*TRIMMED, *LEAN.values()):
            both = [each for each in rows.values() if what in each and PAPER in each]
            if both and what != PAPER:
                gains = [over(each[what], each[PAPER]) for each in both]
                mean = [statistics.mean(values) for values in zip(*gains, strict=True)]
                means.append([f"{percent} %", what, *signed(mean), str(len(both))])
        for name, count in counts.items():
            for what, row in rows[name].items():
                values = [f"{row[key]:.{digits}f}" for key, digits in MEASURES]
                single.append([f"{percent} %", name, f"{count:,}", what, *values, seconds_of(row)])
    measures = ["PSNR", "SSIM", "LPIPS"]
    return f"""## Quality at a fixed count

    {COMMAND}
    python benchmarks/trimming_defaults.py --bases BASES

Scenes trained by the published recipe in 10,000 steps (the built-in one in 3,000) and trimmed to a share of their
Gaussians in 1,500 more, and scenes that the lean recipe trained straight to as many. These are the differences to
trimming by the paper's rule, as means over captures; in LPIPS less is better. GaussianPOP is trimmed by at the default
pace, and opacity pressure is what `trim` adds to that by default.
At 25 % only two bases were trimmed by the paper's rule; against trimming by default, the lean recipe's 5,000 steps are
behind in PSNR there on all six captures, as the table of single scenes shows.

{times(lean)}

{table(["kept", "how", *measures, "captures"], means)}

{seeds(lean, trimmed)}

These are the single scenes. Each was measured once; processor time of trimming is without that of the training before
it, and left out where a scene was made on a slower machine than the others.

{table(["kept", "capture", "Gaussians", "how", *measures, "processor time"], single)}
"""


def times(lean: Rows) -> str:
    """How long the longer trainings of the lean recipe take beside the published one, where schedules.json has it."""
    made = json.loads((RESULT.parent / "schedules.json").read_text(encoding="utf-8"))["rows"]
    published = {
        row["capture"].removesuffix("_building"): row["processor_seconds"]
        for row in made
        if row["iterations"] == PUBLISHED_STEPS[-1] and row["rule"] == "as scaled"
    }
    found = []
    for percent, steps in AS_LONG.items():
        pairs = [
            f"{name} {lean[key]['processor_seconds']:.0f} s instead of {published[name]:.0f}"
            for name, count in AT_PERCENT[percent].items()
            if (key := f"{name}/lean/{count}/{steps}") in lean and "host" not in lean[key] and name in published
        ]
        found.append(f"{steps:,} steps to {percent} %: {', '.join(pairs)}.")
    return (
        "Processor time of the longer lean trainings, beside the published recipe's 10,000 steps without the\n"
        "trimming, where both were measured (benchmarks/schedules.py), on different days:\n\n- " + "\n- ".join(found)
    )


def seeds(lean: Rows, trimmed: Rows) -> str:
    """How far the lean recipe's results differ by the seed."""
    lines = []
    gains: list[list[float]] = []
    for name, count in AT_PERCENT[10].items():
        names = ["lean", *(f"lean, seed {seed}" for seed in SEEDS)]
        keys = [f"{name}/{each}/{count}/{STEPS}" for each in names]
        rows = [lean[key] for key in keys if key in lean]
        control = found(10, name, lean, trimmed).get(PAPER)
        if len(rows) < len(names) or control is None:
            continue
        cells = []
        for key, digits in MEASURES:
            values = [row[key] for row in rows]
            cells.append(f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}")
        mean = [statistics.mean(values) for values in zip(*(over(row, control) for row in rows), strict=True)]
        gains.append(mean)
        lines.append([name, *cells, *signed(mean)])
    if not lines:
        return ""
    overall = [statistics.mean(values) for values in zip(*gains, strict=True)]
    lines.append(["mean", "", "", "", *signed(overall)])
    head = ["capture", "PSNR", "SSIM", "LPIPS", "PSNR over the paper's", "SSIM", "LPIPS"]
    return f"""At 10 % the lean recipe was run with three seeds, in {STEPS:,} steps: mean and standard deviation,
and how far the mean is over trimming by the paper's rule, whose scenes have one seed. The rows above have the first
seed alone, and seeds of tumbler and fruit differ by half a dB and more:

{table(head, lines)}"""
