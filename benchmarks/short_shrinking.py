"""What a few training steps of `shrink` win over none, where cameras have to be made up.

    python benchmarks/short_shrinking.py --data DATA

The scene is fox_opensplat.ply without the cameras that lie beside it. From these, which nobody has used, the result is
judged against the scene as it was given. It prints a line for each share and number of steps, and writes
benchmarks/results/short_shrinking.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from leansplat import engines, formats
from leansplat.captures.inria_cameras import read_cameras
from leansplat.files import write_json
from leansplat.metrics.psnr import psnr
from leansplat.shrinking import ShrinkingConfig, Target, shrink

RESULT = Path(__file__).parent / "results" / "short_shrinking.json"
COMMAND = "python benchmarks/short_shrinking.py --data DATA"
SHARES = (0.8, 0.5, 0.25, 0.1)
STEPS = (0, 150, 600, 2000)
EVERY = 4
"""Of the cameras beside the scene, which are taken."""
CONFIG = {"view_size": 240, "views": 96, "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    file = options.data / "scenes" / "fox_opensplat.ply"
    given = formats.read(file)
    cameras = list(read_cameras(file.with_suffix(".cameras.json")).values())[::EVERY]
    renderer = engines.named("cpu").renderer(given)
    wanted = [renderer.render(camera).image.clamp(0, 1) for camera in cameras]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        scene, small = Path(temporary) / "scene.ply", Path(temporary) / "small.ply"
        shutil.copyfile(file, scene)
        for share in SHARES:
            for steps in STEPS:
                config = ShrinkingConfig(steps=steps, **CONFIG)
                result = shrink(scene, small, Target(keep=share), config, overwrite=True)
                renderer = engines.named("cpu").renderer(result.gaussians)
                found = [
                    float(psnr(renderer.render(camera).image.clamp(0, 1), image))
                    for camera, image in zip(cameras, wanted, strict=True)
                ]
                rows.append(
                    {
                        "keep": share,
                        "steps": steps,
                        "gaussians": len(result.gaussians),
                        "psnr": statistics.fmean(found),
                        "worst": min(found),
                        "seconds": result.seconds,
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    result_of_all = {"command": COMMAND, "scene": file.name, "cameras": len(cameras), **CONFIG, "rows": rows}
    write_json(options.output, result_of_all, overwrite=True)


if __name__ == "__main__":
    main()
