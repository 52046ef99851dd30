"""From photos to a small file in one command, alone on the machine: how long, how small, how good, how much memory.

    python benchmarks/photos_to_file.py --data DATA

runs, for each capture in `RUNS` that is in DATA/captures, the command

    leansplat train CAPTURE -o FILE.sog --size SIZE --iterations N

in a process of its own, with the kernels compiled before. Seconds are from start to end, reading photos and measuring
the result included; memory is the most that the process had at once; PSNR, SSIM and LPIPS are of the file as it is
read again, on photos held out. It prints a line for each and writes them to benchmarks/results/photos_to_file.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from own_process import measured

from leansplat.files import write_json

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "photos_to_file.json"
RUNS = {
    "fox": (["fox", "--downscale", "4"], "500kB", 8000),
    "chair": (["chair_blender", "--background", "white"], "560kB", 27_000),
}
"""Folder and options, size, and steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--only", nargs="+", choices=tuple(RUNS), default=tuple(RUNS))
    arguments = parser.parse_args()
    rows = {row["capture"]: row for row in json.loads(RESULT.read_text())["rows"]} if RESULT.exists() else {}
    for name in arguments.only:
        (folder, *options), size, steps = RUNS[name]
        if not (arguments.data / "captures" / folder).is_dir():
            print(f"{arguments.data / 'captures' / folder} is not there; left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            photos, file = str(arguments.data / "captures" / folder), str(Path(temporary) / "scene.sog")
            measured(["train", photos, "-o", file, *options, "--count", "500", "--iterations", "40"])  # compiles
            command = [*options, "--size", size, "--iterations", str(steps)]
            answer, seconds, peak = measured(["train", photos, "-o", file, *command, "--overwrite"])
        rows[name] = {
            "capture": name,
            "command": f"leansplat train {name} -o {name}.sog {' '.join(command)}",
            "steps": steps,
            "bytes": answer["bytes"],
            "gaussians": answer["gaussians"],
            "seconds": round(seconds, 1),
            "peak_megabytes": round(peak),
            **{key: answer["metrics"][key] for key in ("psnr", "ssim", "lpips")},
        }
        print(json.dumps(rows[name]), flush=True)
        command_of_all = "python benchmarks/photos_to_file.py --data DATA"
        found = {"command": command_of_all, "cores": os.cpu_count(), "rows": list(rows.values())}
        write_json(RESULT, found, overwrite=True)


if __name__ == "__main__":
    main()
