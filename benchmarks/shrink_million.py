"""A scene of a million Gaussians to 10 MB without photos, or of five to 50 MB: how long, how much memory, how near.

    python benchmarks/shrink_million.py --data DATA --minutes 6
    python benchmarks/shrink_million.py --data DATA --millions 5 --minutes 30

The scene is the fox of another tool, stood up 32 times for each million in rows of eight, mirrored and scaled. Writes
benchmarks/results/shrink_million.json or shrink_5_million.json; memory is the peak of the process, reading included.
"""

from __future__ import annotations

import argparse
import math
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from leansplat import formats
from leansplat.files import write_json
from leansplat.gaussians import Gaussians, concatenate
from leansplat.shrinking import ShrinkingConfig, Target, shrink
from leansplat.simd.threads import thread_count

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS, ROWS = 8, 4
SIZES = (0.9, 1.0, 1.1, 1.2)
SIZE = 10_000_000
"""Bytes for each million."""
AXES = "xyz"
HARMONICS = ("y", "z", "x", "xy", "yz", "", "xz", "", "y", "xyz", "y", "z", "x", "z", "x")
"""Axes of which each harmonic from degree 1 on is an odd function."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--millions", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=6.0)
    arguments = parser.parse_args()
    millions, size = arguments.millions, SIZE * arguments.millions
    options = f"--millions {millions} " if millions > 1 else ""
    with tempfile.TemporaryDirectory() as folder:
        scene, small = Path(folder) / "million.ply", Path(folder) / "small.sog"
        formats.write(tiled(formats.read(arguments.data / "scenes" / "fox_opensplat.ply"), millions), scene)
        result = shrink(scene, small, Target(size=size), ShrinkingConfig(minutes=arguments.minutes))
    assert result.loss is not None
    found = {
        "command": f"python benchmarks/shrink_million.py {options}--minutes {arguments.minutes:g}",
        "threads": thread_count(),
        "gaussians": {"given": len(result.original), "shrunk": len(result.gaussians)},
        "bytes": {"given": result.original_bytes, "asked": size, "shrunk": result.bytes},
        "loss": result.loss.to_json(),
        "steps": result.steps,
        "minutes": result.seconds / 60,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "told": list(result.told),
    }
    print(found)
    write_json(RESULTS / f"shrink_{f'{millions}_' if millions > 1 else ''}million.json", found, overwrite=True)


def tiled(scene: Gaussians, millions: int) -> Gaussians:
    """Copies side by side, as far apart as nine tenths of the scene are wide, mirrored in all eight ways and of four
    sizes, so that no two are the same numbers."""
    low, high = (torch.quantile(scene.means, share, dim=0) for share in (0.05, 0.95))
    step, middle = high - low, (low + high) / 2
    copies = []
    for number in range(COLUMNS * ROWS * millions):
        column, row = number % COLUMNS, number // COLUMNS
        signs = torch.tensor([1.0 - 2 * (column >> bit & 1) for bit in range(3)])
        copy = mirrored(replace(scene, means=scene.means - middle), signs)
        place = torch.tensor([column * step[0], 0.0, row * step[2]])
        size = SIZES[row % ROWS]
        copies.append(replace(copy, means=size * copy.means + place, scales=copy.scales + math.log(size)))
    return concatenate(copies)


def mirrored(scene: Gaussians, signs: torch.Tensor) -> Gaussians:
    """The scene with its axes multiplied by `signs` (3,): colours, too, are then seen from the mirrored side."""
    quats = scene.quats * torch.cat([torch.ones(1), signs.prod() * signs])
    parities = [signs[[AXES.index(axis) for axis in name]].prod() for name in HARMONICS[: scene.shN.shape[1]]]
    shN = scene.shN * torch.stack(parities)[None, :, None] if parities else scene.shN
    return replace(scene, means=scene.means * signs, quats=quats, shN=shN)


if __name__ == "__main__":
    main()
