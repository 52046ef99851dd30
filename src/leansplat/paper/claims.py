"""The paper's claims beside numbers: its own where its tables have them, and ours, each by one formula for both."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from leansplat.paper.columns import Column, our_columns, published_columns, rows_of
from leansplat.paper.plan import (
    BASE,
    COMPRESSED_GAMMAS,
    CONTROL,
    KEPT,
    MIDDLE,
    ONE_SHOT_GAMMAS,
    SHORT,
    TICKETS,
)
from leansplat.paper.published import CLAIMS
from leansplat.paper.results import Result, Results
from leansplat.paper.scores import difference
from leansplat.report import NOT_RUN, Group, Table
from leansplat.report.numbers import percent, span

_SHARES = (0.25, 0.1, 0.05)
"""Sizes, in units of the baseline's, at which curves are compared."""

_STRONGEST = "gradient-0.6"


def claims(results: Results) -> Table:
    """One row per claim: what the paper says, what its tables say, what our captures say."""
    columns = [*published_columns(), *our_columns(results)]
    rows = []
    for name, claim in CLAIMS.items():
        cells = [(claim.sentence,), (claim.place,)]
        for column in columns:
            if name in _FORMULAS:
                answer = _FORMULAS[name](column)
            else:
                answer = None if column.published else _measured(name, results, column.title)
            cells.append((answer or ("not in its tables" if column.published else NOT_RUN),))
        rows.append(cells)
    groups = [Group("", ("claim",)), Group("", ("where",)), *(Group("", (column.title,)) for column in columns)]
    notes = [
        "Differences are of the mean PSNR, SSIM and LPIPS on held-out views. What is said to be at 25 % of the size is "
        "read from curves over the logarithm of the size, between the rows of Table 1, where no scene has just that "
        f"size. {results.schedule}"
    ]
    return Table(groups, rows, notes)


def advantage(column: Column, better: Sequence[str], worse: Sequence[str]) -> dict[float, float]:
    """PSNR of the curve through `better` minus that through `worse`, by size in units of the baseline's.

    A size that one of the curves does not reach is left out.
    """
    base = column.scores.get(BASE)
    found = {}
    for share in _SHARES if base else ():
        assert base is not None
        values = [column.psnr_at(variants, share * base.megabytes) for variants in (better, worse)]
        if values[0] is not None and values[1] is not None:
            found[share] = values[0] - values[1]
    return found


def _four_times(column: Column) -> str | None:
    base, control = column.scores.get(BASE), column.scores.get(CONTROL)
    trimmed = column.scores.get("gradient-keep-25") or column.scores.get(MIDDLE)
    if base is None or trimmed is None:
        return None
    text = f"{difference(trimmed, base)} at {percent(trimmed.megabytes / base.megabytes)} of the size"
    return text if control is None else f"{text}; against the control {difference(trimmed, control)}"


def _gradient_over(rule: str, label: str) -> Callable[[Column], str | None]:
    """How much better the paper's rule is than another of Table 1."""

    def formula(column: Column) -> str | None:
        found = advantage(column, rows_of("gradient"), rows_of(rule))
        if not found:
            return None
        gains = ", ".join(f"{gain:+.2f}" for gain in found.values())
        sizes = ", ".join(f"{100 * share:g}" for share in found)
        return f"{label}: {gains} dB at {sizes} % of the size"

    return formula


def _strongest(column: Column) -> str | None:
    trimmed, short = column.scores.get(_STRONGEST), column.scores.get(SHORT)
    if trimmed is None or short is None:
        return None
    return f"{difference(trimmed, short)} against 3DGS-7k"


def _ratio(column: Column) -> str | None:
    trimmed, base = column.scores.get(_STRONGEST), column.scores.get(BASE)
    return None if trimmed is None or base is None else f"{base.megabytes / trimmed.megabytes:.1f} times smaller"


