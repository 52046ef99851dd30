"""Charts for a page: SVG that is whole without any script, in the page's own colours, with its numbers beside it.

A script can show the values under the pointer and hide a series; where scripts are not run, as in the preview of a mail
program or on paper, everything is there but that. Each drawn point carries its place on the drawing and its values as
text, so the script knows of no axes. A series differs from others in dashes and marks as well as in colour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Kind = Literal["lines", "points", "steps"]

WIDTH, HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 12, 46
_LETTER = 6.8
"""Mean width of a letter."""

COLORS = 8
"""How many colours the page has for series."""

_MOST_POINTS = 200
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
_MARKS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Args:
        label: what it shows, with the unit.
        form: how a value is written, as in `format`, such as ",.0f".
        log: whether it is logarithmic; values are then above 0.
        low, high: its ends, where it does not end where the values do.
    """

    label: str
    form: str = ",.4g"
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Args:
        name: what they are; the same name in two charts of a page is shown and hidden together.
        points: (x, y) of each; for "steps" the lower edge of a bin and its height, and the upper edge of the last.
        color: its number, from 0.
        dashed: whether it is what another one is compared with.
        words: what else to say of each point.
        joined: for "points", whether a line goes through them.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0
    dashed: bool = False
    words: Sequence[str] = ()
    joined: bool = False


@dataclass(frozen=True)
class Chart:
    """One pair of axes.

    Args:
        title: what it shows, in a few words.
        series: what is drawn; those without points are left out.
        kind: lines, single points, or the outline of a histogram.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    kind: Kind = "lines"

    @property
    def drawn(self) -> list[Series]:
        """The series that have points."""
        return [series for series in self.series if series.points]


def svg_of(chart: Chart) -> str:
    """The drawing, as an element for a page that has the style of `html`."""
    drawn = chart.drawn
    points = [point for series in drawn for point in series.points]
    x = _Scale.of(chart.x, [point[0] for point in points], _LEFT, WIDTH - _RIGHT, 5)
    y = _Scale.of(chart.y, [point[1] for point in points], HEIGHT - _BOTTOM, _TOP, 5, roomy=chart.kind != "steps")
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{escape(described(chart))}">',
        *_axes(chart, x, y),
    ]
    taken: list[tuple[float, float, float, float]] = []
    for series in drawn:
        taken += [(x(px) - 6, y(py) - 6, x(px) + 6, y(py) + 6) for px, py in series.points if chart.kind == "points"]
    for series in drawn:
        parts += _series(chart, series, x, y, taken)
    return "\n".join([*parts, "</svg>"])


def described(chart: Chart) -> str:
    """The chart in a sentence, for who cannot see it."""
    spans = []
    for series in chart.drawn:
        ys = [value for _, value in series.points]
        if chart.kind == "lines" and len(ys) > 1:
            spans.append(f"{series.name} goes from {ys[0]:{chart.y.form}} to {ys[-1]:{chart.y.form}}")
        elif chart.kind == "points":
            spans.append(
                f"{series.name}: "
                + "; ".join(f"{py:{chart.y.form}} at {px:{chart.x.form}}" for px, py in series.points[:12])
            )
        else:
            spans.append(f"{series.name} is highest near {series.points[ys.index(max(ys))][0]:{chart.x.form}}")
    return f"{chart.title}: {chart.y.label} over {chart.x.label}. {'. '.join(spans)}."


def numbers_of(chart: Chart, most: int = 12) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of the chart's points, evenly thinned to `most` of each series."""
    rows = [
        [series.name, f"{px:{chart.x.form}}", f"{py:{chart.y.form}}"]
        for series in chart.drawn
        for px, py in thinned(series.points[:-1] if chart.kind == "steps" else series.points, most)
    ]
    return ["series", chart.x.label, chart.y.label], rows


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Up to `most` of some points, evenly chosen, with the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(index * (len(points) - 1) / (most - 1))] for index in range(most)]


@dataclass(frozen=True)
class _Scale:
    """Values to places on the drawing.

    Args:
        low, high: the ends, in values or their logarithms.
        start, stop: the places of the ends.
        ticks: round values.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool
    ticks: Sequence[float]

    @classmethod
    def of(
        cls, axis: Axis, values: Sequence[float], start: float, stop: float, most: int, *, roomy: bool = True
    ) -> _Scale:
        turn: Callable[[float], float] = math.log10 if axis.log else float
        found = [turn(value) for value in values] or [0.0, 1.0]
        low = turn(axis.low) if axis.low is not None else min(found)
        high = turn(axis.high) if axis.high is not None else max(found)
        if high <= low:
            spread = 0.15 if axis.log else 0.05 * abs(low) or 1.0
            low, high = low - spread, high + spread
        margin = 0.06 * (high - low) if roomy else 0.0
        low, high = low - (margin if axis.low is None else 0), high + (margin if axis.high is None else 0)
        ticks = _log_ticks(low, high, most) if axis.log else _ticks(low, high, most)
        return cls(low, high, start, stop, axis.log, ticks)

    def __call__(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        share = (place - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start), 1)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, `most` or a few less."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(each * power for each in (1, 2, 5, 10) if (high - low) / (each * power) <= most)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between two powers of ten."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits]
        found = [value for value in found if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if 2 <= len(found) <= most + 1:
            return found
    if len(found) > most:
        return found[:: -(-len(found) // most)]
    return _ticks(10**low, 10**high, most)


def short(value: float) -> str:
    """A tick: "30k", "1.5M", "0.02"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _axes(chart: Chart, x: _Scale, y: _Scale) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for value in y.ticks:
        yield f'<path class="grid" d="M{_LEFT} {y(value)}H{right}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
    for value in x.ticks:
        yield f'<path class="grid" d="M{x(value)} {_TOP}V{bottom}"/>'
        yield f'<text class="tick" x="{x(value)}" y="{bottom + 17}" text-anchor="middle">{short(value)}</text>'
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>'
    middle = (_LEFT + right) / 2
    yield f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(chart.x.label)}</text>'
    yield (
        f'<text class="label" transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y.label)}</text>"
    )


