"""`page_of`: a batch as a page for people: what came of it in large print, charts, every scene, and what failed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from leansplat.batch.rows import Row
from leansplat.batch.tasks import FINISHED
from leansplat.report import (
    Axis,
    Block,
    Chart,
    Charts,
    Code,
    Document,
    Fact,
    Facts,
    Notes,
    Section,
    Series,
    Text,
    numbers,
    simple_table,
    to_html,
)

_FEWEST_FOR_CHARTS = 2
_MOST_IN_CHARTS = 2_000


def page_of(result: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """One HTML file, which asks nothing of the network.

    Args:
        result: what `BatchResult.to_json` has.
        rows: its scenes.
    """
    sections = []
    failed = [row for row in rows if row.sentence]
    if failed:
        sections.append(Section("failed", "What failed", [Notes([f"{row.name}: {row.sentence}" for row in failed])]))
    charts = _charts(rows)
    if charts:
        sections.append(Section("charts", "At a glance", [Charts(charts)]))
    sections.append(Section("scenes", "Every scene", [_table(rows)]))
    command = shlex.join(result["command"])
    document = Document(
        title=f"{len(rows):,} scene{'' if len(rows) == 1 else 's'}, {result['command'][0]}",
        sections=sections,
        lead=_lead(command, rows, failed),
        over="leansplat batch",
    )
    return to_html(document)


def _lead(command: str, rows: Sequence[Row], failed: Sequence[Row]) -> list[Block]:
    finished = [row for row in rows if row.status == FINISHED]
    facts = [Fact(f"{len(finished):,} of {len(rows):,}", "scenes finished")]
    both = [row for row in finished if row.bytes_before and row.bytes]
    if both:
        before, after = sum(row.bytes_before or 0 for row in both), sum(row.bytes or 0 for row in both)
        facts.append(Fact(f"{before / after:.1f}×", "smaller, all together"))
        facts.append(Fact(f"{numbers.megabytes(after / 1e6)} MB", f"of {numbers.megabytes(before / 1e6)} MB before"))
    scored = [row.psnr for row in finished if row.psnr is not None]
    if scored:
        facts.append(Fact(f"{numbers.decibels(sum(scored) / len(scored))} dB", "mean PSNR on views held out"))
    if failed:
        facts.append(Fact(f"{len(failed):,}", "failed"))
    seconds = sum(row.seconds or 0.0 for row in rows)
    facts.append(Fact(_duration(seconds), "of work, one after the other"))
    return [Text("What was done with each scene:"), Code(command), Facts(facts)]


def _charts(rows: Sequence[Row]) -> list[Chart]:
    drawn = [row for row in rows if row.status == FINISHED][:_MOST_IN_CHARTS]
    sizes = [(row.bytes_before / 1e6, row.bytes / 1e6, row.name) for row in drawn if row.bytes_before and row.bytes]
    times = [(row.bytes_before / 1e6, row.seconds, row.name) for row in drawn if row.bytes_before and row.seconds]
    scores = [(row.bytes / 1e6, row.psnr, row.name) for row in drawn if row.bytes and row.psnr is not None]
    before, after = "before (MB)", "after (MB)"
    asked = [
        ("Size after over size before", before, after, sizes, True),
        ("Quality over size", after, "PSNR (dB)", scores, False),
        ("Time over size before", before, "seconds", times, True),
    ]
    return [
        Chart(
            title,
            Axis(x, log=_spans(point[0] for point in points)),
            Axis(y, log=logarithmic and _spans(point[1] for point in points)),
            [Series("scene", [point[:2] for point in points], words=[point[2] for point in points])],
            "points",
        )
        for title, x, y, points, logarithmic in asked
        if len(points) >= _FEWEST_FOR_CHARTS
    ]


def _spans(values: Any) -> bool:
    """Whether numbers span so much that only logarithms tell them apart."""
    found = list(values)
    return min(found) > 0 and max(found) > 8 * min(found)


def _table(rows: Sequence[Row]) -> Block:
    columns = {
        "scene": [row.name for row in rows],
        "status": [row.status for row in rows],
        "Gaussians before": [_count(row.gaussians_before) for row in rows],
        "Gaussians": [_count(row.gaussians) for row in rows],
        "MB before": [_megabytes(row.bytes_before) for row in rows],
        "MB": [_megabytes(row.bytes) for row in rows],
        "times smaller": [_number(row.ratio, 1) for row in rows],
        "PSNR": [_number(row.psnr, 2) for row in rows],
        "SSIM": [_number(row.ssim, 3) for row in rows],
        "LPIPS": [_number(row.lpips, 3) for row in rows],
        "seconds": [_number(row.seconds, 1) for row in rows],
        "GB of memory": [_number(None if row.memory is None else row.memory / 1e9, 2) for row in rows],
        "where": [row.where or numbers.NONE for row in rows],
    }
    kept = {head: cells for head, cells in columns.items() if head == "scene" or set(cells) - {numbers.NONE}}
    return simple_table(tuple(kept), list(zip(*kept.values(), strict=True)))


def _count(value: int | None) -> str:
    return numbers.NONE if value is None else f"{value:,}"


def _megabytes(size: int | None) -> str:
    return numbers.NONE if size is None else f"{size / 1e6:.2f}"


def _number(value: float | None, digits: int) -> str:
    return numbers.NONE if value is None else f"{value:,.{digits}f}"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
