"""Times each stage of a training step, next to the prototype's stages, and the whole step against their sum.

Our stages are measured where they run, inside a step through `render`, autograd and the optimiser, on a uint8 photo and
with statistics: the kernels are wrapped with a clock. The whole step is `training_step`, which runs the same kernels
without autograd and fuses the last two. The prototype's stages run as its own `bench.py` calls them. All take turns
round by round in one process, so that noise on the machine hits them alike.

    python benchmarks/render_stages.py                               # synthetic scenes A and B of the prototype
    python benchmarks/render_stages.py --scene RUN/scene.ply --capture FOX --downscale 4

It prints a table for each scene and writes benchmarks/results/render_stages.json. Times are in milliseconds; ratios are
of best times, ours to the prototype's. Without the prototype's folder, ours are timed alone.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import torch

if __name__ == "__main__" and "--threads" in sys.argv:
    # Numba reads this when it is imported, and the prototype takes its thread count from it.
    os.environ["NUMBA_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import numba

from leansplat import captures, formats
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.cpu import model as model_module
from leansplat.engines.cpu import pack, rasterizer, render
from leansplat.engines.cpu.model import CpuModel
from leansplat.engines.cpu.packed import LANES, unpack_rows
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.metrics.loss import photometric_loss
from leansplat.training import loss as loss_module
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState, training_step

PROTOTYPE = Path(__file__).parents[1] / "../shared/prototype"
RESULTS = Path(__file__).parent / "results" / "render_stages.json"
BACKGROUND = (0.1, 0.2, 0.3)
SYNTHETIC = {"A": (100_000, 480, 270, 0.042), "B": (500_000, 960, 540, 0.018)}
"""The prototype's scenes: Gaussians, width, height, size of the Gaussians."""

STAGES: dict[str, list[tuple[ModuleType, str]]] = {
    "projection + SH forward": [(rasterizer, "project")],
    "binning + sort": [(rasterizer, "_bin")],
    "raster forward": [(rasterizer, "blend")],
    "SSIM + L1, both ways": [(loss_module, "ssim_and_l1"), (loss_module, "ssim_and_l1_gradient")],
    "raster backward": [(rasterizer, "blend_backward")],
    "projection + SH backward": [(rasterizer, "project_backward")],
    "Adam": [(model_module, "adam_step")],
}
"""Our functions that make up each stage, by the prototype's names of the stages."""

RENDERING = [stage for stage in STAGES if stage not in {"SSIM + L1, both ways", "Adam"}]

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Subject:
    """A scene, the view to render it from, and what to call it."""

    name: str
    gaussians: Gaussians
    view: View


def synthetic(name: str, scene: Callable[..., Any], *, morton: bool) -> Subject:
    """One of the prototype's scenes with its camera; the photo is noise, as in its `bench.py`."""
    count, width, height, size = SYNTHETIC[name]
    planes, numbers = scene(count, width, height, size, morton=morton)
    gaussians = from_planes(torch.from_numpy(planes[:, :count]))
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.from_numpy(numbers[:9].reshape(3, 3))
    pose[:3, 3] = torch.from_numpy(numbers[9:12])
    fx, fy, cx, cy = numbers[12:16].tolist()
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    noise = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Subject(name, gaussians, View(name, Camera(pose, K, width, height), noise))


def trained(scene: Path, capture: Path, downscale: int) -> Subject:
    """A scene file at SH degree 3, seen from the first training view of a capture."""
    gaussians = formats.read(scene).with_sh_degree(3)
    return Subject(scene.stem, gaussians, captures.load(capture, downscale=downscale, points=False).train[0])


def from_planes(planes: torch.Tensor) -> Gaussians:
    """The prototype's (59, N) layout, an attribute a row, as Gaussians."""
    rows = planes.T.contiguous()
    return Gaussians(
        means=rows[:, :3].contiguous(),
        quats=rows[:, 3:7].contiguous(),
        scales=rows[:, 7:10].contiguous(),
        opacities=rows[:, 10].contiguous(),
        sh0=rows[:, 11:14].reshape(-1, 1, 3).contiguous(),
        shN=rows[:, 14:].reshape(-1, 15, 3).contiguous(),
    )


@contextmanager
def clocked(times: Times) -> Iterator[None]:
    """Within it, every function in `STAGES` adds the time of a call to the last entry of its stage."""
    originals = [(module, name, getattr(module, name)) for functions in STAGES.values() for module, name in functions]

    def wrap(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **options)
            times[stage][-1] += time.perf_counter() - start
            return result

        return timed

    for stage, functions in STAGES.items():
        for module, name in functions:
            setattr(module, name, wrap(stage, getattr(module, name)))
    try:
        yield
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


