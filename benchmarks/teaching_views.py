"""From where a scene's own renders teach what photos show: shrinking by renders from several sets of cameras.

    python benchmarks/teaching_views.py --bases bases --data DATA

Takes the scenes of shrinking.py, trained as it says, and shrinks each to 25 and 10 % in 600 steps by its renders from
the cameras of its training photos ("theirs"), from these and as many between neighbours ("theirs and between"), from
these moved by a third of their extent and turned by 20 degrees ("moved"), and from made-up ones in pictures as large as
the photos ("made up", where Gaussians are merged first, as `shrink` does). All are judged on the photos held out and on
renders of the scene as given from there. Adds rows to benchmarks/results/teaching_views.json, where what is there is
not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from shrinking import NAMES, ROOT, Subject, shrunk, subject_of

from leansplat import engines
from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Capture, View
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking import ShrinkingConfig, Target, shrink
from leansplat.shrinking.teacher import teacher_capture

RESULT = ROOT / "benchmarks" / "results" / "teaching_views.json"
VIEWS = ("theirs", "theirs and between", "moved", "made up")
KEPT = (0.25, 0.1)
STEPS = 600
MOVED, TURNED = 1 / 3, math.radians(20)
NEIGHBOURS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, default=Path("bases"), help="folder with trained scenes")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    arguments = parser.parse_args()
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"given": [], "rows": []}
    for name in arguments.only:
        subject = subject_of(name, arguments.bases, arguments.data)
        if subject is None or any(row["scene"] == name for row in found["given"]):
            continue
        given = {"scene": name, "photos trained on": psnr(subject.gaussians, subject.photos, subject.photos.train)}
        found["given"].append(given | scores(subject, subject.gaussians))
        print(found["given"][-1], flush=True)
        for kept in KEPT:
            for views in VIEWS:
                scene = taught(subject, views, kept)
                what = {"scene": name, "views": views, "kept": kept, "gaussians": len(scene)}
                found["rows"].append(what | scores(subject, scene))
                print(found["rows"][-1], flush=True)
        command = "python benchmarks/teaching_views.py --bases bases --data DATA"
        write_json(RESULT, {"command": command, **found}, overwrite=True)


def taught(subject: Subject, views: str, kept: float) -> Gaussians:
    """The scene, shrunk by its renders from these views."""
    if views == "made up":
        return shrunk(subject, "made up", kept, STEPS)
    theirs = {view.name: view.camera for view in subject.photos.train}
    random = np.random.default_rng(0)
    cameras = {"theirs": theirs, "theirs and between": theirs | between(theirs, random), "moved": moved(theirs, random)}
    held_back = {view.name: view.camera for view in subject.photos.test}
    capture = teacher_capture(
        subject.gaussians,
        cameras[views] | held_back,
        held_back=list(held_back),
        background=subject.photos.background,
    )
    config = ShrinkingConfig(steps=STEPS, view_size=max(max(each.width, each.height) for each in theirs.values()))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.ply"
        return shrink(subject.gaussians, small, Target(keep=kept), config, capture=capture).gaussians


def between(cameras: Mapping[str, Camera], random: np.random.Generator) -> dict[str, Camera]:
    """For each camera one on the way to one of its nearest neighbours, by place and direction."""
    places, directions = poses(cameras)
    found = {}
    for index, (name, camera) in enumerate(cameras.items()):
        apart = np.linalg.norm(places - places[index], axis=1) / extent(places)
        apart += np.arccos(np.clip(directions @ directions[index], -1, 1))
        other = random.choice(np.argsort(apart)[1 : NEIGHBOURS + 1])
        share = random.uniform(0.3, 0.7)
        place, direction = ((1 - share) * each[index] + share * each[other] for each in (places, directions))
        found[f"{name} and another"] = standing(camera, place, direction)
    return found


def moved(cameras: Mapping[str, Camera], random: np.random.Generator) -> dict[str, Camera]:
    """Each camera somewhere near where it was."""
    places, directions = poses(cameras)
    aside = random.normal(size=places.shape) * MOVED * extent(places) / math.sqrt(3)
    turned = random.normal(size=places.shape) * TURNED / math.sqrt(3)
    return {
        name: standing(camera, place, direction)
        for (name, camera), place, direction in zip(cameras.items(), places + aside, directions + turned, strict=True)
    }


def poses(cameras: Mapping[str, Camera]) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) places and (n, 3) unit vectors that they look along."""
    matrices = np.stack([camera.world_to_camera.numpy() for camera in cameras.values()])
    rotations, offsets = matrices[:, :3, :3], matrices[:, :3, 3]
    return -np.einsum("nji,nj->ni", rotations, offsets), rotations[:, 2]


def extent(places: np.ndarray) -> float:
    return float(np.linalg.norm(places - places.mean(axis=0), axis=1).max())


def standing(camera: Camera, place: np.ndarray, direction: np.ndarray) -> Camera:
    """The camera at another place, turned to another side, as upright as it was."""
    up = -camera.world_to_camera.numpy()[1, :3]
    new = look_at(place.tolist(), (place + direction).tolist(), up.tolist(), 1.0, camera.width, camera.height)
    return replace(camera, world_to_camera=new.world_to_camera)


def scores(subject: Subject, scene: Gaussians) -> dict[str, Any]:
    """PSNR on photos held out, and on renders of the untouched scene from there."""
    return {
        "photos": psnr(scene, subject.photos, subject.photos.test),
        "renders": psnr(scene, subject.renders, subject.renders.test),
    }


def psnr(scene: Gaussians, capture: Capture, views: tuple[View, ...]) -> float:
    renderer = engines.named("cpu").renderer(scene)
    found = mean_score(view_scores(renderer, views, capture.background, None)).psnr
    assert found is not None
    return found


if __name__ == "__main__":
    main()
