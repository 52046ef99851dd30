"""Ten pairs of a scene and a size, over three formats: how near the files of `shrink --size` come to it.

    python benchmarks/shrink_sizes.py --data DATA

Writes benchmarks/results/shrink_sizes.json. The scenes are those of other tools in the folder; cameras are made up,
apart from the fox's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from leansplat.files import write_json
from leansplat.shrinking import ShrinkingConfig, Target, shrink

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "shrink_sizes.json"
PAIRS = (
    ("fox_opensplat.ply", ".sog", 100_000),
    ("fox_opensplat.ply", ".sog", 300_000),
    ("fox_opensplat.ply", ".spz", 300_000),
    ("fox_opensplat.ply", ".compressed.ply", 500_000),
    ("plant.splat", ".sog", 250_000),
    ("plant.splat", ".spz", 400_000),
    ("plant.splat", ".compressed.ply", 800_000),
    ("academic_tarot_cards.splat", ".sog", 500_000),
    ("academic_tarot_cards.splat", ".spz", 250_000),
    ("academic_tarot_cards.splat", ".compressed.ply", 400_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    rows = []
    for name, suffix, size in PAIRS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"small{suffix}"
            config = ShrinkingConfig(steps=arguments.steps, view_size=320, views=64)
            result = shrink(arguments.data / "scenes" / name, path, Target(size=size), config)
        rows.append({"scene": name, "suffix": suffix, "asked": size, "bytes": result.bytes})
        print(rows[-1], f"{result.bytes / size:.2%}", flush=True)
    write_json(RESULT, {"command": "python benchmarks/shrink_sizes.py", "rows": rows}, overwrite=True)


if __name__ == "__main__":
    main()
