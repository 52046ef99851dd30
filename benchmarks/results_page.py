"""Writes docs/results.md and tables of the README and of docs/training.md from the JSON files in benchmarks/results, so
that no number is copied by hand.

    python benchmarks/results_page.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leansplat.files import replacing

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
TRAINING = ROOT / "docs" / "training.md"
BETWEEN = re.compile(r"(<!-- (results|files|schedules): .*? -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
"""What of these pages is written here."""

HEAD = """# Results

Written by `python benchmarks/results_page.py` from the files in `benchmarks/results/`; each of them names the command
that made it. The machine has two cores and was shared with other work: trust ratios measured in one run more than
seconds. Trainings are 30,000 steps long, which no change of how shorter schedules are scaled touches. They were made
when the limit on a Gaussian's size held at any distance; at step 3,100, where it first removes any, the present one
removes the same on fox (309) and chair (none) ([training](training.md#other-lengths)).
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
    names = {"A": "A: 100k, 480x270", "B": "B: 500k, 960x540"}
    heads = [names.get(s["scene"], f"fox: {s['gaussians']:,}, {s['width']}x{s['height']}") for s in result["scenes"]]
    stages = [stage["stage"] for stage in result["scenes"][0]["stages"]]
    rows = []
    for position, stage in enumerate(stages):
        cells = [scene["stages"][position] for scene in result["scenes"]]
        shown = [f"{c['ours_best_ms']:.1f} / {c['prototype_best_ms']:.1f} = {c['ratio_of_best']:.2f}" for c in cells]
        rows.append([stage, *shown])
    return f"""## Speed of the renderer

    {result["command"]}

{result["processor"]}, {result["threads"]} threads; milliseconds, ours / prototype = ratio, best of
{result["scenes"][0]["rounds"]} rounds that took turns in one process. The prototype is the experiment that the kernels
grew from.

{table(["stage", *heads], rows)}

"Rendering stages" are projection, sorting and blending, both ways. "Whole step" is one call of `training_step`, with
everything that a step of training does; it and the step through autograd are compared with the sum of the prototype's
stages.
"""


def reading() -> str:
    result = read("ply_reading")
    if result is None:
        return ""
    rows = [[r["reader"], f"{r['best_ms']:.0f}", f"{r['times_the_copy']:.2f}"] for r in result["readers"]]
    return f"""## Reading a scene

    {result["command"]}

{result["gaussians"]:,} Gaussians, {result["bytes"] / 1e6:.0f} MB, from a warm cache.

{table(["reader", "best ms", "times the copy"], rows)}
"""


def starting() -> str:
    result = read("start_up")
    if result is None:
        return ""

    def cells(found: dict[str, Any]) -> list[str]:
        return [f"{'' if found['finished'] else '> '}{found['processor_seconds']:.2f}", f"{found['peak_megabytes']:.0f}"]

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
        target = run["to_match"] or {}
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
                f"{target['psnr']:.2f}" if "psnr" in target else "-",
            ]
        )
    missing = ", ".join(result["not_run"])
    not_run = (
        f"\nNot run yet: {missing}. Without the control, gains over the trained scene may be the extra training.\n"
    )
    head = ["run", "Gaussians", "MB", "PSNR", "SSIM", "LPIPS (vgg, [0,1])", "fps", "seconds (threads)", "PSNR to match"]
    return f"""## Training and trimming the fox

    {result["command"]}

{result["capture"]}. Trained for 30,000 iterations, then trimmed for 15,000 (ten rounds in the first 5,000) by the
paper's rule ("gradient") or by opacity alone, to the share in the name; the control trains as long and removes nothing.
One seed. Seconds are of a busy machine, where runs on one thread ran two at a time; the next section has those of a
run alone.

{table(head, rows)}

The last column is what an earlier throwaway trainer reached with 10,000 + 1,500 iterations, from 158k Gaussians.
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
    heads = ["training, 30,000 steps: s", "trimming to 25 %, 15,000 steps: s", "in all: minutes", "peak memory: GB"]
    return f"""## How long that takes

    {result["command"]}

{result["processor"]}, {result["threads"]} threads, kernel compilation included. Runs of the same code with
nothing else running; all ended with the same bits, and what differs is the shared machine.

{table(heads, timings)}

{table(["run", "Gaussians", "PSNR", "SSIM"], rows)}

