"""What a scene loses by lying far from zero, and what an origin near it wins back.

The built-in capture is moved away by some of its own scene extents and trained on twice: with positions in the world,
as float32, and as `train` does it, relative to an origin where it finds one necessary. What the first of them loses
says when that is.

    python benchmarks/far_from_zero.py

It prints a table and writes benchmarks/results/far_from_zero.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from leansplat.captures.capture import Capture
from leansplat.captures.synthetic import synthetic_capture
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.gaussians import WORLD, Origin
from leansplat.origin import origin_of_capture
from leansplat.progress_bar import ProgressBar
from leansplat.training import TrainingConfig, TrainingState, train
from leansplat.training.initialisation import gaussians_from_points
from leansplat.training.strategies import Densification

RESULT = Path(__file__).parent / "results" / "far_from_zero.json"
VIEWS, SIZE = 24, 128
DIRECTION = torch.nn.functional.normalize(torch.tensor([0.13, 0.98, 0.02], dtype=torch.float64), dim=0)
CONFIG = TrainingConfig(
    iterations=1000,
    position_rate_steps=1000,
    sh_degree=0,
    strategies=(Densification(after=100, until=500),),
    checkpoint_every=1000,
)


def moved(capture: Capture, offset: torch.Tensor) -> Capture:
    x, y, z = (-offset).tolist()
    return capture.relative_to((x, y, z))


def quality(capture: Capture, start: TrainingState | None, label: str) -> float:
    with ProgressBar(label, sys.stderr) as progress:
        scene = train(capture, CONFIG, start=start, progress=progress).gaussians
    return evaluate(scene, capture, lpips=None, fps=False).psnr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extents", type=float, nargs="+", default=[0, 100, 300, 1000, 3000, 10_000, 100_000, 800_000])
    arguments = parser.parse_args()
    built_in = synthetic_capture(VIEWS, SIZE)
    rows = []
    for extents in arguments.extents:
        capture = moved(built_in, extents * built_in.extent * DIRECTION)
        assert capture.points is not None
        origin: Origin = origin_of_capture([view.camera for view in capture.train], capture.points.positions)
        in_world = gaussians_from_points(capture.points, capture.extent, sh_degree=CONFIG.sh_degree)
        begin = TrainingState.begin(in_world, CONFIG, capture.extent)
        row = {
            "extents": extents,
            "in_world": quality(capture, begin, f"{extents:g}"),
            "as_trained": quality(capture, None, f"{extents:g}"),
            "has_origin": origin != WORLD,
        }
        rows.append(row)
        print("{extents:>8g} {in_world:>8.2f} {as_trained:>8.2f} dB  origin: {has_origin}".format(**row), flush=True)
    write_json(
        RESULT,
        {
            "command": "python benchmarks/far_from_zero.py",
            "capture": f"the built-in one, {VIEWS} photos of {SIZE}x{SIZE}, every 8th held out; 1,000 steps",
            "extent": built_in.extent,
            "rows": rows,
        },
        overwrite=True,
    )


if __name__ == "__main__":
    main()
