"""What short trainings come to, by the rule that shortens the schedule: held-out quality, size and processor time.

"in proportion" is what `TrainingConfig.scaled` did at first: every interval shortened like the schedule (that of
densification to 25 steps at least), and what is larger than a tenth of the scene extent removed from the first opacity
reset on. "as scaled" is what it does now.

    leansplat download fox -o data
    leansplat download chair -o data
    python benchmarks/schedules.py --data data
    python benchmarks/schedules.py --data data --iterations 10000 --only chair south_building tumbler

A capture that is not in the folder is left out. fox and chair are to be had by their names; the others were published
without a licence: South Building is one of COLMAP's data sets, tumbler and fruit are table-tops.

It prints a line a training and adds it to benchmarks/results/schedules.json, where what is there is not trained again;
docs/training.md has the table, which benchmarks/results_page.py writes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import torch

from leansplat.cameras import look_at
from leansplat.captures import load
from leansplat.captures.capture import Capture, Points, View, every_eighth
from leansplat.captures.synthetic import synthetic_capture
from leansplat.engines.cpu import render
from leansplat.errors import RunError
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.progress_bar import ProgressBar
from leansplat.simd.threads import set_thread_count, thread_count
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification, densification

RESULT = Path(__file__).parent / "results" / "schedules.json"
FOLDERS = {"fox": 4, "chair": 4, "south_building": 2, "tumbler": 4, "fruit": 4}
"""Captures of `--data` and their downscale."""
CAPTURES = (*FOLDERS, "synthetic", "distant")
RULES = ("in proportion", "as scaled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with captures")
    parser.add_argument("--only", nargs="+", choices=CAPTURES, default=CAPTURES)
    parser.add_argument("--iterations", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        set_thread_count(arguments.threads)
    rows: list[dict[str, Any]] = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    captures = {name: load_capture(name, arguments.data) for name in arguments.only if is_here(name, arguments.data)}
    train(next(iter(captures.values())), TrainingConfig().scaled(1))  # loads the kernels, which is not to be timed
    for iterations, name, rule in product(arguments.iterations, captures, RULES):
        what = {"capture": name, "iterations": iterations, "rule": rule}
        found = next((row for row in rows if what.items() <= row.items()), None)
        if found is None:
            found = what | measure(captures[name], iterations, rule)
            rows.append(found)
            write_rows(rows)
        print(found, flush=True)


def write_rows(rows: list[dict[str, Any]]) -> None:
    rows.sort(key=lambda row: (CAPTURES.index(row["capture"]), row["iterations"], RULES.index(row["rule"])))
    command = "python benchmarks/schedules.py --data data"
    write_json(RESULT, {"command": command, "threads": thread_count(), "rows": rows}, overwrite=True)


def is_here(name: str, data: Path) -> bool:
    here = name not in FOLDERS or (data / name).is_dir()
    if not here:
        print(f"{data / name} is not there; left out", file=sys.stderr)
    return here


def load_capture(name: str, data: Path) -> Capture:
    if name == "synthetic":
        return synthetic_capture()
    if name == "distant":
        return distant_capture()
    white = name == "chair"
    return load(data / name, downscale=FOLDERS[name], background=(1.0, 1.0, 1.0) if white else (0.0, 0.0, 0.0))


def recipe(iterations: int, rule: str) -> TrainingConfig:
    published = TrainingConfig()
    scaled = published.scaled(iterations)
    if rule == "as scaled":
        return scaled
    share = iterations / published.iterations
    return scaled.adjusted(
        Densification,
        every=max(25, math.floor(share * Densification().every + 0.5)),
        reset_every=math.floor(share * Densification().reset_every + 0.5),
        prune_large_after=0,
    )


@contextmanager
def limit_of_one_size() -> Iterator[None]:
    """Gaussians are too large above one size, wherever they are, as they were at first."""
    by_distance = densification.too_large
    densification.too_large = lambda means, size, cameras, config, extent: size > config.prune_size * extent
    try:
        yield
    finally:
        densification.too_large = by_distance


def measure(capture: Capture, iterations: int, rule: str) -> dict[str, Any]:
    config = recipe(iterations, rule)
    densified = config.strategy(Densification)
    assert densified is not None
    settings = {
        "densify_every": densified.every,
        "reset_opacities_every": densified.reset_every,
        "prune_large_after": densified.prune_large_after,
    }
    began = time.process_time()
    try:
        limit = limit_of_one_size() if rule == "in proportion" else nullcontext()
        with limit, ProgressBar(f"{capture.name}, {iterations}, {rule}", sys.stderr) as progress:
            scene = train(capture, config, progress=progress).gaussians
    except RunError as error:
        return {"settings": settings, "error": str(error)}
    seconds = time.process_time() - began
    evaluation = evaluate(scene, capture, lpips=None, fps=False)
    return {
        "settings": settings,
        "gaussians": len(scene),
        "psnr": evaluation.psnr,
        "ssim": evaluation.ssim,
        "processor_seconds": seconds,
    }


def distant_capture() -> Capture:
    """12 photos of 160x120, cameras within 5 units, of 3,000 Gaussians 20 to 45 units away, of which 200 are points."""
    generator = torch.Generator().manual_seed(7)

    def within(half_size: tuple[float, float, float], count: int) -> torch.Tensor:
        return (2 * torch.rand(count, 3, generator=generator) - 1) * torch.tensor(half_size)

    count = 3000
    means = within((20.0, 15.0, 12.5), count) + torch.tensor([0.0, 0.0, 32.5])
    frequencies = 0.25 * torch.randn(3, 3, generator=generator)
    colors = 0.5 + 0.45 * torch.sin(means @ frequencies + 3 * torch.rand(3, generator=generator))
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    scene = Gaussians(
        means=means,
        quats=quats,
        scales=torch.zeros(count, 3),
        opacities=torch.full((count,), 2.0),
        sh0=((colors - 0.5) / 0.28209479177387814)[:, None, :],
        shN=torch.zeros(count, 0, 3),
    )
    views = []
    for index in range(12):
        position = within((4.0, 2.5, 1.0), 1)[0]
        target = within((4.0, 3.0, 1.0), 1)[0] + torch.tensor([0.0, 0.0, 30.0])
        camera = look_at(position.tolist(), target.tolist(), (0, -1, 0), 0.9, 160, 120)
        image = render(scene, camera).image.detach().clamp(0, 1)
        views.append(View(f"{index:03d}.png", camera, (255 * image).round().to(torch.uint8).contiguous()))
    held_out = every_eighth([view.name for view in views])
    chosen = torch.randperm(count, generator=generator)[:200]
    return Capture(
        "distant",
        tuple(view for view in views if view.name not in held_out),
        tuple(view for view in views if view.name in held_out),
        Points(means[chosen].contiguous(), colors[chosen].contiguous()),
    )


if __name__ == "__main__":
    main()