class OurStep:
    """Training steps of leansplat that always start from the same parameters."""

    def __init__(self, subject: Subject) -> None:
        self.view = subject.view
        self.config = TrainingConfig()
        # At the end of the schedule all SH degrees are in use.
        self.state = TrainingState.begin(subject.gaussians, self.config, 1.0, step=self.config.iterations)
        model = self.state.model
        assert isinstance(model, CpuModel)
        self.model, self.parameters = model, model.packed.data.clone()

    def run(self, times: Times) -> None:
        model, statistics = self.model, self.state.statistics
        model.packed.data.copy_(self.parameters)
        leaf = model.packed.data.detach().requires_grad_()
        for stage in STAGES:
            times[stage].append(0.0)
        start = time.perf_counter()
        with clocked(times):
            packed = replace(model.packed, data=leaf)
            image = render(packed, self.view.camera, background=BACKGROUND, statistics=statistics).image
            loss = photometric_loss(image, self.view.photo, self.config.ssim_weight)
            model.update(torch.autograd.grad(loss, leaf)[0])
        times["step through autograd"].append(time.perf_counter() - start)
        del image, loss
        model.packed.data.copy_(self.parameters)
        start = time.perf_counter()
        training_step(self.state, self.view, self.config, BACKGROUND, statistics=statistics)
        times["whole step"].append(time.perf_counter() - start)


