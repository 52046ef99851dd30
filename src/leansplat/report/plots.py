"""Plots as SVG: lines over a size, and histograms over [0, 1].

Lines are named where they end, not in a legend, and differ in mark and dash as well as in colour, so that they can be
told apart in grey. The same numbers give the same bytes: no dates, no random ids.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leansplat.errors import InputError
from leansplat.report.svg import INK, QUIET, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leansplat",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 8.0,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": QUIET,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
}

# Inches; a panel alone is wider than one of several.
_WIDTH, _WIDTH_ALONE, _HEIGHT = 3.3, 4.8, 2.6
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.66, 0.1, 0.45, 0.28

_LETTER = 4.6  # mean width of a letter and height of a line, in points
_LINE = 10.0


@dataclass(frozen=True)
class Look:
    """How a line is drawn, in matplotlib's words.

    Args:
        color, dash, mark: the colour, dashes and marks of the line; a lone point has its mark only.
        filled: whether the marks are filled.
        level: whether a lone point gets a level line from the left, for others to be compared with.
    """

    color: str
    dash: str
    mark: str
    filled: bool = True
    level: bool = False


_CYCLE = [
    Look(INK, "-", "o"),
    Look("#cc6318", "-", "s"),
    Look("#3c86c9", "--", "^"),
    Look("#2b9a6e", "-.", "D"),
    Look("#a9569c", "--", "v"),
    Look(QUIET, ":", "X"),
    Look("#b38f00", "-.", "P"),
    Look("#7d6be0", ":", "p"),
    Look("#c4405f", "--", "h"),
]


def nth_look(index: int) -> Look:
    """A look for the `index`-th of many lines."""
    return _CYCLE[index % len(_CYCLE)]


@dataclass(frozen=True)
class Line:
    """Points that belong together.

    Args:
        label: the name that stands beside the end of the line at small sizes, or beside a lone point.
        points: (x, y) of each point.
        look: how the line is drawn.
        marks: the words above the points, in their order.
    """

    label: str
    points: Sequence[tuple[float, float]]
    look: Look
    marks: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes; x is logarithmic.

    Args:
        x, y: what the axes show, with units.
        lines: the lines to draw; those without points are left out.
        title: what stands above the axes.
    """

    x: str
    y: str
    lines: Sequence[Line]
    title: str = ""


def draw_lines(name: str, panels: Sequence[Panel]) -> str:
    """Panels side by side as SVG.

    Args:
        name: a name that is unique among the drawings that share a page.

    Raises:
        InputError: matplotlib is missing.
    """
    with _matplotlib():
        figure, axes = _figure(len(panels))
        for ax, panel in zip(axes, panels, strict=True):
            ax.set_xlabel(panel.x)
            ax.set_ylabel(panel.y)
            ax.set_title(panel.title, fontsize=8, loc="left", color=INK)
            _draw(ax, [line for line in panel.lines if line.points])
        return _svg(figure, name)


def draw_histogram(name: str, before: Sequence[float], after: Sequence[float], labels: tuple[str, str], x: str) -> str:
    """Two histograms over [0, 1] of equal bins as SVG: `before` as an area, `after` as a line; heights in percent.

    Raises:
        InputError: matplotlib is missing.
    """
    with _matplotlib():
        figure, (ax,) = _figure(1)
        edges = [index / len(before) for index in range(len(before) + 1)]
        ax.stairs([100 * share for share in before], edges, fill=True, color=QUIET, alpha=0.45, label=labels[0])
        ax.stairs([100 * share for share in after], edges, color=INK, linewidth=1.3, label=labels[1])
        ax.legend(frameon=False, loc="upper center", labelcolor=INK)
        ax.set_xlim(0, 1)
        ax.set_xlabel(x)
        ax.set_ylabel("share of Gaussians per bin, %")
        ax.grid(axis="y")
        ax.set_axisbelow(True)
        return _svg(figure, name)


