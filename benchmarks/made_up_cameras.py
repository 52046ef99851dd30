"""How good are the cameras that are made up for a scene without photos? Compared with the cameras that took its photos.

    python benchmarks/made_up_cameras.py --bases runs/bases

--bases is a folder of run folders named south, tumbler, fruit, fox and chair, each made by

    leansplat train CAPTURE -o runs/bases/NAME --iterations 10000 --downscale 2

(fox at --downscale 4, chair at 1 and --background white) from the captures in --data; those that are missing are left
out. Only a scene's Gaussians are given to the search. For each scene, and for 64 cameras, as many on a circle around it
(`camera_paths.orbit`) and around random Gaussians, the script measures

- distance, angle: from a made-up camera to the nearest real one, in units of the real ones' extent, and to the forward
  axis of the best of the eight nearest; within: the share inside the convex hull of the real cameras, made a tenth
  larger; covered: from real cameras to the nearest made-up one;
- trusted: the share of views that are no worse than nine tenths of the real ones in each of harmonics (likelihood of
  the directions), coverage, and depth (nearest over median distance);
- seen, kept: the share of the summed importance over the real training cameras (GaussianPOP) that belongs to Gaussians
  of any importance over these cameras, and to the quarter that is most important over these;
- psnr: of the scene with that quarter only, untuned, against the whole scene, in the views of held-out real cameras;
- tuned (with --tune NAME ...): the same after trimming to a tenth in five rounds and 300 steps against the scene's own
  renders from these cameras.

"without harmonics" is the search on the same scene with degree 0 only.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import ConvexHull, Delaunay, QhullError, cKDTree
from scipy.stats import spearmanr

from leansplat import engines
from leansplat.camera_paths import orbit
from leansplat.cameras import Camera, look_at
from leansplat.captures import load
from leansplat.captures.capture import View, every_eighth
from leansplat.captures.inria_cameras import read_cameras
from leansplat.files import write_json
from leansplat.formats import read
from leansplat.gaussians import Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.shrinking.teacher import teacher_capture
from leansplat.viewpoints import MadeUpViews, contact_sheet, made_up_views
from leansplat.viewpoints.candidates import HALF_ANGLE
from leansplat.viewpoints.panorama import RAYS, SOLID_ANGLES, Surveyor
from leansplat.viewpoints.places import reach_of
from leansplat.viewpoints.trained_directions import trained_directions

RESULT = Path(__file__).parent / "results" / "made_up_cameras.json"
DATA = Path(__file__).parents[2] / "shared" / "data"
CAPTURES = {
    "south": ("south_building", (0.0, 0.0, 0.0)),
    "tumbler": ("tumbler", (0.0, 0.0, 0.0)),
    "fruit": ("fruit", (0.0, 0.0, 0.0)),
    "fox": ("fox", (0.0, 0.0, 0.0)),
    "chair": ("chair_blender", (1.0, 1.0, 1.0)),
}
OTHER_TOOLS = ("fox_opensplat",)
COUNT = 64
LONGEST = 256


def cameras_of(folder: Path) -> dict[str, Camera]:
    capture = load(folder, points=False)
    return {view.name: view.camera for view in (*capture.train, *capture.test)}


def small(camera: Camera) -> Camera:
    scale = LONGEST / max(camera.width, camera.height)
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def random_cameras(gaussians: Gaussians, count: int) -> dict[str, Camera]:
    """Cameras that look at random Gaussians, from any side, as far away as the scene is large."""
    random = np.random.default_rng(0)
    means = gaussians.means.double().numpy()
    reach = float(np.median(np.linalg.norm(means - np.median(means, axis=0), axis=1)))
    cameras = {}
    for index in range(count):
        target, away = means[random.integers(len(means))], random.normal(size=3)
        eye = target + reach * away / np.linalg.norm(away)
        up = random.normal(size=3)
        cameras[f"{index:03}"] = look_at(eye, target, up, math.radians(60), LONGEST, LONGEST * 3 // 4)
    return cameras


def poses(cameras: Mapping[str, Camera]) -> tuple[np.ndarray, np.ndarray]:
    places = np.stack([camera.position.numpy() for camera in cameras.values()])
    return places, np.stack([camera.world_to_camera[2, :3].numpy() for camera in cameras.values()])


def nearness(cameras: Mapping[str, Camera], real: Mapping[str, Camera]) -> dict[str, Any]:
    places, forward = poses(cameras)
    real_places, real_forward = poses(real)
    middle = real_places.mean(axis=0)
    extent = float(np.linalg.norm(real_places - middle, axis=1).max())
    distances, nearest = cKDTree(real_places).query(places, k=min(8, len(real_places)))
    cosines = (real_forward[nearest] * forward[:, None]).sum(axis=2).clip(-1, 1)
    try:
        corners = middle + 1.1 * (real_places[ConvexHull(real_places).vertices] - middle)
        within = float((Delaunay(corners).find_simplex(places) >= 0).mean())
    except QhullError:
        within = None
    return {
        "distance": quantiles(distances[:, 0] / extent),
        "angle": quantiles(np.degrees(np.arccos(cosines)).min(axis=1)),
        "within": within,
        "covered": quantiles(cKDTree(places).query(real_places)[0] / extent),
    }


def quantiles(values: np.ndarray) -> list[float]:
    return np.quantile(values, [0.1, 0.5, 0.9]).round(4).tolist()


def trust(surveyor: Surveyor, cameras: Mapping[str, Camera]) -> np.ndarray:
    """(n, 3) of each view: mean likelihood of the directions, coverage, nearest over median distance."""
    rows = []
    for place, forward in zip(*poses(cameras), strict=True):
        seen = surveyor.around(place)
        cone = RAYS @ forward > math.cos(HALF_ANGLE)
        met = cone & (seen.neighbourhood >= 0)
        if not met.any():
            rows.append((-10.0, 0.0, 0.0))
            continue
        likelihood = np.average(seen.likelihood[met], weights=SOLID_ANGLES[met])
        coverage = SOLID_ANGLES[met].sum() / SOLID_ANGLES[cone].sum()
        distances = seen.distance[met]
        rows.append((likelihood, coverage, np.quantile(distances, 0.03) / np.median(distances)))
    return np.array(rows)


def importance(gaussians: Gaussians, cameras: Mapping[str, Camera], background: tuple[float, float, float]) -> Any:
    """(N,) GaussianPOP's score over some cameras."""
    views = []
    for name, camera in cameras.items():
        camera = small(camera)
        views.append(View(name, camera, torch.zeros(camera.height, camera.width, 3, dtype=torch.uint8)))
    return engines.named("cpu").begin(gaussians, {}).removal_effects(views, background).change.numpy()