class PrototypeStep:
    """The prototype's stages, called as its `bench.py` calls them."""

    def __init__(self, subject: Subject) -> None:
        raster, projection, scene = (importlib.import_module(name) for name in ("nbraster", "nbproj", "scene"))
        single, aligned = np.float32, scene.aligned
        camera, photo = subject.view.camera, subject.view.photo
        packed = pack(subject.gaussians)
        rows = unpack_rows(packed.data, packed.data.shape[0] * LANES)
        count = len(rows)
        planes = aligned((59, count), single)
        planes[:] = rows.T.numpy()
        planes[2, len(packed) :], planes[3, len(packed) :] = -1, 1  # padding lies behind the camera
        numbers = np.zeros(21, single)
        numbers[:9] = camera.world_to_camera[:3, :3].reshape(-1).numpy()
        numbers[9:12] = camera.world_to_camera[:3, 3].numpy()
        width, height = camera.width, camera.height
        numbers[12:18] = [camera.fx, camera.fy, camera.cx, camera.cy, width, height]
        numbers[18:21] = camera.position.numpy()
        background = np.array(BACKGROUND, single)
        target = np.ascontiguousarray(photo.permute(2, 0, 1).numpy().astype(single) / single(255))
        threads = numba.config.NUMBA_NUM_THREADS
        columns, lines = -(-width // 16), -(-height // 16)

        splats, keys, tiles = aligned((count * 16,), single), aligned((count,), single), aligned((count * 4,), np.int16)
        sorting = [aligned((count,), np.uint32) for _ in range(2)] + [aligned((count,), np.int32) for _ in range(2)]
        masks, offsets = aligned((count,), np.uint16), aligned((columns * lines + 1,), np.int32)
        capacity = 12 * count
        image, light = aligned((3, height, width), single), aligned((1, height, width), single)
        sums, gradient = aligned((threads * count * 16,), single), aligned((59, count), single)
        slopes, image_gradient = aligned((9, height, width), single), aligned((3, height, width), single)
        first, second, updated = aligned((59, count), single), aligned((59, count), single), planes.copy()
        rates, hyper = np.full(59, 1e-3, single), [single(number) for number in (0.9, 0.999, 1e-15, 1, 1)]
        projection.proj_fwd(planes.ravel(), count, numbers, splats, keys, tiles, 16, 16, threads)

        def sort(pairs: np.ndarray) -> int:
            found = projection.bin_sort(
                splats, keys.view(np.uint32), tiles, count, columns, lines, 16, 16, *sorting, masks, offsets, pairs,
                threads, projection.LN,
            )  # fmt: skip
            return int(found)

        capacity = max(capacity, sort(np.empty(0, np.int32)))
        pairs, drawn = aligned((capacity,), np.int32), aligned((capacity,), np.uint16)

        def chunked(stage: Callable[[], object]) -> Callable[[], object]:
            def run() -> None:
                numba.set_parallel_chunksize(4)
                stage()
                numba.set_parallel_chunksize(0)

            return run if threads > 1 else stage

        self.stages: dict[str, Callable[[], object]] = {
            "projection + SH forward": lambda: projection.proj_fwd(
                planes.ravel(), count, numbers, splats, keys, tiles, 16, 16, threads
            ),
            "binning + sort": lambda: sort(pairs),
            "raster forward": chunked(
                lambda: raster.raster_fwd2(
                    splats, offsets, pairs, columns, lines, width, height, background, image, light, drawn, raster.LX,
                    raster.LY, raster.BX, raster.BY,
                )
            ),
            "SSIM + L1, both ways": lambda: projection.ssim_l1v(
                image, target, width, height, single(0.2), slopes, image_gradient, projection.KW, threads, projection.LN
            ),
            "raster backward": chunked(
                lambda: raster.raster_bwd2(
                    splats, offsets, pairs, columns, lines, width, height, image, image_gradient, sums, count, threads,
                    drawn, raster.LX, raster.LY,
                )
            ),
            "projection + SH backward": lambda: projection.proj_bwd(
                planes.ravel(), count, numbers, splats, sums, tiles, gradient.ravel(), threads
            ),
            "Adam": lambda: projection.adam_dense(updated, gradient, first, second, rates, *hyper),
        }  # fmt: skip
        self.image = image
        if list(self.stages) != list(STAGES):
            raise RuntimeError("the prototype's stages do not match ours")

    def run(self, times: Times) -> None:
        for stage, function in self.stages.items():
            start = time.perf_counter()
            function()
            times[stage].append(time.perf_counter() - start)
        times["sum of stages"].append(sum(times[stage][-1] for stage in self.stages))


def measure(subject: Subject, rounds: int, *, with_prototype: bool) -> dict[str, Any]:
    """Time both, taking turns, and print the table of one scene."""
    ours, theirs = OurStep(subject), PrototypeStep(subject) if with_prototype else None
    steps = [(ours, defaultdict(list))] + ([(theirs, defaultdict(list))] if theirs else [])
    for turn in range(rounds + 2):
        for step, times in steps:
            step.run(times)
        if turn == 1:  # the first rounds compile and touch memory
            for _, times in steps:
                times.clear()
    our_times = steps[0][1]
    their_times = steps[1][1] if theirs else {}
    our_times["rendering stages"] = [sum(row) for row in zip(*(our_times[stage] for stage in RENDERING), strict=True)]
    our_times["sum of stages"] = [sum(row) for row in zip(*(our_times[stage] for stage in STAGES), strict=True)]
    if theirs:
        their_times["rendering stages"] = [
            sum(row) for row in zip(*(their_times[stage] for stage in RENDERING), strict=True)
        ]
        # The prototype has no step of its own: steps are held against the sum of its stages.
        their_times["step through autograd"] = their_times["whole step"] = their_times["sum of stages"]

    camera = subject.view.camera
    print(f"\nscene {subject.name}: {len(subject.gaussians)} Gaussians, {camera.width}x{camera.height}, ", end="")
    print(f"{numba.config.NUMBA_NUM_THREADS} threads, best and median of {rounds} rounds in ms")
    print(f"{'stage':26} {'ours':>8} {'median':>8} {'prototype':>10} {'median':>8} {'ratio':>6}")
    rows = []
    for stage in [*STAGES, "rendering stages", "sum of stages", "step through autograd", "whole step"]:
        row: dict[str, Any] = {"stage": stage}
        row["ours_best_ms"], row["ours_median_ms"] = in_ms(our_times[stage])
        line = f"{stage:26} {row['ours_best_ms']:8.2f} {row['ours_median_ms']:8.2f}"
        if theirs:
            row["prototype_best_ms"], row["prototype_median_ms"] = in_ms(their_times[stage])
            row["ratio_of_best"] = round(row["ours_best_ms"] / row["prototype_best_ms"], 3)
            row["ratio_of_medians"] = round(row["ours_median_ms"] / row["prototype_median_ms"], 3)
            line += f" {row['prototype_best_ms']:10.2f} {row['prototype_median_ms']:8.2f} {row['ratio_of_best']:6.2f}"
        print(line)
        rows.append(row)
    if theirs:
        print("(steps are compared with the sum of the prototype's stages)")
    return {
        "scene": subject.name,
        "gaussians": len(subject.gaussians),
        "width": camera.width,
        "height": camera.height,
        "rounds": rounds,
        "stages": rows,
    }


def in_ms(times: list[float]) -> tuple[float, float]:
    """Best and median of seconds, in milliseconds."""
    return round(1e3 * min(times), 3), round(1e3 * median(times), 3)


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="AB", help="which of the synthetic scenes A and B; empty for none")
    parser.add_argument("--scene", type=Path, help="a trained scene file, timed too")
    parser.add_argument("--capture", type=Path, help="the capture it was trained on")
    parser.add_argument("--downscale", type=int, default=1, help="of the capture's photos")
    parser.add_argument("--morton", action="store_true", help="put the synthetic scenes in Morton order, for both")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=numba.config.NUMBA_NUM_THREADS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if (arguments.scene is None) != (arguments.capture is None):
        parser.error("--scene and --capture go together")
    with_prototype = PROTOTYPE.is_dir()
    if with_prototype:
        sys.path.insert(0, str(PROTOTYPE))
    else:
        print("the prototype is not here (../shared/prototype): no comparison, and no synthetic scenes")

    torch.set_num_threads(arguments.threads)
    results = []
    for name in arguments.scenes if with_prototype else "":
        scene = importlib.import_module("scene").scene
        results.append(measure(synthetic(name, scene, morton=arguments.morton), arguments.rounds, with_prototype=True))
    if arguments.scene is not None:
        subject = trained(arguments.scene, arguments.capture, arguments.downscale)
        results.append(measure(subject, arguments.rounds, with_prototype=with_prototype))
    write_json(
        arguments.output,
        {
            "command": shlex.join(["python", "benchmarks/render_stages.py", *sys.argv[1:]]),
            "processor": processor(),
            "threads": arguments.threads,
            "load_average_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            "numba": numba.__version__,
            "torch": torch.__version__,
            "scenes": results,
        },
        overwrite=True,
    )


if __name__ == "__main__":
    main()
