"""How quickly photos become a scene of how much quality, by the published recipe and by the lean one, part by part.

Every row is one training: its capture, its recipe or the one part of the lean recipe that is different, its Gaussians
and its steps; and what came of it on the photos held out, in how many seconds, of which those spent on measuring are
left out. `curve` is held-out PSNR along the way, at twenty moments of the training, for rows that are drawn. Rows with
a `host` (--host) were made on another machine than those without, with which their times are not compared.

    leansplat download fox -o data/captures
    leansplat download chair -o data/captures
    python benchmarks/time_to_quality.py --data data
    python benchmarks/time_to_quality.py --data data --only fox/lean south
    python benchmarks/time_to_quality.py --draw

A capture that is not in the folder is left out; `trained_scenes.py` has their names. It prints a line for each row and
adds it to benchmarks/results/time_to_quality.json, where what is there is not made again, and draws
docs/pictures/time_to_quality.svg. "tried" are parts that did not pay, with the control of their time: their
code is gone, and they cannot be made again. docs/training.md has the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from textwrap import fill
from typing import Any

from trained_scenes import CAPTURES

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.captures.synthetic import synthetic_capture
from leansplat.evaluation import evaluate
from leansplat.files import replacing, write_json
from leansplat.progress_bar import ProgressBar
from leansplat.report.plots import Line, Panel, draw_lines, nth_look
from leansplat.scoring import mean_score, view_scores
from leansplat.training import TrainingConfig, TrainingState, lean, train
from leansplat.training.strategies import BudgetTraining

RESULT = Path(__file__).parent / "results" / "time_to_quality.json"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "time_to_quality.svg"
COMMAND = "python benchmarks/time_to_quality.py --data data"
MOMENTS = 20
"""Measurements along a training."""
AFTER_ROUNDS = 0.8
"""Share of a training by the lean recipe after which the number of Gaussians does not change."""

COUNTS = {
    "fox": (28_700, 17_111),
    "synthetic": (6_956,),
    "south": (18_436,),
    "chair": (25_000, 5_636),
    "tumbler": (14_977,),
    "fruit": (13_508,),
}
"""Gaussians by capture; the last is a tenth of what the published recipe makes in 10,000 steps (the built-in capture:
3,000), as in trimming_defaults.json."""

AT_PERCENT = {
    5: {"fox": 8_555, "synthetic": 3_478, "south": 9_218, "chair": 2_818, "tumbler": 7_488, "fruit": 6_754},
    10: {name: counts[-1] for name, counts in COUNTS.items()},
    25: {"fox": 42_777, "synthetic": 17_390, "south": 46_091, "chair": 14_091, "tumbler": 37_442, "fruit": 33_769},
}
"""Gaussians by the share of what the published recipe makes, and capture."""
WITHOUT_POINTS = ("chair", "fruit")
"""Captures that have no points to start from."""
SEEDS = (1, 2)
"""Besides 0, at 10 %."""
STEPS = 5000
"""Of the lean recipe where parts are compared; it has twice as many unless others are asked for."""

AS_LONG = {5: 15_000, 10: 10_000}
"""Steps of the lean recipe by the share, for a comparison at about equal time: `fixed_count.times` has both."""

PARTS: dict[str, dict[str, Any]] = {
    "photos of full size from the start": {"reduced_steps": 0},
    "no peak": {"peak": 1.0},
    "nothing swapped": {"swapped": 0.0},
    "SSIM weighed as published": {"ssim_weight": 0.2},
    "one round": {"rounds": 1},
    "positions end at the published rate": {"position_rate_final": 1.6e-6},
}
"""What is different in settings of `TrainingConfig` or `BudgetTraining`, without one part at a time."""
IN_PLOT = dict(zip(PARTS, ("full size", "no peak", "no swap", "SSIM 0.2", "one round", "end rate"), strict=True))
"""What parts are called where there is little room."""
TRIED_ON = ("synthetic", "south")
DRAWN = ("fox", "synthetic", "south")
PUBLISHED_STEPS = (3000, 10_000)
LONGER = (("chair", 15_000), ("fox", 10_000))


def jobs() -> Iterator[tuple[str, str, int, int, TrainingConfig]]:
    """Capture, recipe or part, Gaussians (0 for as many as there will be), steps and settings of each row."""
    for name, counts in COUNTS.items():
        for count in counts:
            yield name, "lean", count, STEPS, lean(count, STEPS)
    for name, steps in LONGER:
        for count in COUNTS[name]:
            yield name, "lean", count, steps, lean(count, steps, points=name not in WITHOUT_POINTS)
    for name, count in AT_PERCENT[5].items():
        yield name, "lean", count, STEPS, lean(count, STEPS)
    for percent, steps in AS_LONG.items():
        for name, count in AT_PERCENT[percent].items():
            yield name, "lean", count, steps, lean(count, steps, points=name not in WITHOUT_POINTS)
    for seed in SEEDS:
        for name, count in AT_PERCENT[10].items():
            yield name, f"lean, seed {seed}", count, STEPS, replace(lean(count, STEPS), seed=seed)
    for name, count in AT_PERCENT[25].items():
        yield name, "lean", count, STEPS, lean(count, STEPS)
    for name in TRIED_ON:
        for part, settings in PARTS.items():
            yield name, part, COUNTS[name][-1], STEPS, changed(lean(COUNTS[name][-1], STEPS), settings)
    for steps in PUBLISHED_STEPS:
        for name in COUNTS:
            yield name, "3dgs", 0, steps, TrainingConfig().scaled(steps)


def capture_of(name: str, data: Path) -> Capture:
    """The photos, and the points to start from."""
    if name == "synthetic":
        return synthetic_capture()
    folder, downscale, background = CAPTURES[name]
    return load(data / "captures" / folder, downscale=downscale, background=background)


def changed(config: TrainingConfig, settings: dict[str, Any]) -> TrainingConfig:
    core = {entry.name for entry in fields(TrainingConfig)}
    of_strategy = {name: value for name, value in settings.items() if name not in core}
    config = replace(config, **{name: value for name, value in settings.items() if name in core})
    return config.adjusted(BudgetTraining, **of_strategy) if of_strategy else config


def drawn(name: str, part: str, count: int) -> bool:
    """Whether a row has a line in the plot."""
    return name in DRAWN and (part in (*PARTS, "3dgs") or (part == "lean" and count in COUNTS[name]))


def measure(capture: Capture, config: TrainingConfig, label: str, curved: bool) -> dict[str, Any]:
    every = max(2, config.iterations // MOMENTS)
    curve: list[tuple[float, float]] = []
    measuring = 0.0

    def look(state: TrainingState) -> None:
        """Half way between resets and rounds, after which a scene renders badly, and at the end."""
        nonlocal measuring
        if curved and (state.step % every == every // 2 or state.step == config.iterations):
            began = time.process_time()
            quality = mean_score(view_scores(state.model, capture.test, capture.background))
            curve.append((round(began - start - measuring, 1), round(quality.psnr or 0, 2)))
            measuring += time.process_time() - began

    start = time.process_time()
    with ProgressBar(label, sys.stderr) as progress:
        scene = train(capture, config, progress=progress, after_step=look).gaussians
    spent = time.process_time() - start - measuring
    quality = evaluate(scene, capture, fps=False)
    found = {name: getattr(quality, name) for name in ("gaussians", "psnr", "ssim", "lpips")}
    return {**found, "processor_seconds": round(spent, 1), **({"curve": curve} if curved else {})}


def seconds_of(row: dict[str, Any]) -> str:
    """Processor time for a table, "-" where it is that of another machine than most have."""
    return "-" if "host" in row else f"{row['processor_seconds']:.0f} s"


def gained(row: dict[str, Any], control: dict[str, Any]) -> list[str]:
    """Differences to a control, for a table."""
    return [f"{row[name] - control[name]:+.{digits}f}" for name, digits in (("psnr", 2), ("ssim", 4), ("lpips", 4))]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def against_trimming() -> str:
    """The lean recipe against the published one trimmed by the paper's rule, at equal count."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    trimmed = json.loads((RESULT.parent / "trimming_defaults.json").read_text(encoding="utf-8"))["rows"]
    lines = []
    for name, counts in COUNTS.items():
        control = trimmed[f"{'built-in' if name == 'synthetic' else name}/paper/10"]
        for steps in (STEPS, *(steps for each, steps in LONGER if each == name)):
            row = rows.get(f"{name}/lean/{counts[-1]}/{steps}")
            if row:
                values = f"{row['psnr']:.2f} dB, {row['ssim']:.4f}, {row['lpips']:.4f}"
                spent = seconds_of(row)
                lines.append([name, f"{row['gaussians']:,}", f"{steps:,}", values, *gained(row, control), spent])
    head = ["capture", "Gaussians", "steps", "lean: PSNR, SSIM, LPIPS", "PSNR", "SSIM", "LPIPS", "processor time"]
    return table(head, lines)


