"""Time, memory, size and error of writing a scene as SOG, by leansplat and by splat-transform on the CPU, and as SPZ.

The scene is a trained one, repeated with jitter up to the number of Gaussians wanted. splat-transform compares every
Gaussian with every entry of the palette in each of ten rounds, in JavaScript: at 500,000 Gaussians that takes it hours,
so it and leansplat meet on fewer, and leansplat alone writes all of them. Run it as

    python benchmarks/sog_writing.py --scene runs/fox30k/trained/scene.ply

It prints the table and writes it to benchmarks/results/sog_writing.json. splat-transform comes with `make node`. Memory
is what a process takes at most beyond the scene it holds (all of it for splat-transform), measured on Linux only.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from leansplat import formats
from leansplat.files import write_json
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.ordering import morton_order
from leansplat.simd.threads import thread_count

ROOT = Path(__file__).parents[1]
THEIRS = ROOT / "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
_JITTER = 0.05


def repeated(scene: Gaussians, count: int) -> Gaussians:
    """`count` Gaussians: those of the scene again and again, each number off by a twentieth of what it varies by."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randperm(count, generator=random) % len(scene)
    tensors: dict[str, Any] = {}
    for name in TENSOR_NAMES:
        values: Tensor = getattr(scene, name)
        noise = torch.randn(count, *values.shape[1:], generator=random)
        tensors[name] = values[rows] + _JITTER * values.std(dim=0) * noise if values.numel() else values[rows]
    return Gaussians(**tensors)


def errors(scene: Gaussians, found: Gaussians) -> dict[str, float]:
    """Root mean square errors of what a file holds; opacities from 0 to 1, rotations in degrees."""
    _, nearest = cKDTree(scene.means.numpy()).query(found.means.numpy())
    scene = scene[torch.from_numpy(nearest)]
    cosine = (normalize(scene.quats.double(), dim=1) * normalize(found.quats.double(), dim=1)).sum(dim=1).abs()
    differences = {
        "means": found.means - scene.means,
        "rotations": torch.rad2deg(2 * torch.acos(cosine.clamp(max=1))),
        "scales": found.scales - scene.scales,
        "opacities": found.opacities.sigmoid() - scene.opacities.sigmoid(),
        "sh0": found.sh0 - scene.sh0,
        "shN": found.shN - scene.shN,
    }
    return {name: float(each.double().square().mean().sqrt()) for name, each in differences.items() if each.numel()}


def by_splat_transform(source: Path, target: Path) -> None:
    subprocess.run(["node", str(THEIRS), "--overwrite", "--quiet", "-g", "cpu", str(source), str(target)], check=True)


def resident(name: str) -> int:
    """Bytes of this process: VmRSS now, or VmHWM at most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


class Memory:
    """What a block takes at most, in bytes; of child processes, if it starts any."""

    def __enter__(self) -> Memory:
        self.bytes: int | None = None
        if sys.platform == "linux":
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the most so far
            self._before = resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if sys.platform == "linux":
            of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
            self.bytes = of_children or resident("VmHWM") - self._before


def measured(tool: str, scene: Gaussians, target: Path, write: Callable[[], None]) -> dict[str, Any]:
    start = time.perf_counter()
    with Memory() as memory:
        write()
    seconds = time.perf_counter() - start
    size = target.stat().st_size
    found = errors(scene, formats.read(target))
    each = size / len(scene)
    megabytes = (memory.bytes or 0) / 1e6
    numbers = " ".join(f"{found.get(name, 0):10.2e}" for name in COLUMNS)
    print(f"{tool:22} {len(scene):9,} {seconds:9.1f} {megabytes:9,.0f} {size:12,} {each:6.2f} {numbers}", flush=True)
    return {
        "tool": tool,
        "gaussians": len(scene),
        "seconds": round(seconds, 2),
        "memory": memory.bytes,
        "bytes": size,
        "bytes_per_gaussian": round(each, 2),
        "errors": {name: float(f"{error:.3g}") for name, error in found.items()},
    }


COLUMNS = ("means", "rotations", "scales", "opacities", "sh0", "shN")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True, help="a trained scene of any tool")
    parser.add_argument("--count", type=int, default=500_000, help="Gaussians that leansplat writes")
    parser.add_argument("--shared-count", type=int, default=7_000, help="Gaussians that both write; 0 for none")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "sog_writing.json")
    arguments = parser.parse_args()

    trained = formats.read(arguments.scene, drop_nonfinite=True)
    trained = trained[morton_order(trained.means)]
    rows = []
    print(
        f"{'tool':22} {'Gaussians':>9} {'seconds':>9} {'MB':>9} {'bytes':>12} {'each':>6} ",
        *(f"{c:>10}" for c in COLUMNS),
    )
    with tempfile.TemporaryDirectory() as folder:
        source, sog, spz = (Path(folder) / f"scene{suffix}" for suffix in (".ply", ".sog", ".spz"))
        formats.write(repeated(trained, 5_000), sog)  # compiles kernels
        for count in (arguments.count, arguments.shared_count):
            if count == 0:
                continue
            scene = repeated(trained, count)
            ours = lambda target, scene=scene: lambda: formats.write(scene, target, overwrite=True)  # noqa: E731
            rows.append(measured("leansplat, SOG", scene, sog, ours(sog)))
            rows.append(measured("leansplat, SPZ 3", scene, spz, ours(spz)))
            if count == arguments.shared_count:
                formats.write(scene, source)
                rows.append(measured("splat-transform, SOG", scene, sog, lambda: by_splat_transform(source, sog)))
    version = subprocess.run(["node", str(THEIRS), "--version"], capture_output=True, text=True)
    result = {
        "command": shlex.join(["python", "benchmarks/sog_writing.py", *sys.argv[1:]]),
        "scene": arguments.scene.name,
        "cores": os.cpu_count(),
        "threads": thread_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "splat_transform": (version.stdout + version.stderr).strip(),
        "rows": rows,
    }
    write_json(arguments.output, result, overwrite=True)


if __name__ == "__main__":
    main()
