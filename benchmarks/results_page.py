"""Writes docs/results.md, and the tables of results in the README and in other pages, from the JSON files in
benchmarks/results, so that no number is copied by hand.

    python benchmarks/results_page.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import farm
import fixed_count
import time_to_quality
from shrinking_results import default, section, short, visible

from leansplat.files import replacing

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
WITH_TABLES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("farm", "shrink", "training"))]
NAMES = "costs|default|direct|files|lean|parts|schedules|short|visible"
BETWEEN = re.compile(rf"(<!-- ({NAMES}): .*? -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
"""What of these pages is written here."""

HEAD = """# Results

This page holds what we measured, each table with the command that made it. `python benchmarks/results_page.py` writes
it from the files in `benchmarks/results/`. Three things to know before comparing:

- **Time.** The machine has two cores and was shared with other work, so trust ratios measured in one run more than
  seconds.
- **Captures.** Commands take the captures from where `leansplat download fox -o data` and
  `leansplat download chair -o data` put them. What we measured are the same photos in another form, so the same
  commands give numbers like these, but not the same
  ([the captures of our results](datasets.md#the-captures-of-our-results)).
- **Schedules.** Trainings are 30,000 steps long, so no change of how shorter schedules are scaled touches them. They
  were made when the limit on a Gaussian's size held at any distance. At step 3,100, where Gaussians are first removed
  for their size, the present limit removes the same ones, 309 on fox and none on chair
  ([training](training.md#other-lengths)).
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def renderer() -> str:
    result = read("render_stages")
    if result is None:
        return ""
    (scene,) = result["scenes"]
    rows = [[stage["stage"], f"{stage['best_ms']:.1f}", f"{stage['median_ms']:.1f}"] for stage in scene["stages"]]
    return f"""## Speed of the renderer

    {result["command"]}

A training step of the fox, stage by stage: {scene["gaussians"]:,} Gaussians at {scene["width"]}x{scene["height"]}, on
{result["processor"]} with {result["threads"]} threads, over {scene["rounds"]} rounds.

{table(["stage", "best ms", "median ms"], rows)}

"Rendering stages" are projection, sorting and blending, forward and backward. "Whole step" is one call of
`training_step`, with everything that a step of training does.
"""


def reading() -> str:
    result = read("ply_reading")
    if result is None:
        return ""
    rows = [[r["reader"], f"{r['best_ms']:.0f}", f"{r['times_the_copy']:.2f}"] for r in result["readers"]]
    return f"""## Reading a scene

    {result["command"]}

A `.ply` of {result["gaussians"]:,} Gaussians and {result["bytes"] / 1e6:.0f} MB, read from a warm cache.

{table(["reader", "best ms", "times the copy"], rows)}
"""


def starting() -> str:
    result = read("start_up")
    if result is None:
        return ""

    def cells(found: dict[str, Any]) -> list[str]:
        return [
            f"{'' if found['finished'] else '> '}{found['processor_seconds']:.2f}",
            f"{found['peak_megabytes']:.0f}",
        ]

    rows = [[r["what"], *cells(r["leansplat"]), *cells(r["splat-transform"])] for r in result["rows"]]
    return f"""## Commands that render nothing

    {result["command"]}

Processor time of the whole process, the least of some runs that took turns, and peak memory; on {result["cores"]} cores
that others used, too. {result["splat_transform"].split(" ")[0]} {result["splat_transform"].split(" ")[1]} on node
{result["node"]}; a ">" was stopped there. The scenes are random, but shaped like trained ones.

{table(["", "leansplat, s", "MB", "splat-transform, s", "MB"], rows)}
"""


def trimming() -> str:
    result = read("fox_trimming")
    if result is None:
        return ""
    rows = []
    for run in result["rows"]:
        rows.append(
            [
                run["name"],
                f"{run['gaussians']:,}",
                f"{run['bytes'] / 1e6:.2f}",
                f"{run['psnr']:.2f}",
                f"{run['ssim']:.4f}",
                "-" if run["lpips"] is None else f"{run['lpips']:.4f}",
                f"{run['fps']:.0f}",
                f"{run['seconds']:,.0f} ({run['threads']})",
            ]
        )
    missing = ", ".join(result["not_run"])
    not_run = (
        f"\nNot run yet: {missing}. Without the control, gains over the trained scene may be the extra training.\n"
    )
    head = ["run", "Gaussians", "MB", "PSNR", "SSIM", "LPIPS (vgg, [0,1])", "fps", "seconds (threads)"]
    return f"""## Training and trimming the fox

    {result["command"]}

The capture is {result["capture"]}. The scene was trained for 30,000 steps, then trimmed for 15,000
(ten rounds in the first 5,000) by the paper's rule ("gradient") or by opacity alone, to the share in the name. The
control trains as long and removes nothing. All of it has one seed. Seconds are of a busy machine, where runs on one
thread ran two at a time; [below](#how-long-that-takes) are those of a run alone.

{table(head, rows)}
{not_run if missing else ""}"""


def fox_time() -> str:
    result = read("fox_time")
    if result is None:
        return ""
    rows = [[s["name"], f"{s['gaussians']:,}", f"{s['psnr']:.2f}", f"{s['ssim']:.4f}"] for s in result["scenes"]]
    timings = [
        [
            f"{t['training']:,.0f}",
            f"{t['trimming']:,.0f}",
            f"{t['total'] / 60:.1f}",
            f"{t['peak_memory_bytes'] / 1e9:.2f}",
        ]
        for t in result["timings"]
    ]
    heads = ["training, 30,000 steps (s)", "trimming to 25 %, 15,000 steps (s)", "in all (minutes)", "peak memory (GB)"]
    return f"""## How long that takes

    {result["command"]}

The times of fox, on {result["processor"]} with {result["threads"]} threads, include the compilation of kernels. Each
row is a run of the same code with nothing else running. All ended with the same bits; that their times differ is due
to the shared machine.

{table(heads, timings)}

{table(["run", "Gaussians", "PSNR", "SSIM"], rows)}

This is another training than the one above, with the same seed. Between the two, the kernels began to round some sums
differently, which is enough for a training to end elsewhere. So the difference between the two tables shows the noise
of a single run on seven photos.
"""


def frames_per_second() -> str:
    result = read("frames_per_second")
    if result is None:
        return ""
    rows = [
        [
            f"{r['kept_percent']} %",
            f"{r['gaussians']:,}",
            f"{r['fps']:.0f}",
            f"{r['fps_lowest']:.0f} to {r['fps_highest']:.0f}",
            f"{r['fps'] / result['rows'][0]['fps']:.1f}",
        ]
        for r in result["rows"]
    ]
    return f"""## Frames per second

    {result["command"]}

Scenes trimmed by the paper's rule, rendered in turn: {result["capture"]}, on {result["processor"]} with
{result["threads"]} threads. Each number is the median over {result["rounds"]} rounds.

{table(["kept", "Gaussians", "frames per second", "lowest to highest", "times the whole scene's"], rows)}
"""


def table2() -> str:
    """A section with a table for each results/table2_*.json."""
    tables = []
    for path in sorted(RESULTS.glob("table2_*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            [
                name,
                f"{row['gaussians']:,}",
                f"{row['bytes'] / 1e6:.2f}",
                f"{row['ratio']:.1f}",
                f"{row['psnr']:.2f}",
                f"{row['ssim']:.4f}",
                "-" if row["lpips"] is None else f"{row['lpips']:.4f}",
            ]
            for name, row in result["rows"].items()
        ]
        head = [result["capture"], "Gaussians", "MB", "times smaller", "PSNR", "SSIM", "LPIPS (vgg, [0,1])"]
        tables.append(f"    {result['command']}\n\n{table(head, rows)}\n")
    if not tables:
        return ""
    return "\n".join(
        [
            """## Small files

In each row, the name before the plus is the scene, and the one after it the file that was made of the scene. Every file
is measured as it is read again, on photos held out.

| name | what it is |
| --- | --- |
| 3DGS | the trained scene; its .ply is what "times smaller" is against |
| gradient_10, gaussianpop_20 | trimmed scenes: the criterion, and the percentage of Gaussians that was kept |
| SOG, SPZ | as `leansplat convert` writes them |
| SOG of splat-transform | as splat-transform writes it |
| compressed | as `leansplat compress` writes them without options |
| untuned | the same before its fine-tuning |
| fine-tuned | as compressed, with a palette as large as that of plain SOG |
| c3dgs | the compression of Niedermayr et al. (2024), an .npz |

The scenes of the chair are trained and trimmed by

    leansplat train data/chair --downscale 4 --background white -o runs/chair30k/trained
    leansplat trim runs/chair30k/trained --capture data/chair --criterion gaussianpop --keep 20% \\
        --spacing 1 --position-rate 1 --rate 1 --final-rate 1 --pressure 0 -o runs/chair30k/gaussianpop_20
""",
            *tables,
        ]
    )


def writing() -> str:
    result = read("sog_writing")
    if result is None:
        return ""
    rows = [
        [
            row["tool"],
            f"{row['gaussians']:,}",
            f"{row['seconds']:.1f}",
            "-" if row["memory"] is None else f"{row['memory'] / 1e6:,.0f}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['bytes_per_gaussian']:.1f}",
        ]
        for row in result["rows"]
    ]
    head = ["writer", "Gaussians", "seconds", "MB of memory", "MB of file", "bytes per Gaussian"]
    return f"""## Writing SOG and SPZ

    {result["command"]}

The scene is one of the fox that OpenSplat trained ({result["scene"]}), repeated with jitter, and
{result["threads"]} threads write it. Memory is what leansplat takes beyond the scene, and all that splat-transform
takes; that would need hours for the larger scene.

{table(head, rows)}
"""


def viewers() -> str:
    result = read("viewers")
    if result is None:
        return ""
    rows = [
        [row["viewer"], f"`{row['file']}`", f"{row['to_its_ply']:.1f}"]
        for row in result["rows"]
        if row["to_its_ply"] is not None
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"""## Viewers

    {result["command"]}

One view of a scene of {result["gaussians"]:,} Gaussians was drawn in Chromium ({versions}). PSNR compares the viewer's
picture of the file with the same viewer's picture of the .ply, so it shows what the format loses. A .splat has no
spherical harmonics.

{table(["viewer", "file", "PSNR to the .ply there"], rows)}
"""


def readme_files() -> str:
    """Of each capture's Table 2 the two scenes, what the paper compares with, and the smallest files."""
    files = {"": "`.ply`", "SOG, compressed": "`.sog`", "SPZ, compressed": "`.spz`", "c3dgs": "c3dgs, `.npz`"}
    rows = []
    for path in sorted(RESULTS.glob("table2_*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for name, row in result["rows"].items():
            scene, _, file = name.partition(" + ")
            if file in files:
                what = "trained" if scene == "3DGS" else f"trimmed to {scene.rpartition('_')[2]} %"
                quality = f"{row['psnr']:.2f}", f"{row['ssim']:.3f}", f"{row['lpips']:.3f}"
                size = f"{row['bytes'] / 1e6:.2f}", f"{row['ratio']:.0f}"
                rows.append(
                    [result["capture"].split("_")[0], what, files[file], f"{row['gaussians']:,}", *size, *quality]
                )
    head = ["capture", "scene", "file", "Gaussians", "MB", "times smaller", "PSNR", "SSIM", "LPIPS"]
    return table(head, rows) if rows else ""


def schedules() -> str:
    """Short trainings by the old and by the present rule, side by side."""
    result = read("schedules")
    if result is None:
        return ""
    both: dict[tuple[int, str], list[str]] = {}
    for row in sorted(result["rows"], key=lambda row: row["iterations"]):
        cells = both.setdefault((row["iterations"], row["capture"]), [])
        if "error" in row:
            cells += ["no Gaussian left", "", ""]
        else:
            quality = f"{row['psnr']:.2f} dB, {row['ssim']:.3f}"
            cells += [quality, f"{row['gaussians']:,}", f"{row['processor_seconds']:.0f} s"]
    rows = [[f"{steps:,}", name.split("_")[0], *cells] for (steps, name), cells in both.items()]
    sides = [f"{when}: {what}" for when in ("before", "now") for what in ("PSNR, SSIM", "Gaussians", "processor time")]
    head = ["steps", "capture", *sides]
    return table(head, rows)


def direct() -> str:
    """What `train` makes of photos in one command."""
    result = json.loads((RESULTS / "photos_to_file.json").read_text(encoding="utf-8"))
    rows = [
        [
            row["capture"],
            f"{row['steps']:,}",
            f"{row['gaussians']:,}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['psnr']:.2f} dB, {row['ssim']:.4f}, {row['lpips']:.4f}",
            f"{row['seconds']:.0f} s",
            f"{row['peak_megabytes'] / 1e3:.2f} GB" if "peak_megabytes" in row else "",
        ]
        for row in result["rows"]
    ]
    head = ["capture", "steps", "Gaussians", "MB", "PSNR, SSIM, LPIPS", f"time on {result['cores']} cores", "memory"]
    return table(head, rows)


def demo_time() -> str:
    result = read("demo_time")
    if result is None:
        return ""
    rows = [
        [name, f"{row['gaussians']:,}", f"{row['bytes'] / 1e6:.2f}", f"{row['psnr']:.2f}", f"{row['ssim']:.4f}"]
        for name, row in result["scenes"].items()
    ]
    return f"""## The demo, kernels compiled by it

    {result["command"]}

On {result["cores"]} cores `leansplat demo` takes {result["seconds"]:.0f} s where no kernel has been compiled before,
and {result["peak_megabytes"] / 1e3:.2f} GB of memory.

{table(["scene", "Gaussians", "MB", "PSNR", "SSIM"], rows)}
"""


def pages() -> dict[Path, str]:
    """What each page says by the results of today."""
    parts = (
        HEAD,
        section(table),
        fixed_count.section(),
        trimming(),
        table2(),
        writing(),
        viewers(),
        fox_time(),
        frames_per_second(),
        renderer(),
        reading(),
        starting(),
        demo_time(),
    )
    tables = {
        "costs": farm.costs(),
        "default": default(table),
        "direct": direct(),
        "files": readme_files(),
        "lean": time_to_quality.against_trimming(),
        "parts": time_to_quality.parts(),
        "schedules": schedules(),
        "short": short(table),
        "visible": visible(table),
    }
    return {PAGE: "\n".join(filter(None, parts))} | {
        page: BETWEEN.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", page.read_text(encoding="utf-8"))
        for page in WITH_TABLES
    }


def main() -> None:
    for page, text in pages().items():
        with replacing(page, overwrite=True) as file:
            file.write(text.encode())
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
