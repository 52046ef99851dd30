"""A scene too large for one piece, shrunk in blocks: memory, time, seams, and the same bits from any number of workers.

    python benchmarks/blocks.py --data DATA

The scene is the fox of another tool, stood up in rows and columns. The large ones, of 5, 10 and 20 million Gaussians,
are shrunk without training, by views of few pixels: what is asked of them is how time and memory grow. Seams are
looked at in a smaller one, with training and without, from cameras that the shrinking did not have: each pixel whose
surface lies near that of another block is a pixel of a seam, all others are inside, and the same scene shrunk whole
tells what the pixels of either kind would lose without any cut.

Writes benchmarks/results/blocks.json. Scratch files, 17 GB for the largest, go where --scratch says; `--parts` does
only some of it, such as seams,bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from leansplat import engines, formats
from leansplat.arrays import GaussianArrays
from leansplat.cameras import Camera
from leansplat.captures.inria_cameras import read_cameras
from leansplat.files import write_json
from leansplat.formats.ply_rows import RowLayout
from leansplat.gaussians import Gaussians
from leansplat.simd.threads import thread_count

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "blocks.json"

LARGE = {"5M": (13, 12), "10M": (18, 17), "20M": (25, 25)}
"""Columns and rows of the scenes by their names."""

SEAMS = (3, 2)
NEAR_A_SEAM = 0.05
"""Of a block's longest side: pixels whose surface is nearer to another block are its seam."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--parts", default="bits,seams," + ",".join(LARGE))
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found |= {"command": "python benchmarks/blocks.py", "threads": thread_count()}
    fox = arguments.data / "scenes" / "fox_opensplat.ply"
    for part in arguments.parts.split(","):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            if part == "bits":
                found["bits"] = bits(fox, Path(folder))
            elif part == "seams":
                found["seams"] = seams(fox, Path(folder))
            else:
                found.setdefault("large", {})[part] = large(fox, Path(folder), *LARGE[part])
        print(part, json.dumps(found.get(part, found.get("large", {}).get(part)), indent=1), flush=True)
        write_json(RESULT, found, overwrite=True)


def tile(fox: Path, scene: Path, columns: int, rows: int, *, cameras: slice) -> dict[str, Camera]:
    """Write copies of a scene side by side, with some of its cameras in each, copy by copy; gives all the others."""
    given = formats.read_arrays(fox)
    low, high = np.quantile(given.means, [0.05, 0.95], axis=0)
    places = [((high - low) * [column, 0, row]) for column in range(columns) for row in range(rows)]
    layout = RowLayout.of(given, scene)
    with open(scene, "wb") as handle:
        handle.write(layout.header(len(given) * len(places)))
        for place in places:
            for block in layout.rows(replace(given, means=given.means + place.astype(np.float32))):
                handle.write(block)
    file = fox.with_name("fox_opensplat.cameras.json")
    entries, known = json.loads(file.read_text()), read_cameras(file)
    chosen = set(list(known)[cameras])
    written, others = [], {}
    for number, place in enumerate(places):
        for entry, (name, camera) in zip(entries, known.items(), strict=True):
            title = f"{number:04}_{name}"
            if name in chosen:
                position = (np.array(entry["position"]) + place).tolist()
                written.append({**entry, "id": len(written), "img_name": title, "position": position})
            else:
                pose = camera.world_to_camera.clone()
                pose[:3, 3] -= pose[:3, :3] @ torch.from_numpy(place)
                others[title] = replace(camera, world_to_camera=pose)
    (scene.parent / "cameras.json").write_text(json.dumps(written))
    return others


def large(fox: Path, folder: Path, columns: int, rows: int) -> dict[str, Any]:
    """Time and memory of a large scene."""
    scene = folder / "scene.ply"
    tile(fox, scene, columns, rows, cameras=slice(None, None, 4))
    wanted = [
        "--keep",
        "70%",
        "--blocks",
        "1M",
        "--workers",
        "2",
        "--steps",
        "0",
        "--views",
        "12",
        "--view-size",
        "160",
    ]
    values, peak, processor, seconds = command(scene, folder / "small.ply", *wanted)
    blocks = values["blocks"]
    return {
        "options": " ".join(wanted),
        "gaussians": {"given": values["original"]["gaussians"], "shrunk": values["gaussians"]},
        "bytes": {"given": values["original"]["bytes"], "shrunk": values["bytes"]},
        "blocks": len(blocks),
        "margin": sum(block["margin"] for block in blocks) / sum(block["given"] for block in blocks),
        "seconds": seconds,
        "processor_seconds": processor,
        "seconds_a_block": seconds / len(blocks),
        "processor_seconds_a_block": processor / len(blocks),
        "memory": {"driver": peak.driver, "block": peak.block, "all": peak.all},
        "psnr": values["loss"]["own"]["psnr"],
    }


