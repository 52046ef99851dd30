"""Does speaking of Gaussians by attribute cost a training step anything? Two source trees, timed side by side.

    python benchmarks/engine_seam.py BEFORE/src AFTER/src

Each block is a process of its own, which takes training steps on the built-in capture from the same random points, with
statistics and without, and renders through autograd, and gives the processor time of the median of each. Blocks of the
two trees take turns, so that whatever else the machine does meets both alike. The ratio is that of the medians over
blocks; beside it stands that of the fastest ones. Written to benchmarks/results/engine_seam.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "engine_seam.json"
SIZES = {
    "tiny": {"size": 16, "points": 64, "steps": 600},
    "small": {"size": 128, "points": 5_000, "steps": 60},
    "large": {"size": 384, "points": 100_000, "steps": 20},
}
"""Sides of the photos in pixels, Gaussians that training starts from, and steps that are measured. The tiny one has
next to nothing to compute: it shows what a step costs besides its kernels."""

_BLOCK = """
import json, statistics, sys, time
from dataclasses import replace
import torch
from leansplat.captures.synthetic import synthetic_capture
from leansplat.simd.threads import set_thread_count
from leansplat.training.config import TrainingConfig
from leansplat.training.state import training_step
from leansplat.training.trainer import begin_training
try:
    from leansplat.engines.cpu import render
except ModuleNotFoundError:  # where the kernels were before there were engines
    from leansplat.render import render

size, points, steps, threads = map(int, sys.argv[1:])
set_thread_count(threads)
torch.set_num_threads(threads)
capture = synthetic_capture(5, size, 0)
capture = replace(capture, points=None)
config = TrainingConfig(random_points=points)
state = begin_training(capture, config)
state.step = config.iterations  # all degrees of the harmonics
state.select(torch.arange(points))  # memory lies as it does after a densification, in both trees
views = capture.train

def run(number, gathered):
    took = []
    for index in range(number):
        found = state.statistics if gathered else None
        started = time.process_time()
        training_step(state, views[index % len(views)], config, capture.background, statistics=found)
        took.append(time.process_time() - started)
    return statistics.median(took)

def rendered(number):
    # As fine-tuning renders: from tensors that are packed every time.
    names = ("means", "quats", "scales", "opacities", "sh0", "shN")
    scene = state.gaussians()
    leaves = replace(scene, **{name: getattr(scene, name).clone().requires_grad_() for name in names})
    took = []
    for index in range(number):
        started = time.process_time()
        render(leaves, views[index % len(views)].camera).image.square().sum().backward()
        took.append(time.process_time() - started)
    return statistics.median(took)

run(10, True)
found = {"plain": run(steps, False), "with statistics": run(steps, True), "through autograd": rendered(steps)}
print(json.dumps(found))
"""


def block(source: Path, size: int, points: int, steps: int, threads: int) -> dict[str, float]:
    """Seconds of processor time a step, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(source.resolve())}
    arguments = [str(value) for value in (size, points, steps, threads)]
    done = subprocess.run(
        [sys.executable, "-c", _BLOCK, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--blocks", type=int, default=7, help="Blocks of each tree and size.")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, sizes in SIZES.items():
        found: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
        for index in range(arguments.blocks):
            order = ("before", "after") if index % 2 == 0 else ("after", "before")
            for tree in order:
                found[tree].append(block(getattr(arguments, tree), **sizes, threads=arguments.threads))
        for kind in ("plain", "with statistics", "through autograd"):
            before, after = (statistics.median(each[kind] for each in found[tree]) for tree in ("before", "after"))
            fastest = {tree: min(each[kind] for each in found[tree]) for tree in found}
            best = fastest["after"] / fastest["before"]
            rows.append(
                {
                    "scene": name,
                    **sizes,
                    "step": kind,
                    "before_ms": 1000 * before,
                    "after_ms": 1000 * after,
                    "ratio": after / before,
                    "ratio_of_fastest": best,
                }
            )
            print(
                f"{name:6} {kind:16} {1000 * before:8.3f} ms before {1000 * after:8.3f} ms after, "
                f"{after / before:.3f} of it ({best:.3f} in the fastest blocks)"
            )
    RESULT.write_text(
        json.dumps(
            {
                "command": "python benchmarks/engine_seam.py BEFORE/src AFTER/src",
                "unit": "processor time",
                "threads": arguments.threads,
                "blocks": arguments.blocks,
                "rows": rows,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