def _matplotlib() -> Any:
    """Matplotlib's settings for a drawing, as a context."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise InputError("plots need matplotlib, which is not installed; run `pip install matplotlib`") from error
    return rc_context(_SETTINGS)


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    width = _WIDTH_ALONE if panels == 1 else _WIDTH
    figure = Figure(figsize=(panels * width, _HEIGHT))
    bottom, height = _BOTTOM / _HEIGHT, (_HEIGHT - _BOTTOM - _TOP) / _HEIGHT
    lefts = [(index + _LEFT / width) / panels for index in range(panels)]
    share = (width - _LEFT - _RIGHT) / (panels * width)
    return figure, [figure.add_axes((left, bottom, share, height)) for left in lefts]


def _svg(figure: Figure, name: str) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return tidy(text.getvalue(), name)


def _draw(ax: Axes, lines: Sequence[Line]) -> None:
    ax.grid(True)
    ax.set_axisbelow(True)
    if not lines:
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color=QUIET)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    curves = [line for line in lines if len(line.points) > 1]
    dots = [line for line in lines if len(line.points) == 1]
    left, right = (_share_of_width(ax, group) for group in (curves, dots))
    _set_limits(ax, [point for line in lines for point in line.points], left, right)
    for line in lines:
        points = sorted(line.points)
        look = line.look
        if look.level:
            level = [points[0][1]] * 2
            ax.plot([ax.get_xlim()[0], points[0][0]], level, color=look.color, linestyle=look.dash, linewidth=0.8)
        ax.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=look.color,
            linestyle=look.dash,
            linewidth=1.3,
            marker=look.mark,
            markersize=4.5,
            markerfacecolor=look.color if look.filled else "none",
            markeredgewidth=0.9,
        )
        for (x, y), mark in zip(line.points, line.marks, strict=False):
            ax.annotate(mark, (x, y), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=7)
    _name(ax, curves, left, at_left=True)
    _name(ax, dots, 1 - right, at_left=False)


def _share_of_width(ax: Axes, lines: Sequence[Line]) -> float:
    """Share of the axes' width that names of these lines take."""
    if not lines:
        return 0.04
    return (max(len(line.label) for line in lines) * _LETTER + 14) / _points_across(ax)[0]


def _points_across(ax: Axes) -> tuple[float, float]:
    """Width and height of axes, in points of 1/72 inch."""
    figure = ax.get_figure()
    assert figure is not None
    return 72 * ax.bbox.width / figure.dpi, 72 * ax.bbox.height / figure.dpi


def _set_limits(ax: Axes, points: Sequence[tuple[float, float]], left: float, right: float) -> None:
    """Limits that hold the points, with room for names at both sides, and round ticks."""
    xs, ys = [math.log10(x) for x, _ in points], [y for _, y in points]
    low, high = min(xs), max(xs)
    if high - low < 0.01:
        low, high = low - 0.1, high + 0.1
    room = (high - low) / (1 - left - right)
    ax.set_xscale("log")
    ax.set_xlim(10 ** (low - left * room), 10 ** (high + right * room))
    ticks = _round_numbers(low, high)
    ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.locator_params(axis="y", nbins=5)
    margin = 0.08 * (max(ys) - min(ys)) or 0.05 * abs(ys[0]) or 1.0
    ax.set_ylim(min(ys) - margin, max(ys) + 1.5 * margin)


def _round_numbers(low: float, high: float) -> list[float]:
    """Two to four ticks between 10^low and 10^high, round ones if they can be."""
    for digits in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low - 0.02 <= math.log10(tick) <= high + 0.02]
        if 2 <= len(ticks) <= 4:
            return ticks
    return [10**low, 10**high]


def _name(ax: Axes, lines: Sequence[Line], edge: float, *, at_left: bool) -> None:
    """Write the labels in a column that ends, or begins, at `edge` of the width, and lead from each to its line."""
    _, height = _points_across(ax)
    bottom, top = ax.get_ylim()
    ends = [min(line.points) for line in lines]
    wanted = [(y - bottom) / (top - bottom) * height for _, y in ends]
    for line, end, place in zip(lines, ends, spread(wanted, _LINE, 4.0, height), strict=True):
        ax.annotate(
            line.label,
            end,
            xytext=(edge + (-0.025 if at_left else 0.025), place / height),
            textcoords="axes fraction",
            ha="right" if at_left else "left",
            va="center",
            color=line.look.color,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (1 if at_left else 0, 0.5),
                "color": line.look.color,
                "linewidth": 0.5,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """`places` moved apart to differ by `gap` or more, in the same order, and within [low, high] if they fit."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    floor = low
    for index in order:
        moved[index] = floor = max(moved[index], floor)
        floor += gap
    ceiling = high
    for index in reversed(order):
        moved[index] = ceiling = min(moved[index], ceiling)
        ceiling -= gap
    return moved
