"""What `leansplat shrink SCENE -o OUT.sog` makes of scenes without their photos, without being told how small.

    python benchmarks/shrink_default.py --data DATA --pictures docs/pictures

Prints a line for each scene of other tools in the folder, and writes benchmarks/results/shrink_default.json. With
--pictures, a picture before and after is written for the scenes whose licence allows to show them (plant and tarot,
CC-BY-4.0, Marcel Padilla).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import leansplat
from leansplat import formats
from leansplat.files import write_json
from leansplat.pictures import to_bytes
from leansplat.shrinking import ShrinkingConfig, ShrinkingResult, shrink

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "shrink_default.json"
SCENES = {"fox_opensplat": "fox_opensplat.ply", "plant": "plant.splat", "tarot": "academic_tarot_cards.splat"}
MAY_BE_SHOWN = ("plant", "tarot")
SHOWN = 2
"""Views that are held back, beside each other in a picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, file in SCENES.items():
        scene = arguments.data / "scenes" / file
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.sog"
            formats.write(formats.read(scene), plain)
            result = shrink(scene, Path(folder) / "small.sog", config=ShrinkingConfig())
            rows.append(row_of(name, scene, plain, result))
            print(rows[-1], flush=True)
        if arguments.pictures is not None and name in MAY_BE_SHOWN:
            write_picture(result, arguments.pictures / f"{name}.jpg")
    command = "python benchmarks/shrink_default.py --data DATA --pictures docs/pictures"
    write_json(RESULT, {"command": command, "rows": rows}, overwrite=True)


def row_of(name: str, scene: Path, plain: Path, result: ShrinkingResult) -> dict[str, Any]:
    assert result.loss is not None
    assert result.source is not None
    return {
        "scene": name,
        "cameras": result.source.kind,
        "gaussians": {"given": len(result.original), "shrunk": len(result.gaussians), "unseen": result.unseen},
        "bytes": {"given": formats.scene_bytes(scene), "plain_sog": formats.scene_bytes(plain), "shrunk": result.bytes},
        "loss": result.loss.to_json(),
        "steps": result.steps,
        "seconds": result.seconds,
    }


def write_picture(result: ShrinkingResult, path: Path) -> None:
    """Two views that were held back, before on the left and after on the right."""
    assert result.source is not None
    cameras = list(result.source.cameras.values())[:: 8 * 2][:SHOWN]
    lines = []
    for camera in cameras:
        both = [
            to_bytes(leansplat.render(scene, camera, background=result.source.background).image).numpy()
            for scene in (result.original, result.gaussians)
        ]
        lines.append(np.concatenate(both, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines, axis=0)).save(path, quality=90)


if __name__ == "__main__":
    main()
