"""The section on shrinking of docs/results.md, and the table in docs/shrink.md, for results_page.py to write."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
METHODS = {
    "decimate": "decimated",
    "untuned": "merged, no training",
    "nothing known": "shrunk, nothing known",
    "made up": "shrunk, made-up cameras, pictures of the photos' size",
    "known": "shrunk, cameras of the photos",
    "both": "shrunk, photos and renders",
    "photos": "trimmed on the photos",
    "as given": "as given",
}

TAUGHT = {
    "theirs": "cameras of the photos",
    "theirs and between": "these and as many between them",
    "moved": "these moved by a third of their extent, turned by 20 degrees",
    "made up": "made-up cameras, pictures of the photos' size",
}


def section(table: Any) -> str:
    """All there is on shrinking, as Markdown; empty where nothing was measured.

    Args:
        table: from a head and rows to Markdown.
    """
    parts = [default(table), without_photos(table), teaching(table), million(), million("5_"), sizes(table)]
    parts = [part for part in parts if part]
    return "\n".join(["## Shrinking\n", *parts]) if parts else ""


def default(table: Any) -> str:
    """What becomes of scenes without any target."""
    result = _read("shrink_default")
    if result is None:
        return ""
    head = ["scene", "cameras", "Gaussians", "MB as given", "MB as plain SOG", "MB shrunk", "PSNR", "SSIM", "minutes"]
    rows = [
        [
            row["scene"],
            row["cameras"],
            f"{row['gaussians']['given']:,} to {row['gaussians']['shrunk']:,}",
            *(f"{row['bytes'][name] / 1e6:.2f}" for name in ("given", "plain_sog", "shrunk")),
            f"{row['loss']['own']['psnr']:.1f}",
            f"{row['loss']['own']['ssim']:.3f}",
            f"{row['seconds'] / 60:.1f}",
        ]
        for row in result["rows"]
    ]
    return f"""Scenes of other tools, without photos and without a target, so without visible loss. PSNR and SSIM are
against the scene as given, on views held back:

{table(head, rows)}

    {result["command"]}
"""


def visible(table: Any) -> str:
    """What scenes just within the limits of "no visible loss" lost."""
    result = _read("visible_loss")
    if result is None:
        return ""
    changed = "pixels off by more than 8 of 255"
    worst = ["worst view (nine in ten)", "worst part (nine in ten)"]
    head = ["scene", "Gaussians", "PSNR", *worst, "SSIM", "SSIM of the worst part, nine in ten", changed]
    rows = [
        [
            row["scene"],
            "{:,} to {:,}".format(*row["gaussians"]),
            f"{row['loss']['own']['psnr']:.1f}",
            "{worst:.1f} ({most:.1f})".format(**row["loss"]),
            "{worst_part:.1f} ({part:.1f})".format(**row["loss"]),
            f"{row['loss']['own']['ssim']:.3f}",
            f"{row['loss']['part_ssim']:.2f}",
            f"{row['share of pixels off by more than 8 of 255']['mean']:.1%}",
        ]
        for row in result["rows"]
    ]
    return f"{table(head, rows)}\n\n    {result['command']}\n"


def short(table: Any) -> str:
    """What few steps of training win over none."""
    result = _read("short_shrinking")
    if result is None:
        return ""
    shares = list(dict.fromkeys(row["keep"] for row in result["rows"]))
    found = {(row["keep"], row["steps"]): row for row in result["rows"]}
    rows = [
        [f"{steps:,}", *(f"{row['psnr']:.2f}, {row['worst']:.2f}" for share in shares if (row := found[share, steps]))]
        for steps in dict.fromkeys(row["steps"] for row in result["rows"])
    ]
    return f"""PSNR in dB, on average and of the worst view, of {result["scene"]} at {result["cameras"]} cameras of
its photos, from which only the result was looked at. It was shrunk from {result["views"]} cameras that were made up, by
views of at most {result["view_size"]} pixels:

