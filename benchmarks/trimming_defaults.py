"""What trimming costs six captures by the paper's rule, by GaussianPOP's, and with each part of the default pace.

Every row starts from the same trained scene and makes 1,500 steps: ten rounds in the first 500 and 1,000 more. Bases
are run folders by the name of the capture. They are trained by

    leansplat train data/CAPTURE --downscale N -o BASES/NAME --iterations 10000

with N as in `CAPTURES`, and chair with `--background white`. The base of the built-in capture is trained here, in 3,000
steps.

    python benchmarks/trimming_defaults.py --bases BASES
    python benchmarks/trimming_defaults.py --bases BASES --only fox/default/10 tumbler
    python benchmarks/trimming_defaults.py --bases BASES --table

It prints a line for each row and adds it to benchmarks/results/trimming_defaults.json, where what is there is not made
again; a capture whose base is not there is left out. docs/trimming.md has the tables.

The file also has rows of ideas that did not become part of the default and whose code is gone. Under "ideas" it says in
a sentence what each of them was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.captures.synthetic import synthetic_capture
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.progress_bar import ProgressBar
from leansplat.pruning import TrimmingConfig, trim
from leansplat.pruning.schedule import EASED, PAPERS
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification

RESULT = Path(__file__).parent / "results" / "trimming_defaults.json"
BUILT_IN = "built-in"
CAPTURES = {
    "fox": ("fox", 4),
    "tumbler": ("tumbler", 2),
    "chair": ("chair_blender", 1),
    BUILT_IN: ("", 1),
    "south": ("south_building", 2),
    "fruit": ("fruit", 2),
}
"""Folder and downscale of each."""

LENGTHS = {"rounds": 10, "every": 50, "finetune": 1000}
KEPT = (0.1, 0.05, 0.25)
POP = {"criterion": "gaussianpop", **PAPERS._asdict()}
RULES: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"criterion": "gradient"},
    "gaussianpop": POP,
    **{f"gaussianpop, {name}": {**POP, name: value} for name, value in EASED._asdict().items()},
    **{f"default without {name}": {name: value} for name, value in PAPERS._asdict().items()},
    "default, rate 8": {"rate": 8.0},
    "default, 20 rounds": {"rounds": 20, "every": 25},
}
"""Settings of each row."""
WHOLE = ("default", "paper", "gaussianpop", "default without pressure")
"""Rows of every capture and count; the others are tried where `TRIED`."""
TRIED = (("fox", "tumbler"), 0.1)


def capture_of(name: str, captures: Path) -> Capture:
    if name == BUILT_IN:
        return synthetic_capture()
    folder, downscale = CAPTURES[name]
    white = name == "chair"
    return load(captures / folder, downscale=downscale, background=(1.0, 1.0, 1.0) if white else (0.0, 0.0, 0.0))


def base_of(name: str, capture: Capture, bases: Path) -> Path | None:
    """The run folder that everything starts from; None where there is none."""
    folder = bases / name
    if name == BUILT_IN and not (folder / "scene.ply").exists():
        recipe = TrainingConfig().scaled(3000).adjusted(Densification, every=100)
        with ProgressBar("train", sys.stderr) as progress:
            train(capture, recipe, folder, overwrite=folder.exists(), progress=progress)
    return folder if (folder / "scene.ply").exists() else None


def jobs() -> Iterator[tuple[str, str, str, TrimmingConfig | None]]:
    """Capture, rule, percentage kept and settings of each row, the most telling first; None for the base itself."""

    def trimmings(rules: Iterable[str], names: Iterable[str], keep: float) -> Iterator[tuple[str, str, str, Any]]:
        for rule, name in product(rules, names):
            yield name, rule, f"{100 * keep:g}", TrimmingConfig(keep=keep, **{**LENGTHS, **RULES[rule]})

    for keep in KEPT:
        yield from trimmings(("default", "paper"), CAPTURES, keep)
    controls = {"control": {"criterion": "gradient"}, "control at the default pace": {}}
    for rule, settings in controls.items():
        yield from ((name, rule, "100", TrimmingConfig(control=True, **settings, **LENGTHS)) for name in CAPTURES)
    yield from ((name, "base", "100", None) for name in CAPTURES)
    for keep in KEPT:
        yield from trimmings(("gaussianpop",), CAPTURES, keep)
    yield from trimmings((rule for rule in RULES if rule not in WHOLE), *TRIED)


def measure(base: Path, capture: Capture, config: TrimmingConfig | None, label: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if config is None:
        evaluation = evaluate(base, capture, fps=False)
    else:
        began = time.process_time()
        with ProgressBar(label, sys.stderr) as progress:
            scene = trim(base, capture, config, progress=progress).gaussians
        values["processor_seconds"] = round(time.process_time() - began, 1)
        evaluation = evaluate(scene, capture, fps=False)
    found = {name: getattr(evaluation, name) for name in ("gaussians", "psnr", "ssim", "lpips")}
    return {**found, **values, "settings": None if config is None else config.to_json()}


def asked_for(row: str, only: list[str] | None) -> bool:
    """Whether a row such as fox/default/10 is named, by all of its parts or by the first ones."""
    return only is None or any(row == each or row.startswith(each + "/") for each in only)


def table(rows: dict[str, Any]) -> str:
    """Means over the captures that have the rows, and how far each is over the paper's rule, or over the control."""
    lines = ["| kept | rule | PSNR | SSIM | LPIPS | over the paper's | of |", "|---|---|---|---|---|---|---|"]
    rules = dict.fromkeys([*RULES, *sorted({row.split("/")[1] for row in rows})])
    for percent in ("100", "25", "10", "5"):
        beside = "control" if percent == "100" else "paper"
        for rule in rules:
            wanted = {name: {f"{name}/{rule}/{percent}", f"{name}/{beside}/{percent}"} for name in CAPTURES}
            both = [name for name, needed in wanted.items() if needed <= rows.keys()]
            if not both:
                continue

            def mean(of: str, what: str, percent: str = percent, names: list[str] = both) -> float:
                return sum(rows[f"{name}/{of}/{percent}"][what] for name in names) / len(names)

            psnr, ssim, lpips = (mean(rule, what) for what in ("psnr", "ssim", "lpips"))
            values = f"{psnr:.2f} | {ssim:.4f} | {lpips:.4f} | {psnr - mean(beside, 'psnr'):+.2f}"
            lines.append(f"| {percent} % | {rule} | {values} | {len(both)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, required=True)
    parser.add_argument("--captures", type=Path, default=Path("data"), help="Folder of the captures.")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="Such as fox, fox/default or fox/default/10.")
    parser.add_argument("--table", action="store_true", help="Only print the table of what is there.")
    arguments = parser.parse_args()
    done: dict[str, Any] = {"command": "python benchmarks/trimming_defaults.py --bases BASES", "rows": {}}
    if RESULT.exists():
        done = json.loads(RESULT.read_text(encoding="utf-8"))
    loaded: dict[str, Capture] = {}
    for name, rule, percent, config in () if arguments.table else jobs():
        row = f"{name}/{rule}/{percent}"
        if row in done["rows"] or not asked_for(row, arguments.only):
            continue
        if name not in loaded:
            loaded[name] = capture_of(name, arguments.captures)
        capture = loaded[name]
        base = base_of(name, capture, arguments.bases)
        if base is None:
            continue
        found = measure(base, capture, config, row)
        done["rows"][row] = found
        done["cores"] = os.cpu_count()
        write_json(RESULT, done, overwrite=True)
        print(
            f"{row:<44}{found['gaussians']:>9,}{found['psnr']:>8.2f}{found['ssim']:>8.4f}{found['lpips']:>8.4f}",
            flush=True,
        )
    print(table(done["rows"]))


if __name__ == "__main__":
    main()
