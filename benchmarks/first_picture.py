r"""How long it takes from the command to the first picture of a large scene in the browser, and what the page weighs.

    python benchmarks/first_picture.py --scene RUN

RUN is any trained scene with harmonics of degree 3. Copies of it beside each other make a .ply of 300 MB in a temporary
folder, and the most opaque Gaussians of it a .sog of about 10 MB. `leansplat view` is started for each; the time is from
its start to the first picture that is final, in a Chromium without a window that draws on the CPU, and without a
browser's own start. Files are in the page cache. It needs playwright and Chromium, as the tests of the page do.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from leansplat import formats
from leansplat.arrays import GaussianArrays, concatenate
from leansplat.files import write_json

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.browser import Opened, launched  # noqa: E402

PLY_BYTES, SOG_BYTES = 300e6, 10e6


def tiled(scene: GaussianArrays, count: int) -> GaussianArrays:
    """`count` Gaussians: copies of a scene beside each other along x."""
    width = 2 * float(np.quantile(np.abs(scene.means[:, 0] - np.median(scene.means[:, 0])), 0.9))
    copies = []
    for number in range(-(-count // len(scene))):
        means = scene.means.copy()
        means[:, 0] += number * width
        copies.append(replace(scene, means=means))
    return concatenate(copies)[:count]


def measure(browser: Any, scene: Path) -> dict[str, Any]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "leansplat.cli", "view", "--no-open", str(scene)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        served = time.perf_counter() - began
        page = Opened(browser, address, size=(1280, 720)).ready()
        drawn = time.perf_counter() - began
        page.do("it.stage.times.length = 0")
        again = time.perf_counter()
        page.do("it.controls.change(pose => it.controls.turn(pose, 0.1, 0))")
        turned = time.perf_counter() - again
        count = page.value("it.description.scenes[0].gaussians")
        page.close()
        process.terminate()
    return {
        "file": scene.name,
        "bytes": formats.scene_bytes(scene),
        "gaussians": count,
        "seconds_to_address": served,
        "seconds_to_first_picture": drawn,
        "seconds_to_final_picture_after_a_turn": turned,
    }


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the page in the package, and of a wheel."""
    page = ROOT / "src/leansplat/viewing/page"
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return {"page": sum(path.stat().st_size for path in page.iterdir()), "wheel": wheel.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "first_picture.json")
    options = parser.parse_args()
    scene = formats.read_arrays(options.scene)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        large = tiled(scene, round(PLY_BYTES / 248))
        formats.write(large, folder / "large.ply")
        share = 0.5
        for _ in range(2):  # the bytes of a .sog are nearly in proportion to its Gaussians
            kept = np.sort(np.argsort(-large.opacities, kind="stable")[: int(share * len(large))])
            formats.write(large[kept], folder / "small.sog", overwrite=True)
            share = min(1.0, share * SOG_BYTES / formats.scene_bytes(folder / "small.sog"))
        with launched() as browser:
            for name in ("large.ply", "small.sog"):
                rows.append(measure(browser, folder / name))
                print(json.dumps(rows[-1]), flush=True)
        found = {
            "command": shlex.join(["python", "benchmarks/first_picture.py", *sys.argv[1:]]),
            "cores": os.cpu_count(),
            "rows": rows,
            "bytes": sizes(folder),
        }
    found["command"] = found["command"].replace(str(options.scene), "RUN")
    write_json(options.output, found, overwrite=True)


if __name__ == "__main__":
    main()
