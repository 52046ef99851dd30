"""What `compress` makes of few steps: never worse than merely encoding.

    leansplat train CAPTURE -o BASES/NAME --iterations 10000      # once for chair and fox
    python benchmarks/short_tuning.py --bases BASES --data data

"encoded" is what `leansplat compress` makes without a capture. "before" lets harmonics cost 1.5 dB whatever the steps
and writes what comes out, as version 0.1 did. "now" is `leansplat compress` with its defaults: harmonics may cost what
the steps win back, and where fine-tuning lost on the training views, the plain encoding is written. Quality is that on
the photos held out, and on the training photos.

It prints a line a file and adds it to benchmarks/results/short_tuning.json, where what is there is not made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leansplat import formats
from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.compression import CompressionConfig, FineTuningConfig, SogCodec, SpzCodec, compress, fine_tune
from leansplat.compression.preparation import subject
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.simd.threads import set_thread_count

RESULT = Path(__file__).parent / "results" / "short_tuning.json"
COMMAND = "python benchmarks/short_tuning.py --bases BASES --data data"
CAPTURES = {"chair": ("chair_blender", 1, (1.0, 1.0, 1.0)), "fox": ("fox", 8, (0.0, 0.0, 0.0))}
"""Folder of the photos by the name of the scene, their downscale, and their background."""

STEPS = (0, 50, 200, 500)
BEFORE = {".sog": SogCodec(sh_loss=1.5), ".spz": SpzCodec(sh_loss=1.5)}


def file_of(scene: Gaussians, capture: Capture, how: str, steps: int, path: Path) -> str:
    """Write a file and say what it is."""
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=steps))
    if how == "before":
        ready = BEFORE[path.suffix].prepare(subject(scene, capture, config, None))
        latents = fine_tune(ready.gaussians, capture, ready.quantiser, config.fine_tuning).latents
        ready.quantiser.write(latents, path)
        return "fine-tuned"
    return compress(scene, None if how == "encoded" else capture, path, config).written


def measured(scene: Gaussians, capture: Capture, how: str, steps: int, suffix: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"scene{suffix}"
        written = file_of(scene, capture, how, steps, path)
        read, size = formats.read(path), path.stat().st_size
    held_out, train = (evaluate(read, capture, lpips=None, fps=False, split=split) for split in ("test", "train"))
    return {
        "suffix": suffix,
        "how": how,
        "steps": steps,
        "bytes": size,
        "written": written,
        "psnr": held_out.psnr,
        "ssim": held_out.ssim,
        "train_psnr": train.psnr,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, required=True, help="folder with a run folder for each trained scene")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with captures")
    parser.add_argument("--only", nargs="+", choices=tuple(CAPTURES), default=tuple(CAPTURES))
    parser.add_argument("--suffixes", nargs="+", choices=tuple(BEFORE), default=tuple(BEFORE))
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        set_thread_count(arguments.threads)
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"command": COMMAND, "rows": {}}
    for name in arguments.only:
        folder, downscale, background = CAPTURES[name]
        capture = load(arguments.data / "captures" / folder, downscale=downscale, background=background)
        scene = formats.read(arguments.bases / name)
        rows = found["rows"].setdefault(name, [])
        for suffix in arguments.suffixes:
            for how, steps in (("encoded", 0), *((how, steps) for steps in STEPS for how in ("before", "now"))):
                if any((row["suffix"], row["how"], row["steps"]) == (suffix, how, steps) for row in rows):
                    continue
                rows.append(measured(scene, capture, how, steps, suffix))
                print(name, json.dumps(rows[-1]), flush=True)
                write_json(RESULT, found, overwrite=True)


if __name__ == "__main__":
    main()