def _compressed(column: Column) -> str | None:
    alone = column.scores.get(f"{BASE}-npz")
    trimmed = {"gamma not given": column.scores.get("gradient-npz")} | {
        f"gamma {gamma:g}": column.scores.get(f"gradient-{gamma:g}-npz") for gamma in COMPRESSED_GAMMAS
    }
    if alone is None:
        return None
    found = [
        f"{gamma}: {alone.megabytes / score.megabytes:.1f} times smaller, {difference(score, alone)}"
        for gamma, score in trimmed.items()
        if score is not None
    ]
    return "; ".join(found) or None


def _iterative(column: Column) -> str | None:
    parts = []
    for rule, gammas in ONE_SHOT_GAMMAS.items():
        names = [f"{rule}-{gamma:g}" for gamma in gammas]
        pairs = [(column.scores.get(name), column.scores.get(f"one-shot-{name}")) for name in names]
        gains = [rounds.psnr - once.psnr for rounds, once in pairs if rounds is not None and once is not None]
        if gains:
            parts.append(f"{rule} {span(gains)}, mean {statistics.fmean(gains):+.2f}")
    return f"rounds over one shot at equal counts: {'; '.join(parts)}" if parts else None


def _against_trimming(start: str, label: str) -> Callable[[Column], str | None]:
    """PSNR of trimming over that of all variants called `start`-NUMBER, at their sizes."""

    def formula(column: Column) -> str | None:
        others = [column.scores[name] for name in column.numbered(start)]
        if not others:
            return None
        curve = [*rows_of("gradient"), BASE]
        trimmed = [(other.psnr, column.psnr_at(curve, other.megabytes)) for other in others]
        gains = [reached - psnr for psnr, reached in trimmed if reached is not None]
        beyond = len(others) - len(gains)
        parts = [f"trimming over {label} at equal size: {span(gains)}"] if gains else []
        parts += [f"{beyond} of {len(others)} have a size that no trimmed scene has"] if beyond else []
        return "; ".join(parts)

    return formula


_FORMULAS: dict[str, Callable[[Column], str | None]] = {
    "four-times": _four_times,
    "gradient": _gradient_over("opacity", "gradient over opacity"),
    "strongest": _strongest,
    "ratio": _ratio,
    "compressed": _compressed,
    "iterative": _iterative,
    "prior": _against_trimming("no-prior", "training without a prior"),
    "mask": _against_trimming("mask", "a learned mask"),
    "stale": _gradient_over("stale", "fresh over stale gradients"),
}
"""What answers a claim from scores alone."""


def _measured(name: str, results: Results, capture: str) -> str | None:
    """What answers the other claims, on one of our captures."""
    if capture not in results.captures:
        return None
    base, trimmed = (results.find(capture, variant) for variant in (BASE, MIDDLE))
    if name == "speed":
        return _speed(base, results.find(capture, f"gradient-keep-{KEPT[-1]}"))
    if trimmed is None:
        return None
    if name == "opacity":
        return (
            None if base is None else f"median {_median_opacity(base):.2f} before, {_median_opacity(trimmed):.2f} after"
        )
    tickets = {ticket: results.find(capture, f"lottery-{ticket}") for ticket in TICKETS}
    found = [
        f"{TICKETS[ticket]} {result.score.psnr - trimmed.score.psnr:+.2f} dB"
        for ticket, result in tickets.items()
        if result is not None
    ]
    return f"{', '.join(found)} against the trimmed scene" if found else None


def _speed(base: Result | None, trimmed: Result | None) -> str | None:
    if base is None or trimmed is None:
        return None
    before, after = base.metrics["fps"], trimmed.metrics["fps"]
    times = f"{after / before:.1f} times as many"
    return f"{before:.0f} frames per second before, {after:.0f} at {KEPT[-1]} % kept ({times}), on a CPU"


def _median_opacity(result: Result) -> float:
    """The middle of the bin that half of the Gaussians lie in or below."""
    counts = result.metrics["opacity_histogram"]
    reached = 0
    for index, count in enumerate(counts):
        reached += count
        if 2 * reached >= sum(counts):
            return float((index + 0.5) / len(counts))
    return 0.0
