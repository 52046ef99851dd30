r"""Many small scenes through `leansplat batch` against a plain loop of the same commands, and what ten thousand cost.

    python benchmarks/batch_throughput.py

Scenes of some thousand Gaussians, made of points of the built-in capture with a seed each, are shrunk by half: one
command after the other as a shell's loop runs them, with as many threads as there are cores; by `batch` with one
worker, which has as many; and by two workers with half of the threads each. What the loop and one worker make must be
the same bytes. Processor time is counted besides the clock, which others on the machine move.

Then the driver alone: all of `batch` but the processes of the scenes, which an executor that ends every task at once
stands in for, with few scenes and with very many. Its peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from leansplat.batch import FINISHED, Outcome, Task
from leansplat.batch.sizing import cores
from leansplat.files import write_json

ROOT = Path(__file__).parents[1]
COMMAND = ["shrink", "--keep", "50%", "--steps", "20", "--view-size", "128", "--views", "16"]
GAUSSIANS = 4_000
FEW, MANY = 100, 10_000


class AtOnce:
    """An executor that has ended every task when it is asked."""

    slots, told = 2, "nobody"

    def __init__(self) -> None:
        self._held: list[Task] = []
        self.most = 0

    def start(self, task: Task) -> None:
        self._held.append(task)
        self.most = max(self.most, len(self._held))

    def finished(self) -> tuple[Task, Outcome]:
        answer = {"gaussians": 1, "bytes": 100, "file": "scene.spz"}
        return self._held.pop(0), Outcome(FINISHED, answer, "", 0.1, "here", 50_000_000)

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


def drive(inputs: Path, output: Path) -> None:
    """Run a batch whose scenes take no time; prints the peak memory of this process, before and after, and seconds."""
    from leansplat.batch.planning import Batch
    from leansplat.batch.sitting import run_batch
    from leansplat.commands.batch import understood

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began, executor = time.monotonic(), AtOnce()
    result = run_batch(
        Batch([str(inputs)], output, "convert", form="spz"), understood, executor=lambda workers: executor
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    values = {"scenes": len(result.rows), "before": before, "peak": peak, "held_at_once": executor.most}
    print(json.dumps({**values, "seconds": time.monotonic() - began}))


def driver_memory(folder: Path, count: int) -> dict[str, Any]:
    """What `drive` says of so many scenes of one Gaussian."""
    import numpy as np

    from leansplat import formats
    from leansplat.arrays import GaussianArrays

    inputs = folder / f"of-{count}"
    inputs.mkdir()
    shapes = ((1, 3), (1, 4), (1, 3), (1,), (1, 1, 3), (1, 0, 3))
    formats.write(GaussianArrays(*(np.ones(shape, np.float32) for shape in shapes)), inputs / "00000.ply")
    content = (inputs / "00000.ply").read_bytes()
    for number in range(1, count):
        (inputs / f"{number:05}.ply").write_bytes(content)
    line = [sys.executable, __file__, "--drive", str(inputs), str(folder / f"out-{count}")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def write_scenes(folder: Path, count: int) -> list[Path]:
    """The points of the built-in capture as round Gaussians; each scene has others of them."""
    import numpy as np

    from leansplat import formats
    from leansplat.arrays import GaussianArrays
    from leansplat.captures import synthetic_capture

    points = synthetic_capture(views=12, size=64).points
    assert points is not None
    means, colors = points.positions.numpy().astype(np.float32), points.colors.numpy().astype(np.float32)
    paths = []
    for seed in range(count):
        chosen = np.sort(np.random.default_rng(seed).integers(len(means), size=GAUSSIANS))
        jitter = np.random.default_rng(seed).normal(0, 0.01, (GAUSSIANS, 3)).astype(np.float32)
        scene = GaussianArrays(
            means[chosen] + jitter,
            np.tile(np.float32([1, 0, 0, 0]), (GAUSSIANS, 1)),
            np.full((GAUSSIANS, 3), np.log(0.03), np.float32),
            np.full(GAUSSIANS, 2, np.float32),
            ((colors[chosen] - 0.5) / 0.28209479)[:, None, :].astype(np.float32),
            np.zeros((GAUSSIANS, 0, 3), np.float32),
        )
        paths.append(folder / f"scene-{seed:02}.ply")
        formats.write(scene, paths[-1])
    return paths


def timed(lines: list[list[str]]) -> dict[str, float]:
    """Seconds and processor seconds of command lines, one after the other."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, began = usage.ru_utime + usage.ru_stime, time.monotonic()
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "leansplat", *line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "processor_seconds": usage.ru_utime + usage.ru_stime - before}


def throughput(folder: Path, count: int, repeats: int) -> dict[str, Any]:
    """Each way's times, of the round that took the least."""
    (folder / "scenes").mkdir()
    scenes = write_scenes(folder / "scenes", count)
    timed([[COMMAND[0], str(scenes[0]), "-o", str(folder / "warm.sog"), *COMMAND[1:]]])  # the kernels are compiled
    found: dict[str, list[dict[str, float]]] = {"loop": [], "batch, 1 worker": [], "batch, 2 workers": []}
    for turn in range(repeats):
        loop = folder / f"loop-{turn}"
        loop.mkdir()
        lines = [[COMMAND[0], str(path), "-o", str(loop / f"{path.stem}.sog"), *COMMAND[1:]] for path in scenes]
        found["loop"].append(timed(lines))
        for workers in (1, 2):
            out = folder / f"workers-{workers}-{turn}"
            words = ["batch", str(folder / "scenes"), "-o", str(out), "--workers", str(workers), "--", *COMMAND]
            name = f"batch, {workers} worker{'' if workers == 1 else 's'}"
            found[name].append(timed([words]))
            if workers == 1:
                for path in scenes:
                    made = [(each / f"{path.stem}.sog").read_bytes() for each in (loop, out)]
                    assert made[0] == made[1], f"{path.stem} is not what the loop makes of it"
    best = {name: min(each, key=lambda times: times["seconds"]) for name, each in found.items()}
    rows = json.loads((folder / "workers-2-0" / "results.json").read_text())["scenes"]
    return {
        "ways": {name: {**times, "scenes_an_hour": 3600 * count / times["seconds"]} for name, times in best.items()},
        "memory_of_a_scene": max(row["memory"] for row in rows),
        "gaussians": GAUSSIANS,
        "scenes": count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--drive", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(*arguments.drive)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        drivers = [driver_memory(folder, count) for count in (FEW, MANY)]
        found = throughput(folder, arguments.scenes, arguments.repeats)
    for driver in drivers:
        grown = (driver["peak"] - driver["before"]) / 1e6
        print(f"{driver['scenes']:,} scenes: {driver['peak'] / 1e6:.0f} MB, {grown:.0f} more than before; ", end="")
        print(f"{driver['seconds']:.1f} s, {driver['held_at_once']} held at once")
    for name, times in found["ways"].items():
        print(f"{name}: {times['seconds']:.1f} s, {times['processor_seconds']:.1f} s of processor time", end="")
        print(f", {times['scenes_an_hour']:.0f} scenes an hour")
    values = {"command": COMMAND, "cores": cores(), "drivers": drivers, **found}
    write_json(ROOT / "benchmarks" / "results" / "batch_throughput.json", values, overwrite=True)


if __name__ == "__main__":
    main()
