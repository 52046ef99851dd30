"""The published numbers are those of the paper, where its text is at hand, and hang together as the paper says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leansplat.paper.plan import GAMMAS
from leansplat.paper.published import DATASETS, TABLE_1, TABLE_2
from leansplat.paper.scores import Score

PAPER = Path(__file__).parents[2] / "../shared/paper/trimming-the-fat.txt"
needs_paper = pytest.mark.skipif(not PAPER.is_file(), reason="the text of the paper is not on this machine")


def printed_rows(first: str, numbers: int) -> list[list[float]]:
    """The numbers of lines of the paper that end in `numbers` columns, from the line that holds `first` on."""
    text = PAPER.read_text(encoding="utf-8")
    rows = []
    for line in text[text.index(first) :].splitlines():
        cells = [cell.strip().rstrip("×") for cell in line.split("\t")][-numbers:]
        if len(cells) == numbers and all(re.fullmatch(r"[0-9.]+", cell) for cell in cells):
            rows.append([float(cell) for cell in cells])
    return rows


def numbers_of(score: Score) -> list[float | None]:
    return [score.ssim, score.psnr, score.lpips, score.megabytes]


@needs_paper
def test_table_1_holds_what_the_paper_prints() -> None:
    printed = printed_rows("Model\t$\\gamma_{\\text{iter}}$", 12)[: len(TABLE_1)]
    held = [[number for dataset in DATASETS for number in numbers_of(row.scores[dataset])] for row in TABLE_1.values()]
    assert held == printed


@needs_paper
def test_table_2_holds_what_the_paper_prints() -> None:
    printed = printed_rows("Table 2:", 5)[: 3 * len(DATASETS)]
    held = [
        [*numbers_of(row.scores[dataset]), (row.ratios or {})[dataset]]
        for dataset in DATASETS
        for row in TABLE_2.values()
    ]
    assert held == printed


def test_a_row_for_every_gamma_we_run_is_published() -> None:
    rows = {(variant.partition("-")[0], row.gamma) for variant, row in TABLE_1.items() if row.gamma is not None}
    assert rows == {(rule, gamma) for rule, gammas in GAMMAS.items() for gamma in gammas}


def test_sizes_by_opacity_follow_eq_6_which_tells_them_from_the_other_rule() -> None:
    for dataset in DATASETS:
        base = TABLE_1["base"].scores[dataset].megabytes
        for gamma in GAMMAS["opacity"]:
            size = TABLE_1[f"opacity-{gamma:g}"].scores[dataset].megabytes
            assert size == pytest.approx(base * (1 - gamma) ** 10, rel=0.06, abs=0.6)
        for gamma in GAMMAS["gradient"]:
            assert TABLE_1[f"gradient-{gamma:g}"].scores[dataset].megabytes > 2 * base * (1 - gamma) ** 10