def command(scene: Path, out: Path, *options: str) -> tuple[dict[str, Any], Peak, float, float]:
    """What `leansplat shrink` answers; its peak of memory, and the processor and clock time of it and its blocks."""
    line = [sys.executable, "-m", "leansplat", "shrink", str(scene), "-o", str(out), "--json", "--quiet", *options]
    began = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with Peak(process.pid) as peak:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, printed
    return json.loads(printed), peak, usage.ru_utime + usage.ru_stime, time.perf_counter() - began


class Peak:
    """The most memory that a process and all that it has started have at once, looked at five times a second.

    What they share counts for each of them, files that are mapped too, so it is no less than what they take.
    """

    def __init__(self, process: int) -> None:
        self.driver = self.block = self.all = 0
        self._process, self._over = process, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            own, *others = [_resident(process) for process in _with_children(self._process)]
            self.driver = max(self.driver, own)
            self.block = max(self.block, *others, 0)
            self.all = max(self.all, own + sum(others))


def _with_children(process: int) -> list[int]:
    children: list[str] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            children += (thread / "children").read_text().split()
    return [process, *(each for child in children for each in _with_children(int(child)))]


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def bits(fox: Path, folder: Path) -> dict[str, Any]:
    """Digests of a small scene's files, made by one worker and by four."""
    scene = folder / "scene.ply"
    tile(fox, scene, 2, 2, cameras=slice(None, None, 2))
    found = {}
    for workers in (1, 4):
        out = folder / f"{workers}.ply"
        command(
            scene,
            out,
            "--keep",
            "25%",
            "--blocks",
            "4",
            "--workers",
            str(workers),
            "--steps",
            "60",
            "--view-size",
            "160",
        )
        found[f"{workers} workers" if workers > 1 else "1 worker"] = hashlib.sha256(out.read_bytes()).hexdigest()
    return {**found, "same": len(set(found.values())) == 1}


def seams(fox: Path, folder: Path) -> dict[str, Any]:
    """PSNR of pixels near a cut and of all others, of a scene shrunk in blocks and of the same shrunk whole."""
    scene = folder / "scene.ply"
    judges = tile(fox, scene, *SEAMS, cameras=slice(0, None, 2))
    judges = {name: judges[name] for name in list(judges)[:: max(1, len(judges) // 36)]}
    given = formats.read(scene)
    found: dict[str, Any] = {"gaussians": len(given), "blocks": 4, "keep": 0.25, "views": len(judges)}
    for steps in (0, 150):
        usual = ["--keep", "25%", "--steps", str(steps), "--views", "96", "--view-size", "160"]
        kept = folder / f"run-{steps}"
        command(scene, folder / f"blocks-{steps}.ply", "--blocks", "4", "--run", str(kept), *usual)
        command(scene, folder / f"whole-{steps}.ply", *usual)
        cut = [formats.read_arrays(kept / "cut" / f"{number:04}.ply") for number in range(4)]
        found[f"{steps} steps"] = {
            name: compared(given, formats.read(folder / f"{name}-{steps}.ply"), cut, judges)
            for name in ("blocks", "whole")
        }
    return found


def compared(
    given: Gaussians, small: Gaussians, cut: list[GaussianArrays], judges: dict[str, Camera]
) -> dict[str, float]:
    """PSNR in dB over all pixels of seams, and over all others that show something."""
    trees = [cKDTree(part.means[:: max(1, len(part) // 2**16)]) for part in cut]
    sides = [float(np.ptp(np.quantile(part.means, [0.01, 0.99], axis=0), axis=0).max()) for part in cut]
    before, after = (engines.named("cpu").renderer(scene) for scene in (given, small))
    errors: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for camera in judges.values():
        camera = camera.resized(camera.width // 2, camera.height // 2)
        shown = before.render(camera, depth="median")
        other = after.render(camera)
        assert shown.depth is not None
        points, covered = surface(camera, shown.depth.numpy())
        nearest = np.sort(np.stack([tree.query(points)[0] for tree in trees]), axis=0)
        seam = nearest[1] < NEAR_A_SEAM * min(sides)
        square = (shown.image.clamp(0, 1) - other.image.clamp(0, 1)).square().mean(dim=2).numpy()[covered]
        for kind in errors:
            errors[kind].append(square[seam == kind])
    means = {kind: float(np.concatenate(values).mean()) for kind, values in errors.items()}
    pixels = {kind: sum(map(len, values)) for kind, values in errors.items()}
    return {
        "seams": -10 * math.log10(means[True]),
        "inside": -10 * math.log10(means[False]),
        "share_of_seams": pixels[True] / (pixels[True] + pixels[False]),
    }


def surface(camera: Camera, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) where in the world the surfaces of pixels are, and (H, W) bool which pixels have one."""
    covered = depth > 0
    rows, columns = np.nonzero(covered)
    z = depth[covered].astype(np.float64)
    x = (columns + 0.5 - camera.cx) / camera.fx * z
    y = (rows + 0.5 - camera.cy) / camera.fy * z
    pose = camera.world_to_camera.numpy()
    return (np.stack([x, y, z], axis=1) - pose[:3, 3]) @ pose[:3, :3], covered


if __name__ == "__main__":
    main()
