"""The figures of the report: which numbers go into which plot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from leansplat.paper.columns import Column, Measure, rows_of
from leansplat.paper.gathering import job_folder, photo_path, picture_path
from leansplat.paper.plan import BASE, CONTROL, CRITERIA_KEPT, KEPT, MIDDLE, SHORT
from leansplat.paper.results import Results
from leansplat.pruning import CRITERIA
from leansplat.report import Gallery, Plot, Shot, cut_crops
from leansplat.report.numbers import megabytes
from leansplat.report.plots import INK, QUIET, Line, Look, Panel, draw_histogram, draw_lines, nth_look

_SIZE = "scene file, MB"
_MEASURES: dict[Measure, str] = {"psnr": "PSNR, dB", "ssim": "SSIM", "lpips": "LPIPS (lower is better)"}
LOOKS = {
    "gradient": Look(INK, "-", "o"),
    "one-shot gradient": Look(INK, "--", "o", filled=False),
    "opacity": Look("#cc6318", "-", "s"),
    "one-shot opacity": Look("#cc6318", "--", "s", filled=False),
    "stale": Look("#3c86c9", ":", "^"),
    "no prior": Look("#2b9a6e", "-.", "D"),
    "mask": Look("#a9569c", "-.", "v"),
    "base": Look(QUIET, "--", "*", level=True),
    "7k": Look(QUIET, "-", "P"),
    "control": Look(QUIET, "-", "X"),
}
"""Looks of what many plots show."""

_CROPPED = ("gradient-0.225", "gradient-0.375", "gradient-0.45", "gradient-0.5", "gradient-0.55", "gradient-0.6")


def _dots(column: Column, variants: Sequence[str], measure: Measure = "psnr") -> list[Line]:
    names = {BASE: "30k", SHORT: "7k", CONTROL: "control"}
    return [Line(names[name], column.curve([name], measure), LOOKS[name]) for name in variants]


def _rule(column: Column, rule: str, measure: Measure = "psnr") -> Line:
    return Line(rule, column.curve(rows_of(rule), measure), LOOKS[rule])


def figure_3(column: Column, schedule: str) -> Plot | None:
    """Quality over size."""
    panels = [
        Panel(
            _SIZE,
            label,
            [
                *(_rule(column, rule, measure) for rule in ("gradient", "stale", "opacity")),
                *_dots(column, (BASE, SHORT, CONTROL), measure),
            ],
        )
        for measure, label in _MEASURES.items()
        if column.curve([BASE], measure)
    ]
    title = f"{column.title}: quality over size, by the paper's rule with fresh and with stale gradients and by opacity"
    return _plot(f"figure-3-{_slug(column.title)}", title, panels, schedule)


def figures_4_to_6(results: Results, capture: str) -> Gallery | None:
    """Crops of a held-out view at several gamma."""
    renders = []
    for variant, result in results.some(capture, (BASE, SHORT, *_CROPPED)).items():
        label = {BASE: "3DGS-30k", SHORT: "3DGS-7k"}.get(variant, f"gamma {variant.rpartition('-')[2]}")
        psnr = result.view_psnr(result.metrics["pictured"])
        quality = "" if psnr is None else f", {psnr:.2f} dB"
        path = picture_path(job_folder(results.folder, result.values["name"]))
        caption = f"{label}: {megabytes(result.score.megabytes)} MB{quality}"
        renders.append(Shot(f"{capture}-{variant}", path, caption))
    return cut_crops(Shot(f"{capture}-photo", photo_path(results.folder, capture), "photo"), renders)


def figure_7a(column: Column, schedule: str) -> Plot | None:
    """Rounds against one shot, and no prior."""
    lines = [
        *(_rule(column, rule) for rule in ("gradient", "opacity")),
        *(
            Line(f"one-shot {rule}", column.curve(column.numbered(f"one-shot-{rule}")), LOOKS[f"one-shot {rule}"])
            for rule in ("gradient", "opacity")
        ),
        Line("no prior", column.curve(column.numbered("no-prior")), LOOKS["no prior"]),
    ]
    ran = any(line.points for line in lines[2:])
    title = f"{column.title}: pruning in ten rounds, all at once, and while training (no prior)"
    panels = [Panel(_SIZE, _MEASURES["psnr"], [*lines, *_dots(column, (BASE,))])] if ran else []
    return _plot(f"figure-7a-{_slug(column.title)}", title, panels, schedule)


def figure_7b(results: Results) -> Plot | None:
    """Frames per second over size."""
    lines = []
    for index, capture in enumerate(results.captures):
        variants = {BASE: "100 %", **{f"gradient-keep-{kept}": f"{kept} %" for kept in KEPT}}
        found = results.some(capture, list(variants))
        points = [(result.score.megabytes, result.metrics["fps"]) for result in found.values()]
        if len(points) > 1:
            lines.append(Line(capture, points, nth_look(index), [variants[variant] for variant in found]))
    panels = [Panel(_SIZE, "frames per second", lines)] if lines else []
    title = (
        "Frames per second on a CPU, over size, by the share of Gaussians kept: median of three passes after a first"
    )
    return _plot("figure-7b-speed", title, panels, results.schedule)


def figure_7c(results: Results, capture: str) -> Plot | None:
    """Opacities before and after."""
    found = results.some(capture, (BASE, MIDDLE))
    if len(found) < 2:
        return None
    shares = []
    for result in found.values():
        counts = result.metrics["opacity_histogram"]
        shares.append([count / max(1, sum(counts)) for count in counts])
    labels = ("before", "after")
    return Plot(
        f"figure-7c-{capture}",
        f"{capture}: opacities before trimming and after it (gamma .45). {results.schedule}",
        draw_histogram(f"figure-7c-{capture}", shares[0], shares[1], labels, "opacity"),
    )


def figure_8(column: Column, schedule: str) -> Plot | None:
    """The learned mask."""
    mask = column.curve(column.numbered("mask"))
    lines = [_rule(column, "gradient"), Line("mask", mask, LOOKS["mask"]), *_dots(column, (BASE,))]
    title = f"{column.title}: trimming, and the mask of Compact-3DGS that is learned in training, at several weights"
    panels = [Panel(_SIZE, _MEASURES["psnr"], lines)] if mask else []
    return _plot(f"figure-8-{_slug(column.title)}", title, panels, schedule)


def criteria(results: Results, capture: str) -> Plot | None:
    """Every criterion at equal counts."""
    lines = []
    for index, name in enumerate(CRITERIA):
        found = {kept: results.find(capture, f"{name}-keep-{kept}") for kept in CRITERIA_KEPT}
        points = [(float(kept), result.score.psnr) for kept, result in found.items() if result is not None]
        if len(points) > 1:
            lines.append(Line(name, points, nth_look(index)))
    panels = [Panel("Gaussians kept, %", _MEASURES["psnr"], lines)] if lines else []
    return _plot(f"criteria-{capture}", f"{capture}: every criterion, at equal counts", panels, results.schedule)


def _plot(name: str, title: str, panels: Sequence[Panel], schedule: str) -> Plot | None:
    return Plot(name, f"{title}. {schedule}".strip(), draw_lines(name, panels)) if panels else None


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")
