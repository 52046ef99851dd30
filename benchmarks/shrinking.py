"""Shrinking without photos against trimming with them, at 50, 25 and 10 % of the Gaussians, after equal training.

    for c in south_building tumbler fruit; do
        leansplat train DATA/captures/$c -o bases/$c --iterations 10000 --downscale 2; done
    leansplat train DATA/captures/fox -o bases/fox --iterations 10000 --downscale 4
    leansplat train DATA/captures/chair_blender -o bases/chair --iterations 10000 --background white
    python benchmarks/shrinking.py --bases bases --data DATA

The folder has a run folder or just a scene.ply for each of south, tumbler, fruit, fox and chair, trained as above, and
for synthetic, trained on the built-in capture by `TrainingConfig().scaled(3000).adjusted(Densification, every=100)`;
what is not there is left out. "photos" trims on the training photos, "known" shrinks by the scene's own renders from
their cameras, "both" by photos and renders together, as `shrink --capture` does, "made up" by its renders from cameras
that are made up, in pictures as large as the photos, and "nothing known" in those of `shrink` without options. All take
the same number of training steps, and all are judged on the photos held out and on renders of the untouched scene from
the cameras of those. What splat-transform's decimations and `--steps 0` come to is in untuned.json.

It prints a line for each and adds it to benchmarks/results/shrinking.json, where what is there is not measured again.
Seconds are of the processor, of all threads.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trained_scenes import CAPTURES, photos_of

from leansplat import engines, formats
from leansplat.captures.capture import Capture
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.metrics.lpips import Lpips
from leansplat.pruning import TrimmingConfig, trim
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking import ShrinkingConfig, Target, shrink
from leansplat.shrinking.teacher import teacher_capture

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "shrinking.json"
NAMES = (*CAPTURES, "synthetic")
KEPT = (0.5, 0.25, 0.1)
METHODS = ("photos", "both", "known", "made up", "nothing known")


@dataclass(frozen=True)
class Subject:
    """A trained scene, its photos, and its own renders from their cameras."""

    gaussians: Gaussians
    photos: Capture
    renders: Capture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, default=Path("bases"), help="folder with trained scenes")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--kept", nargs="+", type=float, default=KEPT)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    network = Lpips("vgg")
    for name in arguments.only:
        subject = subject_of(name, arguments.bases, arguments.data)
        if subject is None:
            continue
        wanted = [("as given", 1.0), *((method, kept) for kept in arguments.kept for method in arguments.methods)]
        for method, kept in wanted:
            what = {"scene": name, "method": method, "kept": kept, "steps": 0 if kept == 1 else arguments.steps}
            if any(all(row[key] == value for key, value in what.items()) for row in rows):
                continue
            began = time.process_time()
            scene = subject.gaussians if kept == 1 else shrunk(subject, method, kept, arguments.steps)
            seconds = time.process_time() - began
            rows.append(what | {"gaussians": len(scene), "seconds": seconds} | scores(subject, scene, network))
            print(rows[-1], flush=True)
            rows.sort(
                key=lambda row: (NAMES.index(row["scene"]), -row["kept"], ("as given", *METHODS).index(row["method"]))
            )
            write_json(
                RESULT, {"command": "python benchmarks/shrinking.py --bases bases", "rows": rows}, overwrite=True
            )


def subject_of(name: str, bases: Path, data: Path) -> Subject | None:
    path = bases / name / "scene.ply"
    if not path.exists():
        print(f"{path} is not there; left out", file=sys.stderr)
        return None
    gaussians = formats.read(path)
    photos = photos_of(name, data)
    views = (*photos.train, *photos.test)
    renders = teacher_capture(
        gaussians,
        {view.name: view.camera for view in views},
        held_back=[view.name for view in photos.test],
        background=photos.background,
    )
    return Subject(gaussians, photos, renders)


def shrunk(subject: Subject, method: str, kept: float, steps: int) -> Gaussians:
    """What a method makes of a scene."""
    if method == "photos":
        every = max(1, steps // 30)
        trimming = TrimmingConfig(keep=kept, rounds=10, every=every, finetune=steps - 10 * every)
        return trim(subject.gaussians, subject.photos, trimming).gaussians
    longest = max(max(view.camera.width, view.camera.height) for view in subject.photos.train)
    config = ShrinkingConfig(steps=steps)
    config = config if method == "nothing known" else replace(config, view_size=longest)
    with tempfile.TemporaryDirectory() as folder:
        return shrink(
            subject.gaussians,
            Path(folder) / "small.ply",
            Target(keep=kept),
            config,
            capture={"known": subject.renders, "both": subject.photos}.get(method),
            background=subject.photos.background,
        ).gaussians


def scores(subject: Subject, scene: Gaussians, network: Lpips) -> dict[str, Any]:
    """On photos held out, and on renders of the untouched scene from there."""
    renderer = engines.named("cpu").renderer(scene)
    found = {}
    for kind, capture in (("photos", subject.photos), ("renders", subject.renders)):
        mean = mean_score(view_scores(renderer, capture.test, capture.background, network))
        found[kind] = {"psnr": mean.psnr, "ssim": mean.ssim, "lpips": mean.lpips}
    return found


if __name__ == "__main__":
    main()