def parts() -> str:
    """What each part of the lean recipe wins, and what parts that are not in it would."""
    done = json.loads(RESULT.read_text(encoding="utf-8"))
    rows, lines = done["rows"], []
    for part in PARTS:
        for name in TRIED_ON:
            count = COUNTS[name][-1]
            row, control = (rows.get(f"{name}/{each}/{count}/{STEPS}") for each in (part, "lean"))
            if row and control:
                seconds = row["processor_seconds"] / control["processor_seconds"] - 1
                shown = f"{seconds:+.0%}" if row.get("host") == control.get("host") else "-"
                lines.append([f"without it: {part}", name, *gained(row, control), shown])
    lines += [[each["part"], each["capture"], *gained(each, each["control"]), ""] for each in done.get("tried", [])]
    found = table(["what is different", "capture", "PSNR", "SSIM", "LPIPS", "processor time"], lines)
    return f"{found}\n\n{early_stop()}"


def early_stop() -> str:
    """What stopping early could win at most, once a scene has its number of Gaussians."""
    won: dict[str, float] = {}
    for row, values in json.loads(RESULT.read_text(encoding="utf-8"))["rows"].items():
        if row.split("/")[1] == "lean" and "curve" in values:
            *along, last = (quality for _, quality in values["curve"])
            won[row] = max(last, *along[round(AFTER_ROUNDS * MOMENTS) :]) - last
    captures, steps = {row.split("/")[0] for row in won}, max(int(row.split("/")[-1]) for row in won)
    said = (
        f"There is no early stop. In {len(won)} trainings by the lean recipe, of {len(captures)} captures and in up to "
        f"{steps:,} steps, held-out PSNR was measured along the way. Stopping at the best moment after the last round, "
        f"as only one who knows the photos held out could, would have won {sum(won.values()) / len(won):.2f} dB on "
        f"average, and {max(won.values()):.2f} dB where it would have won most."
    )
    return fill(said, 150)