def psnr_between(one: Gaussians, other: Gaussians, cameras: Mapping[str, Camera], background: Any) -> float:
    """Mean PSNR of one scene's renders against another's."""
    scenes = [engines.named("cpu").renderer(scene) for scene in (one, other)]
    found = []
    for camera in cameras.values():
        first, second = (scene.render(small(camera), background).image.clamp(0, 1) for scene in scenes)
        found.append(-10 * math.log10(float(((first - second) ** 2).mean())))
    return float(np.mean(found))


def tuned(gaussians: Gaussians, cameras: Mapping[str, Camera], background: Any) -> Gaussians:
    capture = teacher_capture(
        gaussians, {name: small(camera) for name, camera in cameras.items()}, held_back=[], background=background
    )
    config = TrimmingConfig(keep=0.1, criterion="gaussianpop", rounds=5, every=20, finetune=200)
    return trim(gaussians, capture, config).gaussians


def measure(name: str, gaussians: Gaussians, real: Mapping[str, Camera], background: Any, tune: bool) -> dict[str, Any]:
    held_out = every_eighth(list(real))
    train = {key: camera for key, camera in real.items() if key not in held_out}
    test = {key: camera for key, camera in real.items() if key in held_out}
    start, used = time.perf_counter(), time.process_time()
    found: MadeUpViews = made_up_views(gaussians, COUNT, size=LONGEST)
    seconds, processor_seconds = time.perf_counter() - start, time.process_time() - used
    sets = {
        "real": train,
        "made up": found.cameras,
        "without harmonics": made_up_views(gaussians.with_sh_degree(0), COUNT, size=LONGEST).cameras,
        "circle": {f"{k:03}": c for k, c in enumerate(orbit(gaussians, COUNT, width=LONGEST, height=192))},
        "random": random_cameras(gaussians, COUNT),
    }
    surveyor = Surveyor(gaussians, trained_directions(gaussians.arrays()), reach_of(gaussians.arrays()).near)
    usual = np.quantile(trust(surveyor, train), 0.1, axis=0)
    reference = importance(gaussians, train, background)
    rows = {}
    for label, cameras in sets.items():
        scores = importance(gaussians, cameras, background)
        best = np.argsort(-scores, kind="stable")[: len(gaussians) // 4]
        rows[label] = {
            **nearness(cameras, real),
            "trusted": float((trust(surveyor, cameras) >= usual).all(axis=1).mean()),
            "seen": float(reference[scores > 0].sum() / reference.sum()),
            "kept": float(reference[best].sum() / reference.sum()),
            "rank_correlation": float(spearmanr(reference, scores)[0]),
            "psnr": psnr_between(gaussians[torch.from_numpy(np.sort(best))], gaussians, test, background),
        }
        if tune and label != "without harmonics":
            rows[label]["tuned"] = psnr_between(tuned(gaussians, cameras, background), gaussians, test, background)
        print(name, label, json.dumps(rows[label]), flush=True)
    return {
        "name": name,
        "gaussians": len(gaussians),
        "kind": found.kind,
        "known": found.known,
        "up_off_degrees": up_off(found, real),
        "unseen": found.unseen,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor_seconds, 1),
        "cameras": rows,
    }


