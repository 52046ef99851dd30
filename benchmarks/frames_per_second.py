"""Frames a second of one scene at several sizes, rendered in turn so that a busy moment hits all of them alike.

Give it the scenes that `benchmarks/fox_trimming.py` leaves, largest first; their names go into the table:

    python benchmarks/frames_per_second.py --capture data/fox --runs runs/fox30k

Every round renders the held-out views of every scene once; the first round warms up and does not count. It prints the
median over the rounds and writes benchmarks/results/frames_per_second.json. Rendering alone is timed, on the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from fox_trimming import processor

from leansplat.captures import load
from leansplat.engines.cpu import render
from leansplat.engines.cpu.packed import pack
from leansplat.files import write_json
from leansplat.formats import read
from leansplat.simd.threads import thread_count

RESULT = Path(__file__).parent / "results" / "frames_per_second.json"
COMMAND = "python benchmarks/frames_per_second.py --capture data/fox --runs runs/fox30k"
SCENES = {"trained": 100, "gradient_50": 50, "gradient_25": 25, "gradient_10": 10, "gradient_5": 5}
"""Run folders and the percent of the Gaussians they kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=Path("data/fox"), help="`leansplat download fox -o data`")
    parser.add_argument("--runs", type=Path, required=True, help="Folder of the runs of fox_trimming.py.")
    parser.add_argument("--downscale", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    capture = load(arguments.capture, downscale=arguments.downscale)
    scenes = {percent: pack(read(arguments.runs / name)) for name, percent in SCENES.items()}
    seconds: dict[int, list[float]] = {percent: [] for percent in scenes}
    with torch.inference_mode():
        for _ in range(1 + arguments.rounds):
            for percent, scene in scenes.items():
                started = time.perf_counter()
                for view in capture.test:
                    render(scene, view.camera, background=capture.background)
                seconds[percent].append((time.perf_counter() - started) / len(capture.test))
    rows = []
    for percent, scene in scenes.items():
        rates = sorted(1 / took for took in seconds[percent][1:])
        rows.append(
            {
                "kept_percent": percent,
                "gaussians": len(scene),
                "fps": statistics.median(rates),
                "fps_lowest": rates[0],
                "fps_highest": rates[-1],
            }
        )
        print(f"{percent:>4} %  {len(scene):>9,} Gaussians  {rows[-1]['fps']:7.1f} frames a second")
    camera = capture.test[0].camera
    write_json(
        RESULT,
        {
            "command": COMMAND,
            "capture": f"fox, held-out views at {camera.width}x{camera.height}",
            "processor": processor(),
            "threads": thread_count(),
            "rounds": arguments.rounds,
            "rows": rows,
        },
        overwrite=True,
    )


if __name__ == "__main__":
    main()
