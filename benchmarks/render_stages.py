"""Times each stage of a training step, and the whole step, on a trained scene.

Stages are measured where they run, inside a step through `render`, autograd and the optimiser, on a uint8 photo and
with statistics: the kernels are wrapped with a clock. The whole step is `training_step`, which runs the same kernels
without autograd and fuses the last two. Both take turns round by round, so that noise on the machine hits them alike.

    python benchmarks/render_stages.py --scene runs/fox30k/trained/scene.ply --capture data/fox

It prints a table and writes benchmarks/results/render_stages.json. Times are in milliseconds.
"""

from __future__ import annotations

import argparse
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

import torch

if __name__ == "__main__" and "--threads" in sys.argv:
    # Numba reads this when it is imported.
    os.environ["NUMBA_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import numba

from leansplat import captures, formats
from leansplat.captures.capture import View
from leansplat.engines.cpu import model as model_module
from leansplat.engines.cpu import rasterizer, render
from leansplat.engines.cpu.model import CpuModel
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.metrics import loss as loss_module
from leansplat.metrics.loss import photometric_loss
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState, training_step

RESULTS = Path(__file__).parent / "results" / "render_stages.json"
BACKGROUND = (0.1, 0.2, 0.3)

STAGES: dict[str, list[tuple[ModuleType, str]]] = {
    "projection + SH forward": [(rasterizer, "project")],
    "binning + sort": [(rasterizer, "_bin")],
    "raster forward": [(rasterizer, "blend")],
    "SSIM + L1, both ways": [(loss_module, "ssim_and_l1"), (loss_module, "ssim_and_l1_gradient")],
    "raster backward": [(rasterizer, "blend_backward")],
    "projection + SH backward": [(rasterizer, "project_backward")],
    "Adam": [(model_module, "adam_step")],
}
"""The functions that make up each stage."""

RENDERING = [stage for stage in STAGES if stage not in {"SSIM + L1, both ways", "Adam"}]

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Subject:
    """A scene, the view to render it from, and what to call it."""

    name: str
    gaussians: Gaussians
    view: View


def trained(scene: Path, capture: Path, downscale: int) -> Subject:
    """A scene file at SH degree 3, seen from the first training view of a capture."""
    gaussians = formats.read(scene).with_sh_degree(3)
    return Subject(scene.stem, gaussians, captures.load(capture, downscale=downscale, points=False).train[0])


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


class Step:
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


def measure(subject: Subject, rounds: int) -> dict[str, Any]:
    """Time the stages and the step, and print the table."""
    step, times = Step(subject), defaultdict(list)
    for turn in range(rounds + 2):
        step.run(times)
        if turn == 1:  # the first rounds compile and touch memory
            times.clear()
    times["rendering stages"] = [sum(row) for row in zip(*(times[stage] for stage in RENDERING), strict=True)]
    times["sum of stages"] = [sum(row) for row in zip(*(times[stage] for stage in STAGES), strict=True)]

    camera = subject.view.camera
    print(f"\n{subject.name}: {len(subject.gaussians)} Gaussians, {camera.width}x{camera.height}, ", end="")
    print(f"{numba.config.NUMBA_NUM_THREADS} threads, best and median of {rounds} rounds in ms")
    rows = []
    for stage in [*STAGES, "rendering stages", "sum of stages", "step through autograd", "whole step"]:
        best, middle = in_ms(times[stage])
        print(f"{stage:26} {best:8.2f} {middle:8.2f}")
        rows.append({"stage": stage, "best_ms": best, "median_ms": middle})
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
    parser.add_argument("--scene", type=Path, required=True, help="a trained scene file")
    parser.add_argument("--capture", type=Path, default=Path("data/fox"), help="`leansplat download fox -o data`")
    parser.add_argument("--downscale", type=int, default=4, help="of the capture's photos")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=numba.config.NUMBA_NUM_THREADS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = [measure(trained(arguments.scene, arguments.capture, arguments.downscale), arguments.rounds)]
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
