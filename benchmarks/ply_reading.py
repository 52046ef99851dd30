"""Time to read a PLY of 500,000 Gaussians at SH degree 3 (62 float columns, 124 MB), next to other readers.

The bar is copying the file's numbers through a NumPy memory map: the same bytes, not yet split into tensors. All
readers run in one process on the same file in the page cache, taking turns, so that a busy machine slows all of them;
the best of the rounds counts. leansplat reads with two threads; processor time adds both up. Run it as

    python benchmarks/ply_reading.py

It prints the table and writes it to benchmarks/results/ply_reading.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import gsply
import numpy as np
import torch
from plyfile import PlyData

from leansplat import formats
from leansplat.files import write_json
from leansplat.gaussians import Gaussians

COLUMNS = 62


def write_scene(path: Path, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3,), (4,), (3,), (), (1, 3), (15, 3))
    formats.write(Gaussians(*(torch.randn(count, *shape, generator=generator) for shape in shapes)), path)


def copy_through_memmap(path: Path, count: int) -> np.ndarray:
    start = path.stat().st_size - count * COLUMNS * 4
    return np.array(np.memmap(path, np.float32, "r", start, (count, COLUMNS)))


def stack_with_plyfile(path: Path) -> list[np.ndarray]:
    """What scripts around plyfile do: columns stacked into the tensors."""
    vertex = PlyData.read(path)["vertex"]
    stack = lambda *names: np.stack([vertex[name] for name in names], axis=1)  # noqa: E731
    rest = stack(*(f"f_rest_{k}" for k in range(45))).reshape(-1, 3, 15).transpose(0, 2, 1)
    return [
        stack("x", "y", "z"),
        stack(*(f"rot_{k}" for k in range(4))),
        stack(*(f"scale_{k}" for k in range(3))),
        np.array(vertex["opacity"]),
        stack(*(f"f_dc_{k}" for k in range(3))),
        np.ascontiguousarray(rest),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slow-rounds", type=int, default=3, help="rounds that plyfile takes part in")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "ply_reading.json")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.ply"
        write_scene(path, arguments.count)
        readers: dict[str, Callable[[], object]] = {
            "NumPy memmap + copy": lambda: copy_through_memmap(path, arguments.count),
            "leansplat": lambda: formats.read(path),
            "gsply": lambda: gsply.plyread(path),
            "plyfile + stack": lambda: stack_with_plyfile(path),
        }
        times: dict[str, list[float]] = {name: [] for name in readers}
        processor_times: dict[str, list[float]] = {name: [] for name in readers}
        for reader in readers.values():
            reader()  # compiles kernels, fills the page cache
        for turn in range(arguments.rounds):
            for name, reader in readers.items():
                if name == "plyfile + stack" and turn >= arguments.slow_rounds:
                    continue
                start, processor_start = time.perf_counter(), time.process_time()
                scene = reader()
                times[name].append(time.perf_counter() - start)
                processor_times[name].append(time.process_time() - processor_start)
                del scene
        size = path.stat().st_size

    bar = min(times["NumPy memmap + copy"])
    versions = {"gsply": version("gsply"), "plyfile + stack": version("plyfile"), "NumPy memmap + copy": np.__version__}
    rows = [
        {
            "reader": name,
            "version": versions.get(name),
            "best_ms": round(1e3 * min(taken), 1),
            "median_ms": round(1e3 * float(np.median(taken)), 1),
            "best_processor_ms": round(1e3 * min(processor_times[name]), 1),
            "times_the_copy": round(min(taken) / bar, 2),
            "rounds": len(taken),
        }
        for name, taken in times.items()
    ]
    print(f"{'reader':24} {'best ms':>8} {'median ms':>10} {'CPU ms':>8} {'x copy':>7}")
    for row in rows:
        measured = f"{row['best_ms']:8.1f} {row['median_ms']:10.1f} {row['best_processor_ms']:8.1f}"
        print(f"{row['reader']:24} {measured} {row['times_the_copy']:7.2f}")
    result = {
        "command": shlex.join(["python", "benchmarks/ply_reading.py", *sys.argv[1:]]),
        "gaussians": arguments.count,
        "bytes": size,
        "cores": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "readers": rows,
    }
    write_json(arguments.output, result, overwrite=True)


if __name__ == "__main__":
    main()