{table(["steps", *(f"{share:.0%} kept" for share in shares)], rows)}

    {result["command"]}
"""


def without_photos(table: Any) -> str:
    """Shrinking without photos beside trimming with them, on photos held out and on renders from there."""
    trained, untrained = _read("shrinking"), _read("untuned")
    if trained is None:
        return ""
    every = [row for row in trained["rows"] if row["kept"] < 1]
    given = {row["scene"]: row for row in trained["rows"] if row["kept"] == 1}
    scenes = list(given)
    counts = sorted({row["kept"] for row in every}, reverse=True)
    lengths = sorted({row["steps"] for row in every})
    text = [
        "Six trained scenes, made smaller with and without their photos, all with "
        f"{lengths[0]:,} training steps but for the first two lines. PSNR in dB on photos that were held out, "
        "and in brackets against renders of the scene as given from the same cameras:\n"
    ]
    rows = [row for row in every if row["steps"] == lengths[0]]
    for kept in counts:
        lines = []
        for method, name in METHODS.items():
            cells = {scene: _cell(rows, untrained, given, scene, method, kept) for scene in scenes}
            if any(cells.values()):
                measured = [cell for cell in cells.values() if cell]
                complete = len(measured) == len(scenes)
                mean = _shown([statistics.fmean(each) for each in zip(*measured, strict=True)]) if complete else "-"
                lines.append([name, *(_shown(cell) if cell else "-" for cell in cells.values()), mean])
        text += [f"{100 * kept:g} % of the Gaussians:\n", table(["", *scenes, "mean"], lines) + "\n"]
    text.append(f"    {trained['command']}\n")
    if untrained is not None:
        text += [_way(table, every, untrained, given, counts, lengths)]
    if untrained is not None:
        text.append(
            '"Decimated" is the better of splat-transform\'s `--decimate` and `--decimate-adaptive` in each case, and '
            '"merged" is `--steps 0` with made-up cameras. "Nothing known" is shrinking without an option, in pictures '
            "about 640 pixels large, although the photos had from 200 to 480:\n\n"
            f"    {untrained['command']}\n"
        )
    return "\n".join(text)


def _way(
    table: Any, every: Sequence[Any], untrained: Any, given: dict[str, Any], counts: list[float], lengths: list[int]
) -> str:
    """How far made-up cameras come from decimation to trimming with photos, for as many training steps."""
    lines = []
    for kept in counts:
        for steps in lengths:
            rows = [row for row in every if row["steps"] == steps]
            for method, name in (("nothing known", "nothing known"), ("made up", "pictures of the photos' size")):
                if any(row["method"] == method and row["kept"] == kept for row in rows):
                    shares = [_share_of_way(rows, untrained, given, scene, kept, method) for scene in given]
                    lines.append([f"{100 * kept:g} % kept, {steps:,} steps, {name}", *shares])
        shortest = [row for row in every if row["steps"] == lengths[0]]
        shares = [_share_of_way(shortest, untrained, given, scene, kept, "as given").split()[0] for scene in given]
        lines.append([f"the scene as given, next to {100 * kept:g} % kept", *shares])
    return (
        "How far shrinking with made-up cameras comes on the way from decimated to trimmed on the photos with as many "
        'steps, on photos and in brackets on renders; "more" is above both where trimming is below decimating. What '
        "teaches is the scene as given; how far that comes itself is below:\n\n"
        f"{table(['', *given], lines)}\n"
    )


def teaching(table: Any) -> str:
    """From where renders teach what photos show."""
    result = _read("teaching_views")
    if result is None:
        return ""
    given = {row["scene"]: row for row in result["given"]}
    found = {(row["scene"], row["views"], row["kept"]): row for row in result["rows"]}
    lines = [
        ["as given, on photos that it was trained on", *(f"{row['photos trained on']:.2f}" for row in given.values())],
        ["as given", *(_shown((row["photos"], row["renders"])) for row in given.values())],
    ]
    for kept in sorted({row["kept"] for row in result["rows"]}, reverse=True):
        for views in dict.fromkeys(row["views"] for row in result["rows"]):
            rows = [found[scene, views, kept] for scene in given]
            name = f"{100 * kept:g} % kept, {TAUGHT[views]}"
            lines.append([name, *(_shown((row["photos"], row["renders"])) for row in rows)])
    return f"""From where a scene teaches, in 600 steps; the scenes are like those above, trained again. PSNR in dB on