This is another training with the same seed as above. Between the two the kernels began to round some sums differently,
which is enough for a training to end elsewhere: the difference between the tables is the noise of a single run on seven
photos.
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
    return f"""## Frames a second

    {result["command"]}

{result["capture"]}, {result["processor"]}, {result["threads"]} threads: scenes trimmed by the paper's rule, rendered in
turn, median over {result["rounds"]} rounds.

{table(["kept", "Gaussians", "frames a second", "lowest to highest", "times the whole scene's"], rows)}
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

[11] is Niedermayr et al. 2024, as an .npz. "Compressed" files are what `leansplat compress` makes without options,
"untuned" ones the same before its fine-tuning. "Fine-tuned" ones have a palette as large as that of plain SOG, and the
others are as `leansplat convert` writes them. Trimmed scenes go by their run folder: the criterion and the percentage
of Gaussians that was kept. Every file is measured as it is read again, on photos held out; "times smaller" is against
the .ply of the first row.
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
    head = ["", "Gaussians", "seconds", "MB of memory", "MB of file", "bytes a Gaussian"]
    return f"""## Writing SOG and SPZ

    {result["command"]}

{result["scene"]} repeated with jitter, {result["threads"]} threads. Memory is what is taken beyond the scene, all of it
for splat-transform, which would take hours for the larger scene.

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

One view of a scene of {result["gaussians"]:,} Gaussians, in Chromium ({versions}). PSNR is that of the viewer's picture
of the file to the same viewer's picture of the .ply: what the format loses. A .splat has no spherical harmonics.

{table(["viewer", "file", "PSNR to the .ply there"], rows)}
"""


def readme_table() -> str:
    """The fox in short, with what the last column of the long table leaves to the reader."""
    result = read("fox_trimming")
    if result is None:
        return ""
    names = {"trained": "trained, 30,000 steps", "control": "trained 15,000 more, nothing removed (control)"}
    rules = {"gradient": "the paper's rule", "opacity": "opacity alone"}
    rows = []
    for run in result["rows"]:
        rule, _, share = run["name"].partition(" ")
        name = names.get(run["name"]) or f"trimmed to {share}, {rules[rule]}"
        lpips = "-" if run["lpips"] is None else f"{run['lpips']:.3f}"
        size = f"{run['bytes'] / 1e6:.1f} MB"
        rows.append([name, f"{run['gaussians']:,}", size, f"{run['psnr']:.2f}", f"{run['ssim']:.3f}", lpips])
    return table([result["capture"], "Gaussians", "`.ply`", "PSNR", "SSIM", "LPIPS"], rows)


def readme_files() -> str:
    """Of each capture's Table 2 what there was, what the paper compares with, and the smallest files."""
    rows = []
    for path in sorted(RESULTS.glob("table2_*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for name, row in result["rows"].items():
            if name == "3DGS" or name.endswith(("[11]", "compressed")):
                scene, _, file = name.partition(" + ")
                criterion, _, share = scene.rpartition("_")
                start = "trained" if scene == "3DGS" else f"trimmed to {share}% by {criterion}"
                quality = f"{row['psnr']:.2f}", f"{row['ssim']:.3f}", f"{row['lpips']:.3f}"
                cells = start, file or "`.ply`", f"{row['bytes'] / 1e6:.2f}", f"{row['ratio']:.0f}", *quality
                rows.append([result["capture"].split("_")[0], *cells])
    return table(["", "scene", "file", "MB", "times smaller", "PSNR", "SSIM", "LPIPS"], rows) if rows else ""


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
    head = ["steps", "capture", "in proportion", "Gaussians", "processor", "as it is", "Gaussians", "processor"]
    return table(head, rows)


def main() -> None:
    parts = [
        part
        for part in (
            HEAD,
            trimming(),
            table2(),
            writing(),
            viewers(),
            fox_time(),
            frames_per_second(),
            renderer(),
            reading(),
            starting(),
        )
        if part
    ]
    with replacing(PAGE, overwrite=True) as file:
        file.write("\n".join(parts).encode())
    for page, tables in (
        (README, {"results": readme_table(), "files": readme_files()}),
        (TRAINING, {"schedules": schedules()}),
    ):
        text = page.read_text(encoding="utf-8")
        with replacing(page, overwrite=True) as file:
            file.write(BETWEEN.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", text).encode())  # noqa: B023
    print(*(page.relative_to(ROOT) for page in (PAGE, README, TRAINING)), sep="\n")


if __name__ == "__main__":
    main()
