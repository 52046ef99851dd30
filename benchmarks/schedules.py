"""How many Gaussians a short training makes, and how good it is, by how often it densifies.

The published schedule densifies 145 times. `scaled` keeps that number by scaling the interval, down to 25 steps;
keeping the interval of 100 steps instead means fewer densifications, each on a steadier mean gradient.

    python benchmarks/short_schedule.py --capture ../shared/data/captures/fox

It prints a table and writes benchmarks/results/short_schedule.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from leansplat.captures import load
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.progress import Progress
from leansplat.simd.threads import set_thread_count, thread_count
from leansplat.training import TrainingConfig, train

RESULT = Path(__file__).parent / "results" / "short_schedule.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--downscale", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        set_thread_count(arguments.threads)
    capture = load(arguments.capture, downscale=arguments.downscale)
    scaled = TrainingConfig().scaled(arguments.iterations)
    rows = []
    for config in (scaled, replace(scaled, densify_every=TrainingConfig().densify_every)):
        with Progress(f"densify every {config.densify_every}", sys.stderr) as progress:
            result = train(capture, config, progress=progress)
        evaluation = evaluate(result.gaussians, capture, lpips=None, fps=False)
        rows.append(
            {
                "densify_every": config.densify_every,
                "iterations": config.iterations,
                "gaussians": len(result.gaussians),
                "psnr": evaluation.psnr,
                "ssim": evaluation.ssim,
                "seconds": result.seconds,
            }
        )
        print("{densify_every:>4} {gaussians:>9,} {psnr:>8.3f} {ssim:>8.4f} {seconds:>7.0f} s".format(**rows[-1]))
    write_json(
        RESULT,
        {
            "command": "python benchmarks/short_schedule.py --capture ../shared/data/captures/fox",
            "capture": "fox at 270x480, every 8th photo held out",
            "threads": thread_count(),
            "rows": rows,
        },
        overwrite=True,
    )


if __name__ == "__main__":
    main()