photos held out, and in brackets against renders of the scene as given from there. A scene shows what photos show where
it was photographed, and less beside that. So who learns from more places may come nearer to the scene, and still not
nearer to the photos. With made-up cameras Gaussians are merged first, as `shrink` does:

{table(["", *given], lines)}

    {result["command"]}
"""


def million(how_many: str = "") -> str:
    """A million Gaussians, or several, to 10 MB for each."""
    result = _read(f"shrink_{how_many}million")
    if result is None:
        return ""
    counts, own = result["gaussians"], result["loss"]["own"]
    before, after = (result["bytes"][name] / 1e6 for name in ("given", "shrunk"))
    return f"""A scene of {counts["given"]:,} Gaussians ({before:.0f} MB) became a SOG of {after:.2f} MB with
{counts["shrunk"]:,} Gaussians in {result["minutes"]:.1f} minutes on {result["threads"]} cores, without photos, with
{result["peak_memory"] / 1e9:.1f} GB of memory. On views held back it has {own["psnr"]:.1f} dB and an SSIM of
{own["ssim"]:.3f} against the scene as given:

    {result["command"]}
"""


def sizes(table: Any) -> str:
    """How near files come to the size that was asked for."""
    result = _read("shrink_sizes")
    if result is None:
        return ""
    rows = [
        [row["scene"], row["suffix"], f"{row['asked']:,}", f"{row['bytes']:,}", f"{row['bytes'] / row['asked']:.1%}"]
        for row in result["rows"]
    ]
    return f"""Sizes that were asked for, and those that the files have:

{table(["scene", "kind", "asked", "bytes", "share"], rows)}

    {result["command"]}
"""


def _cell(
    rows: Sequence[Any], untrained: Any, given: dict[str, Any], scene: str, method: str, kept: float
) -> list[float] | None:
    """PSNR on photos and on renders."""
    if method == "as given":
        return [given[scene]["photos"]["psnr"], given[scene]["renders"]["psnr"]]
    if method in ("decimate", "untuned"):
        names = ("decimate", "decimate-adaptive") if method == "decimate" else ("made up",)
        found = [
            row
            for row in (untrained or {"rows": []})["rows"]
            if row["scene"] == scene and row["kept"] == kept and row["method"] in names and row["photos"]
        ]
        if not found:
            return None
        return [max(row["photos"]["psnr"] for row in found), max(row["psnr"] for row in found)]
    for row in rows:
        if (row["scene"], row["method"], row["kept"]) == (scene, method, kept):
            return [row["photos"]["psnr"], row["renders"]["psnr"]]
    return None


def _share_of_way(
    rows: Sequence[Any], untrained: Any, given: dict[str, Any], scene: str, kept: float, method: str
) -> str:
    """What a method wins over decimation next to what trimming on photos wins, on photos and on renders."""
    low, reached, high = (_cell(rows, untrained, given, scene, name, kept) for name in ("decimate", method, "photos"))
    if low is None or reached is None or high is None:
        return "-"
    shares = [
        f"{(between - start) / (end - start):.0%}" if end > start else "more" if between > end else "less"
        for start, between, end in zip(low, reached, high, strict=True)
    ]
    return f"{shares[0]} ({shares[1]})"


def _shown(pair: Sequence[float]) -> str:
    return f"{pair[0]:.2f} ({pair[1]:.1f})"


def _read(name: str) -> Any:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
