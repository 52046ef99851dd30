"""How long the paper's whole procedure takes on the fox capture: 30,000 steps of training, then 15,000 of trimming.

Run it on a machine that does nothing else, from a fresh folder, so that kernel compilation is part of it:

    python benchmarks/fox_time.py --capture data/fox --runs runs/fox_time

It prints the seconds and adds them to benchmarks/results/fox_time.json, with the quality reached and the peak memory.
Timings of earlier runs stay in the file as long as they ended with the same scenes, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from fox_trimming import processor

from leansplat.captures import load
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.progress_bar import ProgressBar
from leansplat.pruning import TrimmingConfig, trim
from leansplat.simd.threads import thread_count
from leansplat.training import TrainingConfig, train

RESULT = Path(__file__).parent / "results" / "fox_time.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=Path("data/fox"), help="`leansplat download fox -o data`")
    parser.add_argument("--runs", type=Path, required=True, help="A folder that does not exist yet.")
    parser.add_argument("--downscale", type=int, default=4)
    arguments = parser.parse_args()
    capture = load(arguments.capture, downscale=arguments.downscale)

    started = time.perf_counter()
    with ProgressBar("train", sys.stderr) as progress:
        trained = train(capture, TrainingConfig(), arguments.runs / "trained", progress=progress)
    training = time.perf_counter() - started
    with ProgressBar("trim", sys.stderr) as progress:
        config = TrimmingConfig(keep=0.25, criterion="gradient")
        trimmed = trim(arguments.runs / "trained", capture, config, arguments.runs / "gradient_25", progress=progress)
    total = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    scenes = []
    for name, scene in (("trained", trained.gaussians), ("gradient 25%", trimmed.gaussians)):
        quality = evaluate(scene, capture, lpips=None, fps=False)
        views = {view.name: view.psnr for view in quality.views}
        summary = {"name": name, "gaussians": len(scene), "psnr": quality.psnr, "ssim": quality.ssim}
        scenes.append({**summary, "psnr_of_views": views})
    timing = {"training": training, "trimming": total - training, "total": total, "peak_memory_bytes": peak}
    print(f"training {training:,.0f} s, trimming {total - training:,.0f} s, in all {total / 60:.1f} minutes")
    print(f"peak memory {peak / 1e9:.2f} GB", *scenes, sep="\n")
    write_json(
        RESULT,
        {
            "command": "python benchmarks/fox_time.py --capture data/fox --runs runs/fox_time",
            "capture": "fox at 270x480, every 8th photo held out",
            "processor": processor(),
            "threads": thread_count(),
            "timings": [*earlier_timings(scenes), timing],
            "scenes": scenes,
        },
        overwrite=True,
    )


def earlier_timings(scenes: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Timings of runs that ended with these scenes, oldest first."""
    if not RESULT.exists():
        return []
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return list(result["timings"]) if result["scenes"] == scenes else []


if __name__ == "__main__":
    main()