def up_off(found: MadeUpViews, real: Mapping[str, Camera]) -> float:
    """Degrees between the up that was found and that of the real pictures; phones may have been held sideways."""
    up = -np.stack([camera.world_to_camera[1, :3].numpy() for camera in real.values()]).mean(axis=0)
    return round(float(np.degrees(np.arccos(np.clip(found.up @ up / np.linalg.norm(up), -1, 1)))), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, required=True, help="folder of run folders by name of their capture")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with captures/ and scenes/")
    parser.add_argument("--only", nargs="*", help="only these scenes")
    parser.add_argument("--tune", nargs="*", default=["south", "fox"], help="scenes to trim and tune as well")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of the made-up views of each scene")
    arguments = parser.parse_args()
    results = {row["name"]: row for row in json.loads(RESULT.read_text())["scenes"]} if RESULT.exists() else {}
    for name in (*CAPTURES, *OTHER_TOOLS):
        if arguments.only and name not in arguments.only:
            continue
        background = (0.0, 0.0, 0.0)
        if name in CAPTURES:
            folder, background = CAPTURES[name]
            if not (arguments.bases / name / "scene.ply").exists():
                print(f"{name} is left out: there is no trained scene")
                continue
            gaussians = read(arguments.bases / name / "scene.ply")
            real = cameras_of(arguments.data / "captures" / folder)
        else:
            gaussians = read(arguments.data / "scenes" / f"{name}.ply")
            real = read_cameras(arguments.data / "scenes" / f"{name}.cameras.json")
        results[name] = measure(name, gaussians, real, background, name in arguments.tune)
        if arguments.sheets:
            views = made_up_views(gaussians, COUNT, size=LONGEST)
            sheet = arguments.sheets / f"{name}.png"
            contact_sheet(gaussians, views.cameras, sheet, sureness=views.sureness, up=views.up, overwrite=True)
        write_json(
            RESULT,
            {"command": "python benchmarks/made_up_cameras.py --bases BASES", "scenes": list(results.values())},
            overwrite=True,
        )


if __name__ == "__main__":
    main()
