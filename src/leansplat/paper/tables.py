"""The tables of the report: the paper's two, with our numbers beside the published, and those of our ablations."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from leansplat.paper.columns import Column, our_columns, published_columns, rows_of
from leansplat.paper.plan import (
    BASE,
    COMPRESSED_GAMMAS,
    CONTROL,
    CRITERIA_KEPT,
    FILES,
    FINETUNING,
    GAMMAS,
    MIDDLE,
    REPEATED,
    SHORT,
    TICKETS,
)
from leansplat.paper.published import DATASETS, TABLE_1, TABLE_2, Row
from leansplat.paper.results import Result, Results
from leansplat.paper.scores import SCORE_HEADS, score_cells
from leansplat.pruning import CRITERIA
from leansplat.report import Cells, Group, Table
from leansplat.report.numbers import (
    NONE,
    decibels,
    distance,
    megabytes,
    percent,
    similarity,
)

LABELS = {SHORT: "3DGS-7k", BASE: "3DGS-30k", CONTROL: "no pruning, as many steps"}
"""What rows that are no row of a rule are called."""

_METHODS = {
    "opacity": "opacity alone",
    "gradient": "Trimming the Fat, fresh gradients",
    "stale": "Trimming the Fat, stale gradients (the authors' code)",
}

_FILES = {
    "npz": "c3dgs",
    "sog-plain": "SOG, encoded",
    "sog": "SOG, fine-tuned",
    "spz-plain": "SPZ, encoded",
    "spz": "SPZ, fine-tuned",
}
_TRIMMED = "Trimming the Fat"
_NOT_SAID = "not given"
_NO_RATIO = (NONE,) * (len(SCORE_HEADS) + 1)
"""Cells of Table 2 where there is no such row."""


def table_1(results: Results) -> Table:
    """Table 1: every row of the paper and the control, our captures first, then the published numbers."""
    columns = [*our_columns(results), *published_columns()]
    rows: list[list[Cells | None]] = []
    for method, gamma, variant in _rows_of_table_1():
        rows.append([(method,), (gamma,), *(_score(column, variant) for column in columns)])
    groups = [
        Group("", ("method",)),
        Group("", ("gamma",)),
        *(Group(column.title, SCORE_HEADS if column.published else (*SCORE_HEADS, "kept")) for column in columns),
    ]
    notes = [
        f'{results.schedule} In our columns, MB are 10^6 bytes of the scene file, and "kept" is the size relative to '
        "the 3DGS-30k scene that trimming starts from. The paper reports rows with † from the 3DGS paper; the other "
        "published rows are its own.",
        f"{next(row.note for row in TABLE_1.values() if row.note and 'typo' in row.note)}.",
    ]
    return Table(groups, rows, notes)


def table_2(results: Results) -> Table:
    """Table 2: what is left of a scene in each kind of file, our captures first, then the published numbers."""
    columns = our_columns(results)
    titles = [*(column.title for column in columns), *(f"{dataset} (paper)" for dataset in DATASETS)]
    groups = [Group("", ("method",)), Group("", ("gamma",))]
    groups += [Group(title, (*SCORE_HEADS, "ratio")) for title in titles]
    rows: list[list[Cells | None]] = []
    for method, gamma, variant in _rows_of_table_2():
        ours = [_NO_RATIO if gamma == _NOT_SAID else _score_and_ratio(column, variant) for column in columns]
        rows.append([(method,), (gamma,), *ours, *_published_and_ratio(TABLE_2.get(variant))])
    notes = [
        f"{results.schedule} Our numbers are measured on the file as it is read again. MB are 10^6 bytes of it, and "
        "the ratio says how many times smaller it is than the .ply of 3DGS-30k. c3dgs is the compression of Niedermayr "
        "et al. (2024), an .npz, which the paper uses too.",
        'SOG and SPZ are open formats, which the paper does not have. "Encoded" files are as a conversion writes them. '
        '"Fine-tuned" ones were trained through the format, with coarser spherical harmonics where these show little.',
        *(f'On the paper\'s row "{row.method}": {row.note}.' for row in TABLE_2.values() if row.note),
    ]
    return Table(groups, rows, notes)


def criteria(results: Results, capture: str) -> Table:
    """Every criterion at equal counts."""
    groups = [
        Group("", ("criterion",)),
        *(Group(f"{kept} % kept", ("PSNR", "SSIM", "LPIPS")) for kept in CRITERIA_KEPT),
    ]
    rows: list[list[Cells | None]] = []
    for name in CRITERIA:
        found = [results.find(capture, f"{name}-keep-{kept}") for kept in CRITERIA_KEPT]
        rows.append([(name,), *(_quality(result) for result in found)])
    return Table(groups, rows, [results.schedule])


def rounds(results: Results) -> Table:
    """What Eq. 6 predicts is left after the rounds, what is, and the share that single rounds remove."""
    groups = [Group("", ("rule",)), Group("", ("gamma",)), Group("", ("kept by Eq. 6",))]
    groups += [Group(capture, ("kept", "removed per round")) for capture in results.captures]
    rows: list[list[Cells | None]] = []
    for rule in ("opacity", "gradient", "stale"):
        for variant in rows_of(rule):
            found = [results.find(capture, variant) for capture in results.captures]
            done = [result for result in found if result is not None and result.values["rounds"]]
            if done:
                predicted = 1 - done[0].values["rounds"][-1]["sparsity_predicted"]
                cells: list[Cells | None] = [_round_cells(result) if result else None for result in found]
                rows.append([(_METHODS[rule],), (variant.rpartition("-")[2],), (percent(predicted),), *cells])
    return Table(groups, rows)


def finetuning(results: Results) -> Table:
    """The middle row by how long it was fine-tuned."""
    lengths = {10_000: MIDDLE, **{steps: f"{MIDDLE}-finetune-{steps}" for steps in FINETUNING}}
    return _by_capture(results, "steps after pruning", {f"{steps:,}": lengths[steps] for steps in sorted(lengths)})


def lottery(results: Results) -> Table:
    """The trimmed scene and its tickets."""
    variants = {"the trimmed scene": MIDDLE, **{label: f"lottery-{name}" for name, label in TICKETS.items()}}
    return _by_capture(results, "scene", variants)


def spread(results: Results) -> Table | None:
    """Mean and standard deviation of what several seeds ran; None where no variant has two."""
    heads = ("seeds", "PSNR", "PSNR over its 3DGS-30k", "SSIM", "LPIPS", "MB")
    rows: list[list[Cells | None]] = []
    for capture in results.captures:
        bases = {result.values["seed"]: result.score.psnr for result in results.all_of(capture, BASE)}
        for variant in REPEATED:
            found = results.all_of(capture, variant)
            if len(found) < 2:
                continue
            scores = [result.score for result in found]
            gains = [result.score.psnr - bases[result.values["seed"]] for result in found]
            lpips = [score.lpips for score in scores if score.lpips is not None]
            rows.append(
                [
                    (capture,),
                    (_name_of(variant),),
                    (
                        str(len(found)),
                        _mean_and_deviation([score.psnr for score in scores], decibels),
                        NONE if variant == BASE else _mean_and_deviation(gains, lambda gain: f"{gain:+.2f}"),
                        _mean_and_deviation([score.ssim for score in scores], similarity),
                        _mean_and_deviation(lpips, distance) if len(lpips) == len(scores) else NONE,
                        _mean_and_deviation([score.megabytes for score in scores], megabytes),
                    ),
                ]
            )
    if not rows:
        return None
    notes = [
        "Each number is the mean ± the standard deviation over the seeds, which divides by their number less one. "
        f"{results.schedule}"
    ]
    return Table([Group("", ("capture",)), Group("", ("variant",)), Group("", heads)], rows, notes)


def _name_of(variant: str) -> str:
    """What a report calls a baseline or a row of a rule: "opacity-0.1" is "opacity alone, gamma 0.1"."""
    rule, _, gamma = variant.rpartition("-")
    return LABELS.get(variant) or f"{_METHODS[rule]}, gamma {gamma}"


def _rows_of_table_1() -> list[tuple[str, str, str]]:
    """Method, gamma and variant of each row."""
    rows = [(TABLE_1[name].method, NONE, name) for name in ("7k-reported", "30k-reported")]
    rows += [(LABELS[name], NONE, name) for name in (SHORT, BASE, CONTROL)]
    for rule, method in _METHODS.items():
        gammas = GAMMAS["gradient" if rule == "stale" else rule]
        rows += [(method, f"{gamma:.3f}", variant) for gamma, variant in zip(gammas, rows_of(rule), strict=True)]
    return rows


def _rows_of_table_2() -> list[tuple[str, str, str]]:
    """Method, gamma and variant of each row."""
    rows = [("3DGS-30k", NONE, BASE), (f"3DGS-30k + {_FILES['npz']}", NONE, f"{BASE}-npz")]
    rows.append((f"{_TRIMMED} + {_FILES['npz']}", _NOT_SAID, "gradient-npz"))
    for gamma in COMPRESSED_GAMMAS:
        variant = f"gradient-{gamma:g}"
        rows.append((_TRIMMED, f"{gamma:.3f}", variant))
        rows += [(f"{_TRIMMED} + {_FILES[file]}", f"{gamma:.3f}", f"{variant}-{file}") for file in FILES]
    return rows


def _score_and_ratio(column: Column, variant: str) -> Cells | None:
    score, base = column.scores.get(variant), column.scores.get(BASE)
    if score is None:
        return None
    return (*score_cells(score), NONE if base is None else f"{base.megabytes / score.megabytes:.1f}x")


def _published_and_ratio(row: Row | None) -> list[Cells]:
    """A published row of Table 2, one group per dataset, with the ratios that the paper prints."""
    if row is None or row.ratios is None:
        return [_NO_RATIO] * len(DATASETS)
    return [(*score_cells(row.scores[dataset]), f"{row.ratios[dataset]:.1f}x") for dataset in DATASETS]


def _score(column: Column, variant: str) -> Cells | None:
    score = column.scores.get(variant)
    if column.published:
        return (NONE,) * len(SCORE_HEADS) if score is None else score_cells(score)
    if variant.endswith("-reported"):
        return (NONE,) * (len(SCORE_HEADS) + 1)
    if score is None:
        return None
    base = column.scores.get(BASE)
    return (*score_cells(score), NONE if base is None else percent(score.megabytes / base.megabytes))


def _quality(result: Result | None) -> Cells | None:
    if result is None:
        return None
    return decibels(result.score.psnr), similarity(result.score.ssim), distance(result.score.lpips)


def _round_cells(result: Result) -> Cells:
    shares = sorted(entry["removed"] / entry["before"] for entry in result.values["rounds"])
    ends = dict.fromkeys((percent(shares[0]), percent(shares[-1])))
    return percent(1 - result.values["rounds"][-1]["sparsity"]), " to ".join(ends)


def _by_capture(results: Results, head: str, variants: dict[str, str]) -> Table:
    """One row per variant, with its quality and count on each capture."""
    groups = [Group("", (head,))]
    groups += [Group(capture, ("PSNR", "SSIM", "LPIPS", "Gaussians")) for capture in results.captures]
    rows: list[list[Cells | None]] = []
    for label, variant in variants.items():
        cells: list[Cells | None] = []
        for capture in results.captures:
            result = results.find(capture, variant)
            quality = _quality(result)
            cells.append(None if result is None or quality is None else (*quality, f"{result.gaussians:,}"))
        rows.append([(label,), *cells])
    return Table(groups, rows, [results.schedule])


def _mean_and_deviation(values: Sequence[float], write: Callable[[float], str]) -> str:
    deviation = statistics.stdev(values)
    return f"{write(statistics.fmean(values))} ± {write(deviation).lstrip('+')}"
