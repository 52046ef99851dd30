"""How quickly photos become a scene of how much quality, by the published recipe and by the lean one, part by part.

Every row is one training: its capture, its recipe or the one part of the lean recipe that is different, its Gaussians
and its steps; and what came of it on the photos held out, in how many seconds, of which those spent on measuring are
left out. `curve` is held-out PSNR along the way, at twenty moments of the training.

    leansplat download fox -o data/captures
    leansplat download chair -o data/captures
    python benchmarks/time_to_quality.py --data data
    python benchmarks/time_to_quality.py --data data --only fox/lean south
    python benchmarks/time_to_quality.py --draw

A capture that is not in the folder is left out; `trained_scenes.py` has their names. It prints a line for each row and
adds it to benchmarks/results/time_to_quality.json, where what is there is not made again, and draws
docs/pictures/time_to_quality.svg. Rows marked "tried" are of parts that did not pay: their code is gone, and
they cannot be made again. docs/training.md has the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
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
from leansplat.training import LEAN_STEPS, TrainingConfig, TrainingState, lean, train
from leansplat.training.strategies import BudgetTraining

RESULT = Path(__file__).parent / "results" / "time_to_quality.json"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "time_to_quality.svg"
COMMAND = "python benchmarks/time_to_quality.py --data data"
MOMENTS = 20
"""Measurements along a training."""

COUNTS = {
    "fox": (28_700, 17_111, 8_555),
    "chair": (25_000, 5_636, 2_818),
    "south": (18_436, 37_000, 9_218),
    "tumbler": (14_977, 7_488),
    "fruit": (13_508, 6_754),
    "synthetic": (6_956, 3_478),
}
"""Gaussians by capture, for parts the first; the others are 10 and 5 % of what the published recipe makes in 10,000
steps, as in trimming_defaults.json."""

PARTS: dict[str, dict[str, Any]] = {
    "lean": {},
    "full size from the start": {"reduced_steps": 0},
    "no peak": {"peak": 1.0},
    "peak 2": {"peak": 2.0},
    "peak 3": {"peak": 3.0},
    "nothing swapped": {"swapped": 0.0},
    "position rate to 1.6e-6": {"position_rate_final": 1.6e-6},
    "one round": {"rounds": 1},
}
"""What is different in settings of `TrainingConfig` or `BudgetTraining`."""
TRIED_ON = ("synthetic", "south", "fox")
PUBLISHED_STEPS = (3000, 10_000)


def jobs() -> Iterator[tuple[str, str, int, int, TrainingConfig]]:
    """Capture, recipe or part, Gaussians (0 for as many as there will be), steps and settings of each row."""
    for name, counts in COUNTS.items():
        for count in counts:
            yield name, "lean", count, LEAN_STEPS, lean(count)
    for name in TRIED_ON:
        for part, settings in PARTS.items():
            yield name, part, COUNTS[name][0], LEAN_STEPS, changed(lean(COUNTS[name][0]), settings)
    for name, steps in (("chair", 15_000), ("fox", 10_000)):
        yield name, "lean", COUNTS[name][0], steps, lean(COUNTS[name][0], steps)
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


def measure(capture: Capture, config: TrainingConfig, label: str) -> dict[str, Any]:
    every = max(1, config.iterations // MOMENTS)
    curve: list[tuple[float, float]] = []
    measuring = 0.0

    def look(state: TrainingState) -> None:
        nonlocal measuring
        if state.step % every == 0:
            began = time.process_time()
            quality = mean_score(view_scores(state.model, capture.test, capture.background))
            measuring += time.process_time() - began
            curve.append(
                (round(began - start - measuring + time.process_time() - began, 1), round(quality.psnr or 0, 2))
            )

    start = time.process_time()
    with ProgressBar(label, sys.stderr) as progress:
        scene = train(capture, config, progress=progress, after_step=look).gaussians
    spent = time.process_time() - start - measuring
    quality = evaluate(scene, capture, fps=False)
    found = {name: getattr(quality, name) for name in ("gaussians", "psnr", "ssim", "lpips")}
    return {**found, "processor_seconds": round(spent, 1), "curve": curve}


def asked_for(row: str, only: list[str] | None) -> bool:
    return only is None or any(row == each or row.startswith(each + "/") for each in only)


def draw(rows: dict[str, Any]) -> None:
    """PSNR over processor seconds of the recipes, a panel for each capture."""
    panels = []
    for name, counts in COUNTS.items():
        lines = []
        for part in ("lean", "full size from the start"):
            row = rows.get(f"{name}/{part}/{counts[0]}/{LEAN_STEPS}")
            if row:
                lines.append(Line(f"{part}, {counts[0]:,}", row["curve"], nth_look(len(lines))))
        for steps in PUBLISHED_STEPS:
            row = rows.get(f"{name}/3dgs/0/{steps}")
            if row:
                lines.append(Line(f"3dgs, {row['gaussians']:,}", row["curve"], nth_look(len(lines))))
        if lines:
            panels.append(Panel("processor seconds", "held-out PSNR in dB", lines, name))
    with replacing(PICTURE, overwrite=True) as handle:
        handle.write(draw_lines("time_to_quality", panels).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with `captures`")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="such as fox, fox/lean or fox/lean/28700/5000")
    parser.add_argument("--draw", action="store_true", help="only draw the plot of what is there")
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
        found = measure(loaded[name], config, row)
        done["rows"][row] = found
        write_json(RESULT, done, overwrite=True)
        values = f"{found['psnr']:>8.2f}{found['ssim']:>8.4f}{found['lpips']:>8.4f}{found['processor_seconds']:>8.0f} s"
        print(f"{row:<48}{found['gaussians']:>9,}{values}", flush=True)
    draw(done["rows"])


if __name__ == "__main__":
    main()
