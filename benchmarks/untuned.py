"""Fewer Gaussians without training: `leansplat.merging.simplify` against splat-transform's two decimations, at 50, 25
and 10 % of the Gaussians, judged on renders of the untouched scene from cameras that neither used, and on photos.

    for c in south_building tumbler fruit; do
        leansplat train DATA/captures/$c -o bases/$c --iterations 10000 --downscale 2; done
    python benchmarks/untuned.py --bases FOLDER --data DATA

The folder has a run folder or just a scene.ply for each of south, tumbler, fruit (trained as above), fox (with
`--downscale 4`), chair (`--background white`) and synthetic (the built-in capture, by
`TrainingConfig().scaled(3000).adjusted(Densification, every=100)`); what is not there is left
out. "known" has the views of the training cameras, rendered from the scene; "made up" those that
`leansplat.viewpoints` finds, "none" has no views. The scenes without photos are judged on a ring of cameras
around them, of which seven in eight are the known ones.

It prints a line for each and adds it to benchmarks/results/untuned.json, where what is there is not measured again.
Seconds are of the processor, of all threads; splat-transform is started anew each time, reading and writing included.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trained_scenes import CAPTURES, photos_of

from leansplat import engines, formats
from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Capture, View
from leansplat.captures.inria_cameras import read_cameras
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.merging import simplify
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking.teacher import teacher_capture

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "untuned.json"
TOOL = ROOT / "node_modules/@playcanvas/splat-transform/bin/cli.mjs"

SCENES = {"plant": "plant.splat", "tarot": "academic_tarot_cards.splat"}
NAMES = ("fox_opensplat", *SCENES, *CAPTURES, "synthetic")
KEPT = (0.5, 0.25, 0.1)
METHODS = ("decimate", "decimate-adaptive", "none", "known", "made up")
RING = 40
MADE_UP = 64
LONGEST_SIDE = 400
"""Pixels of the pictures: larger ones are made smaller."""


@dataclass(frozen=True)
class Subject:
    """A scene, the file it is in, views of its own renders, and the photos held back, if there are any."""

    path: Path
    gaussians: Gaussians
    known: Capture
    photos: tuple[View, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, default=Path("bases"), help="folder with trained scenes")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    for name in arguments.only:
        wanted = [
            {"scene": name, "kept": kept, "method": method}
            for method in arguments.methods
            for kept in KEPT
            if not any(row["scene"] == name and row["kept"] == kept and row["method"] == method for row in rows)
        ]
        subject = subject_of(name, arguments.bases, arguments.data) if wanted else None
        if subject is None:
            continue
        made_up = None
        for what in wanted:
            if what["method"] == "made up" and made_up is None:
                made_up = made_up_capture(subject)
            rows.append(what | measured(subject, what["method"], what["kept"], made_up))
            print(rows[-1], flush=True)
            rows.sort(key=lambda row: (NAMES.index(row["scene"]), METHODS.index(row["method"]), -row["kept"]))
            command = "python benchmarks/untuned.py --bases FOLDER --data DATA"
            write_json(RESULT, {"command": command, "rows": rows}, overwrite=True)


def subject_of(name: str, bases: Path, data: Path) -> Subject | None:
    if name in CAPTURES or name == "synthetic":
        path = bases / name / "scene.ply"
        if not path.exists():
            print(f"{path} is not there; left out", file=sys.stderr)
            return None
        gaussians = formats.read(path)
        capture = photos_of(name, data)
        cameras = {view.name: smaller(view.camera) for view in capture.train + capture.test}
        held_back = [view.name for view in capture.test]
        known = teacher_capture(gaussians, cameras, held_back=held_back, background=capture.background)
        return Subject(path, gaussians, known, capture.test)
    path = data / "scenes" / (SCENES.get(name) or "fox_opensplat.ply")
    gaussians = formats.read(path)
    if name in SCENES:
        cameras = ring(gaussians)
    else:
        found = read_cameras(data / "scenes" / "fox_opensplat.cameras.json")
        cameras = {view: smaller(camera) for view, camera in found.items()}
    return Subject(path, gaussians, teacher_capture(gaussians, cameras), ())


def smaller(camera: Camera) -> Camera:
    """The same view in a picture of at most `LONGEST_SIDE`."""
    scale = min(1.0, LONGEST_SIDE / max(camera.width, camera.height))
    return camera.resized(round(scale * camera.width), round(scale * camera.height))


def ring(gaussians: Gaussians) -> dict[str, Camera]:
    """Cameras around what most of a scene's Gaussians make up, on three heights, -y up."""
    middle = gaussians.means.median(dim=0).values.double()
    reach = float((gaussians.means.double() - middle).norm(dim=1).quantile(0.8))
    cameras = {}
    for index in range(RING):
        angle, height = 2 * math.pi * 3.0001 * index / RING, (0.15, 0.45, 0.8)[index % 3]
        across = math.cos(height)
        towards = torch.tensor([across * math.cos(angle), -math.sin(height), across * math.sin(angle)])
        position = middle + 2.2 * reach * towards
        cameras[f"{index:03d}"] = look_at(position.tolist(), middle.tolist(), (0, -1, 0), 0.9, 400, 300)
    return cameras


def made_up_capture(subject: Subject) -> tuple[Capture, float]:
    """Views of the scene that were looked for, and the processor's seconds that this took."""
    from leansplat.viewpoints import made_up_views

    start = time.process_time()
    views = made_up_views(subject.gaussians, MADE_UP, size=LONGEST_SIDE)
    capture = teacher_capture(subject.gaussians, views.cameras, held_back=(), background=subject.known.background)
    return capture, time.process_time() - start


def measured(subject: Subject, method: str, kept: float, made_up: tuple[Capture, float] | None) -> dict[str, Any]:
    count = round(kept * len(subject.gaussians))
    if method.startswith("decimate"):
        scene, seconds = decimated(subject.path, f"--{method}", count)
    else:
        capture = subject.known if method == "known" else made_up[0] if method == "made up" and made_up else None
        scene, seconds = timed(lambda: simplify(subject.gaussians, count, capture).gaussians)
    renderer = engines.named("cpu").renderer(scene)
    renders = mean_score(view_scores(renderer, subject.known.test, subject.known.background))
    photos = mean_score(view_scores(renderer, subject.photos, subject.known.background))
    return {
        "gaussians": len(scene),
        "psnr": renders.psnr,
        "ssim": renders.ssim,
        "photos": None if photos.psnr is None else {"psnr": photos.psnr, "ssim": photos.ssim},
        "seconds": seconds,
        "search_seconds": made_up[1] if method == "made up" and made_up else 0.0,
    }


def timed(work: Callable[[], Gaussians]) -> tuple[Gaussians, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def decimated(path: Path, option: str, count: int) -> tuple[Gaussians, float]:
    """What splat-transform makes of a file, and the processor's seconds."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "decimated.ply"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["node", str(TOOL), "--quiet", "-g", "cpu", str(path), option, str(count), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return formats.read(target), seconds


if __name__ == "__main__":
    main()
