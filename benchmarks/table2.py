"""Table 2 on a capture: what the paper's end-to-end compression and open formats make of a trained and a trimmed scene.

    python benchmarks/table2.py --capture data/fox --downscale 4 --base runs/fox30k/trained \
        --trimmed runs/fox30k/gradient_10 --runs runs/table2_fox -o table2_fox

Every file is under --runs, and every row is measured on the file, read again, on the photos held out. "compressed" is
what `leansplat compress` makes without options, "untuned" the same before its fine-tuning, "fine-tuned" has a palette
of the size of plain SOG, and the others are written as `leansplat convert` does. A row that is in the JSON is not made
again; an interrupted compression is resumed. splat-transform runs through node.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.compression import CompressionConfig, FineTuningConfig, SogCodec, compress
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.formats import read, scene_bytes, scene_path, sog, write
from leansplat.provenance import BACKGROUNDS
from leansplat.runs import open_run

RESULTS = Path(__file__).parent / "results"
SPLAT_TRANSFORM = Path(__file__).parents[1] / "node_modules/@playcanvas/splat-transform/bin/cli.mjs"

Row = Callable[[], Path]
"""Makes the file of a row, unless it is there, and returns its path."""


def rows(options: argparse.Namespace, capture: Capture) -> dict[str, Row]:
    folder: Path = options.runs

    def plain(scene: Path, name: str) -> Row:
        def make() -> Path:
            write(read(scene), folder / name, overwrite=True)
            return folder / name

        return make

    def tuned(scene: Path, name: str, *, usual_palette: bool = False) -> Row:
        def make() -> Path:
            run = folder / name.replace(".", "_")
            usual = SogCodec(palette_size=sog.usual_palette_size(len(read(scene)))) if usual_palette else None
            config = CompressionConfig(fine_tuning=FineTuningConfig(steps=options.steps))
            how: dict[str, Any] = {"codec": usual, "resume": (run / "config.json").exists(), "overwrite": True}
            compress(scene, capture, folder / name, config, run, **how, progress=show)
            return folder / name

        return make

    def untuned(name: str) -> Row:
        return lambda: folder / name.replace(".", "_") / f"plain{Path(name).suffix}"

    def others(scene: Path, name: str) -> Row:
        def make() -> Path:
            if not (folder / name).exists():
                command = ["node", str(SPLAT_TRANSFORM), "--quiet", "-g", "cpu", str(scene), str(folder / name)]
                subprocess.run(command, check=True)
            return folder / name

        return make

    base = scene_path(options.base)
    found: dict[str, Row] = {"3DGS": lambda: base, "3DGS + SOG": plain(base, "base_plain.sog")}
    for run in options.trimmed:
        scene, name = scene_path(run), run.name
        found |= {
            name: lambda scene=scene: scene,  # type: ignore[misc]
            f"{name} + SOG": plain(scene, f"{name}_plain.sog"),
            f"{name} + SOG, fine-tuned": tuned(scene, f"{name}_usual.sog", usual_palette=True),
            f"{name} + SOG of splat-transform": others(scene, f"{name}_splat_transform.sog"),
            f"{name} + SOG, compressed": tuned(scene, f"{name}.sog"),
            f"{name} + SOG, untuned": untuned(f"{name}.sog"),
            f"{name} + SPZ": plain(scene, f"{name}_plain.spz"),
            f"{name} + SPZ, compressed": tuned(scene, f"{name}.spz"),
            f"{name} + SPZ, untuned": untuned(f"{name}.spz"),
            f"{name} + c3dgs": tuned(scene, f"{name}.npz"),
        }
    return found | {"3DGS + c3dgs": tuned(base, "base.npz")}


def shared_rows(run: Path) -> dict[str, Any]:
    """How many rows of its tables Gaussians of an .npz share, and how many have one of their own."""
    if not (run / "config.json").exists():
        return {}
    found = [event for event in open_run(run).events() if "colors" in event]
    return {name: found[0][name] for name in ("colors", "shapes")} if found else {}


def show(step: int, total: int, values: Any) -> None:
    if step % 500 == 0:
        print(f"  step {step:,} of {total:,}, loss {values['loss']:.4f}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, required=True, help="from `leansplat download fox` or `chair`")
    parser.add_argument("--downscale", type=int, default=1)
    parser.add_argument("--background", choices=list(BACKGROUNDS), default="black")
    parser.add_argument("--base", type=Path, required=True, help="the scene after 30,000 steps: run folder or .ply")
    parser.add_argument("--trimmed", type=Path, nargs="+", required=True, help="run folders of it trimmed")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the files that are made")
    parser.add_argument("--steps", type=int, default=5_000, help="of fine-tuning")
    parser.add_argument("--without", nargs="*", default=[], help="leave out rows with one of these words")
    parser.add_argument("-o", "--output", required=True, help="name of the JSON in benchmarks/results, table2_NAME")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{options.output}.json"
    settings = {
        "capture": options.capture.name,
        "downscale": options.downscale,
        "steps": options.steps,
        "base_bytes": scene_bytes(options.base),
    }
    found: dict[str, Any] = {"command": f"python benchmarks/table2.py {' '.join(sys.argv[1:])}", **settings, "rows": {}}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if any(before[name] != value for name, value in settings.items()):
            sys.exit(f"{path} is of other settings; move it away")
        found["rows"] = before["rows"]
    capture = load(options.capture, downscale=options.downscale, background=BACKGROUNDS[options.background])
    makers = rows(options, capture)
    for name, make in makers.items():
        if name in found["rows"] or any(word in name for word in options.without):
            continue
        print(name, file=sys.stderr, flush=True)
        file = make()
        scene, size = read(file), scene_bytes(file)
        quality = evaluate(scene, capture, fps=False)
        found["rows"][name] = {
            "gaussians": len(scene),
            "bytes": size,
            "ratio": settings["base_bytes"] / size,
            "psnr": quality.psnr,
            "ssim": quality.ssim,
            "lpips": quality.lpips,
            **shared_rows(options.runs / file.name.replace(".", "_")),
        }
        found["rows"] = {row: found["rows"][row] for row in makers if row in found["rows"]}
        write_json(path, found, overwrite=True)
    for name, row in found["rows"].items():
        lpips = "-" if row["lpips"] is None else f"{row['lpips']:.4f}"
        print(f"{name:40} {row['bytes']:12,} {row['ratio']:7.1f}x {row['psnr']:7.3f} {row['ssim']:.4f} {lpips}")


if __name__ == "__main__":
    main()