def asked_for(row: str, only: list[str] | None) -> bool:
    return only is None or any(row == each or row.startswith(each + "/") for each in only)


def draw(rows: dict[str, Any]) -> None:
    """PSNR over processor seconds of the recipes, a panel for each capture."""
    panels = []
    for name in DRAWN:
        lines, counts = [], COUNTS[name]
        host = rows.get(f"{name}/lean/{counts[-1]}/{STEPS}", {}).get("host")
        for part, count in (*(("lean", count) for count in counts), *((part, counts[-1]) for part in PARTS)):
            row = rows.get(f"{name}/{part}/{count}/{STEPS}")
            if row and row.get("host") == host:
                label = f"lean, {count:,}" if part == "lean" else IN_PLOT[part]
                lines.append(Line(label, row["curve"], nth_look(len(lines))))
        for steps in PUBLISHED_STEPS:
            row = rows.get(f"{name}/3dgs/0/{steps}")
            if row and row.get("host") == host:
                lines.append(Line(f"3dgs, {row['gaussians']:,}", row["curve"], nth_look(len(lines))))
        if lines:
            panels.append(Panel("processor seconds", "held-out PSNR in dB", lines, name))
    with replacing(PICTURE, overwrite=True) as handle:
        handle.write(draw_lines("time_to_quality", panels).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with `captures`")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="such as fox, fox/lean or fox/lean/28700/5000")
    parser.add_argument("--draw", action="store_true", help="only draw the plot of what is there")
    parser.add_argument("--host", help="what to call this machine in rows, where it is another than the usual one")
    arguments = parser.parse_args()
    done: dict[str, Any] = {"command": COMMAND, "cores": os.cpu_count(), "rows": {}}
    if RESULT.exists():
        done = json.loads(RESULT.read_text(encoding="utf-8"))
    loaded: dict[str, Capture] = {}
    for name, part, count, steps, config in () if arguments.draw else jobs():
        row = f"{name}/{part}/{count}/{steps}"
        here = name == "synthetic" or (arguments.data / "captures" / CAPTURES[name][0]).is_dir()
        if row in done["rows"] or not here or not asked_for(row, arguments.only):
            continue
        if name not in loaded:
            loaded[name] = capture_of(name, arguments.data)
        found = measure(loaded[name], config, row, drawn(name, part, count))
        found |= {} if arguments.host is None else {"host": arguments.host}
        done["rows"][row] = found
        write_json(RESULT, done, overwrite=True)
        values = f"{found['psnr']:>8.2f}{found['ssim']:>8.4f}{found['lpips']:>8.4f}{found['processor_seconds']:>8.0f} s"
        print(f"{row:<48}{found['gaussians']:>9,}{values}", flush=True)
    draw(done["rows"])


if __name__ == "__main__":
    main()