def swatch_of(chart: Chart, series: Series) -> str:
    """What stands for a series in the legend: a mark, or a piece of its line."""
    if chart.kind == "points":
        look = _mark(_MARKS[series.color % len(_MARKS)], 11, 6, hollow=series.dashed)
    else:
        dash = ' stroke-dasharray="4 3"' if series.dashed else ""
        look = f'<path d="M1 6H21" fill="none" stroke="var(--c)" stroke-width="3"{dash}/>'
    return f'<svg class="c{series.color % COLORS}" viewBox="0 0 22 12" aria-hidden="true">{look}</svg>'


def _series(
    chart: Chart, series: Series, x: _Scale, y: _Scale, taken: list[tuple[float, float, float, float]]
) -> Iterator[str]:
    points = series.points if chart.kind == "steps" else thinned(series.points, _MOST_POINTS)
    words = list(series.words) if len(series.words) == len(points) else [""] * len(points)
    told = []
    for index, ((px, py), word) in enumerate(zip(points, words, strict=True)):
        if chart.kind == "steps" and index == len(points) - 1:
            break
        at, wide = x(px), f"{px:{chart.x.form}}"
        if chart.kind == "steps":
            following = points[index + 1][0]
            at, wide = round((at + x(following)) / 2, 1), f"{wide} to {following:{chart.x.form}}"
        told.append([at, y(py), wide, f"{py:{chart.y.form}}{f' ({word})' if word else ''}"])
    data = escape(json.dumps(told, separators=(",", ":"), ensure_ascii=False), quote=False).replace("'", "&#39;")
    name = escape(series.name)
    yield f'<g class="series c{series.color % COLORS}" data-series="{name}" data-points=\'{data}\'>'
    dash = "4 3" if series.dashed else _DASHES[series.color % len(_DASHES)] if chart.kind == "lines" else ""
    stroke = f' stroke-dasharray="{dash}"' if dash else ""
    if chart.kind == "steps":
        yield _outline(points, x, y, stroke, filled=not series.dashed)
    elif chart.kind == "lines" or series.joined:
        path = "L".join(f"{x(px)} {y(py)}" for px, py in points)
        yield f'<path class="line" d="M{path}"{stroke}/>'
    if chart.kind == "points" or len(points) < 13:
        for px, py in points if chart.kind != "steps" else ():
            yield _mark(_MARKS[series.color % len(_MARKS)], x(px), y(py), hollow=series.dashed)
    if chart.kind == "points":
        for (px, py), word in zip(points, words, strict=True):
            yield from _name(word or series.name, x(px), y(py), taken)
    yield "</g>"


def _outline(points: Sequence[tuple[float, float]], x: _Scale, y: _Scale, stroke: str, *, filled: bool) -> str:
    base = HEIGHT - _BOTTOM
    steps = "".join(f"V{y(py)}H{x(points[index + 1][0])}" for index, (_, py) in enumerate(points[:-1]))
    return f'<path class="{"area" if filled else "line"}" d="M{x(points[0][0])} {base}{steps}V{base}"{stroke}/>'


def _mark(kind: str, px: float, py: float, *, hollow: bool) -> str:
    shape = {
        "circle": f'<circle cx="{px}" cy="{py}" r="4"',
        "square": f'<rect x="{px - 3.6:.1f}" y="{py - 3.6:.1f}" width="7.2" height="7.2"',
        "triangle": f'<path d="M{px} {py - 5:.1f}l4.6 8.4h-9.2z"',
        "diamond": f'<path d="M{px} {py - 5.4:.1f}l5.4 5.4l-5.4 5.4l-5.4 -5.4z"',
    }[kind]
    return f'{shape} class="mark{" hollow" if hollow else ""}"/>'


def _name(words: str, px: float, py: float, taken: list[tuple[float, float, float, float]]) -> Iterator[str]:
    """Words beside a point, on the first side of it where nothing else is; none where there is no such side."""
    wide = _LETTER * len(words)
    for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -10, "middle"), (0, 18, "middle")):
        left = px + dx - {"start": 0.0, "end": wide, "middle": wide / 2}[anchor]
        box = (left, py + dy - 9, left + wide, py + dy + 3)
        inside = box[0] >= _LEFT and box[2] <= WIDTH - 2 and box[1] >= 0 and box[3] <= HEIGHT - _BOTTOM
        own = (px - 6, py - 6, px + 6, py + 6)
        if inside and not any(_overlap(box, other) for other in taken if other != own):
            taken.append(box)
            yield f'<text class="name" x="{px + dx}" y="{py + dy}" text-anchor="{anchor}">{escape(words)}</text>'
            return


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
