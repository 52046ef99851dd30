"""What the limits of "no visible loss" look like: scenes just within them, and what changed on views held back.

    python benchmarks/visible_loss.py --data DATA --pictures LOOK

Shrinks a dozen scenes without photos as `leansplat shrink SCENE -o OUT.sog` does, but in 1,000 training steps, so that
each ends near a limit: the scenes of other tools in DATA/scenes, and scenes that are trained first on the captures in
DATA/captures, by either recipe. Adds a row for each to benchmarks/results/visible_loss.json, where what is there is
made again only by --only, and writes into LOOK the view that changed most, one in the middle, one that changed least,
and those whose worst parts are farthest off, in colours and in structure, and just within nine tenths: before, after,
the difference times eight, and below that the part that changed most, enlarged.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d
from trained_scenes import photos_of

import leansplat
from leansplat import formats
from leansplat.cameras import Camera
from leansplat.files import write_json
from leansplat.gaussians import Gaussians
from leansplat.metrics.parts import part_psnr, part_ssim
from leansplat.pictures import to_bytes
from leansplat.shrinking import ShrinkingConfig, ShrinkingResult, shrink
from leansplat.training import TrainingConfig, lean, train

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "visible_loss.json"
COMMAND = "python benchmarks/visible_loss.py --data DATA --pictures LOOK"
OTHERS = {"fox_opensplat": "fox_opensplat.ply", "plant": "plant.splat", "tarot": "academic_tarot_cards.splat"}
LEAN = {"fox": 28_700, "chair": 14_091, "south": 46_091, "tumbler": 37_442, "fruit": 33_769, "synthetic": 17_390}
"""Gaussians of the scenes that are trained by the lean recipe, in 3,000 steps."""
PUBLISHED = ("fox", "chair", "synthetic")
"""Captures of the scenes that are trained by the published recipe, in 1,500 steps."""
STEPS, TRAINED, BRIEFLY = 1000, 3000, 1500
SEEN = 8 / 255
"""A pixel whose mean of colours differs by more could be seen, where it is beside its former self."""
PART = 96
"""Side of the part that is enlarged, in pixels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--only", nargs="*", metavar="SCENE", help='such as "plant" or "fox, lean"')
    arguments = parser.parse_args()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    rows = {row["scene"]: row for row in json.loads(RESULT.read_text())["rows"]} if RESULT.exists() else {}
    for name, made in scenes(arguments.data):
        if not (name in arguments.only if arguments.only else name not in rows):
            continue
        with tempfile.TemporaryDirectory() as folder:
            result = shrink(made(Path(folder)), Path(folder) / "small.sog", config=ShrinkingConfig(steps=STEPS))
        views = changes(result)
        by_part = sorted(views, key=worst_part)
        looked_at = {"most": views[0], "middle": views[len(views) // 2], "least": views[-1]}
        looked_at |= {"worst-part": by_part[0], "part": by_part[len(by_part) // 10]}
        by_structure = sorted(views, key=lambda view: part_ssim(view[1], view[0]))
        looked_at |= {"worst-structure": by_structure[0], "structure": by_structure[len(by_structure) // 10]}
        for word, view in looked_at.items():
            sheet(view).save(arguments.pictures / f"{name.replace(', ', '-')}-{word}.png")
        rows[name] = row_of(name, result, views)
        print(rows[name], flush=True)
        write_json(RESULT, {"command": COMMAND, "rows": list(rows.values())}, overwrite=True)


def scenes(data: Path) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """Names, and functions that give a file of the scene, in a folder if it is made."""

    def trained(capture: str, config: TrainingConfig) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            formats.write(train(photos_of(capture, data), config).gaussians, folder / "scene.ply")
            return folder / "scene.ply"

        return make

    for name, file in OTHERS.items():
        yield name, lambda _, file=file: data / "scenes" / file
    for name, count in LEAN.items():
        yield f"{name}, lean", trained(name, lean(count, TRAINED, points=False))
    for name in PUBLISHED:
        yield f"{name}, 3dgs", trained(name, TrainingConfig().scaled(BRIEFLY))


def changes(result: ShrinkingResult) -> list[tuple[Tensor, Tensor]]:
    """(H, W, 3) before and after of the views that judged, those that changed most first."""
    assert result.source is not None
    background = result.source.background

    def seen(scene: Gaussians, camera: Camera) -> Tensor:
        return leansplat.render(scene, camera, background=background).image.clamp(0, 1)

    pairs = [(seen(result.original, camera), seen(result.gaussians, camera)) for camera in result.cameras.values()]
    return sorted(pairs, key=lambda pair: -float((pair[0] - pair[1]).square().mean()))


def row_of(name: str, result: ShrinkingResult, views: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    assert result.loss is not None
    assert result.source is not None
    shares = [float(((before - after).abs().mean(dim=2) > SEEN).float().mean()) for before, after in views]
    return {
        "scene": name,
        "cameras": result.source.kind,
        "gaussians": [len(result.original), len(result.gaussians)],
        "bytes": [result.original_bytes, result.bytes],
        "loss": result.loss.to_json(),
        "views": len(views),
        "share of pixels off by more than 8 of 255": {"mean": sum(shares) / len(shares), "most": max(shares)},
        "worst parts": sorted(map(worst_part, views)),
        "seconds": result.seconds,
    }


def worst_part(view: tuple[Tensor, Tensor]) -> float:
    before, after = view
    return part_psnr(after, before)


def sheet(view: tuple[Tensor, Tensor]) -> Image.Image:
    """Before, after and difference, and below the part that changed most, four times as large."""
    before, after = view
    side = min(PART, *before.shape[:2])
    places = errors_of_parts(before, after)
    row, column = divmod(int(places.argmax()), places.shape[1])
    part = (slice(4 * row, 4 * row + side), slice(4 * column, 4 * column + side))
    upper, lower = (strip(before[where], after[where]) for where in ((slice(None), slice(None)), part))
    lower = lower.resize((4 * lower.width, 4 * lower.height), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height))
    whole.paste(upper, (0, 0))
    whole.paste(lower, (0, upper.height))
    return whole


def errors_of_parts(before: Tensor, after: Tensor) -> Tensor:
    """(H, W) mean squared errors of square parts, each four pixels from the next."""
    error = (before - after).square().mean(dim=2)[None, None]
    return avg_pool2d(error, min(PART, *error.shape[2:]), stride=4)[0, 0]


def strip(before: Tensor, after: Tensor) -> Image.Image:
    difference = (8 * (before - after).abs()).clamp(max=1)
    return Image.fromarray(to_bytes(torch.cat([before, after, difference], dim=1)).numpy())


if __name__ == "__main__":
    main()
