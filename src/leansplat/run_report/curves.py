"""Charts of how runs went: loss, quality and Gaussians over steps and seconds, and quality over size at their ends.

Steps count from the beginning of each run, though a trimming goes on from those of a training. What has several pieces
of work, as shrinking has, is shown as one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from leansplat.report import Axis, Chart, Series
from leansplat.run_report.account import Account, Standing, span

Points = list[tuple[float, float]]

_STEPS = Axis("training steps", ",.0f", low=0.0)
_SECONDS = Axis("seconds of training", ",.0f", low=0.0)
_LOSS = Axis("loss", ".4f", log=True)
_PSNR = Axis("PSNR on held-out views, dB", ".2f")
_GAUSSIANS = Axis("Gaussians", ",.0f", low=0.0)


def charts_of(accounts: Sequence[Account]) -> list[Chart]:
    """Loss, quality and Gaussians of all runs; those that no run has anything for are left out."""
    loss = [(account, _over(account, _loss)) for account in accounts]
    count = [(account, _over(account, _gaussians)) for account in accounts]
    quality: dict[str, list[tuple[Account, list[tuple[float, float, float]]]]] = {}
    for account in accounts:
        seen = _over(account, _quality if account.against == "photos" else _quality_of_own)
        quality.setdefault(account.against, []).append((account, seen))
    moving = [(account, points) for account, points in count if len({size for _, _, size in points}) > 1]
    charts = []
    for title, axis, found in (
        ("Loss in training", _LOSS, loss),
        *(
            (f"Quality on the way{'' if against == 'photos' else f', against {against}'}", _PSNR, found)
            for against, found in quality.items()
        ),
        ("Gaussians on the way", _GAUSSIANS, moving),
    ):
        for x, place in ((_STEPS, 0), (_SECONDS, 1)):
            series = [
                Series(account.name, [(point[place], point[2]) for point in points], accounts.index(account))
                for account, points in found
            ]
            chart = Chart(f"{title}, over {'steps' if place == 0 else 'seconds'}", x, axis, series)
            if any(len(each.points) > 1 for each in chart.drawn):
                charts.append(chart)
    return charts


def sizes_of(accounts: Sequence[Account]) -> list[Chart]:
    """Quality over size: a chart for each kind of quality that can be compared, with all runs that have it."""
    made = {account.after.path.resolve() for account in accounts if account.after.path is not None}
    groups: list[list[Account]] = []
    for account in accounts:
        group = next((members for members in groups if members[0].comparable_with(account)), None)
        if group is None:
            groups.append([account])
        else:
            group.append(account)
    charts = []
    for members in groups:
        series = []
        for account in members:
            color = accounts.index(account)
            if account.rungs:
                points = [(rung.target, point) for rung in account.rungs for point in _point(rung.standing)]
                words, places = [target for target, _ in points], [point for _, point in points]
                series.append(Series(account.name, places, color, words=words, joined=True))
                continue
            before = account.before
            known = before is not None and before.path is not None and _scene(before) in made
            if before is not None and not known:
                series.append(Series(f"{account.name}, before", list(_point(before)), color, dashed=True))
            series.append(Series(account.name, list(_point(account.after)), color))
        if sum(len(each.points) for each in series) < 2:
            continue
        against = members[0].against
        of = f" on the photos of {members[0].capture_name}" if against == "photos" else f", against {against}"
        title = f"Quality over size{of}"
        charts.append(Chart(title, Axis("size, MB", ",.3g", log=True), Axis("PSNR, dB", ".2f"), series, "points"))
    return charts


def rounds_of(account: Account) -> tuple[list[str], list[list[str]]] | None:
    """Head and rows of a table of the rounds of pruning; None where there were none."""
    rows: list[list[str]] = []
    offset = 0
    for work in account.works:
        first, last = span(work)
        for event in work.events:
            if event["event"] == "round":
                rows.append(
                    [
                        f"{len(rows) + 1}",
                        f"{offset + event['step'] - first:,}",
                        _asked(event.get("asked", {})),
                        f"{event['before']:,}",
                        f"{event['removed']:,}",
                        f"{event['kept']:,}",
                        *(_decibels(event.get(name)) for name in ("held_out_before", "held_out_after")),
                    ]
                )
        offset += last - first
    if not rows:
        return None
    head = ["round", "after step", "asked", "Gaussians before", "removed", "kept", "PSNR before, dB", "PSNR after, dB"]
    return head, rows


def _over(account: Account, values: Callable[[Mapping[str, Any]], Iterator[float]]) -> list[tuple[float, float, float]]:
    """(step, seconds, value) of what `values` finds in each event, over all of the work."""
    found: list[tuple[float, float, float]] = []
    steps = seconds = 0.0
    for work in account.works:
        first, last = span(work)
        timed = [(each["step"], each["seconds"]) for each in work.events if "seconds" in each]
        began = first, 0.0
        places, times = zip(*sorted({began, *timed}), strict=True)
        for event in work.events:
            for value in values(event):
                passed = event.get("seconds", float(np.interp(event["step"], places, times)))
                found.append((steps + event["step"] - first, seconds + passed, value))
        steps += last - first
        seconds += max(times)
    return found


def _loss(event: Mapping[str, Any]) -> Iterator[float]:
    if event["event"] == "progress" and event.get("loss", 0) > 0:
        yield event["loss"]


def _quality(event: Mapping[str, Any]) -> Iterator[float]:
    if event["event"] == "held_out":
        yield from _finite(event.get("psnr"))
    for name in ("held_out_before", "held_out_after"):
        yield from _finite((event.get(name) or {}).get("psnr"))


def _quality_of_own(event: Mapping[str, Any]) -> Iterator[float]:
    """Without that of the scene as it was given, which is all but perfect against itself."""
    untouched = event["event"] == "round" and event.get("round") == 1
    yield from _quality({**event, "held_out_before": None} if untouched else event)


def _gaussians(event: Mapping[str, Any]) -> Iterator[float]:
    if event["event"] == "round":
        yield from (event["before"], event["kept"])
    elif event["event"] in ("started", "progress"):
        yield event["gaussians"]


def _finite(value: float | None) -> Iterator[float]:
    if value is not None and math.isfinite(value):
        yield value


def _point(standing: Standing) -> Iterator[tuple[float, float]]:
    if standing.bytes:
        for psnr in _finite(standing.scores.psnr):
            yield standing.bytes / 1e6, psnr


def _scene(standing: Standing) -> Any:
    from leansplat import formats

    assert standing.path is not None
    return formats.scene_path(standing.path).resolve()


def _asked(asked: Mapping[str, Any]) -> str:
    if "count" in asked:
        return f"{asked['count']:,} left"
    return f"below the quantile {asked['gamma']:g}" if "gamma" in asked else "–"


def _decibels(quality: Mapping[str, Any] | None) -> str:
    psnr = (quality or {}).get("psnr")
    return "–" if psnr is None else f"{psnr:.2f}"
