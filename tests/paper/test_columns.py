"""Curves over sizes, and claims computed from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.made_up_results import made_up_results

from leansplat.datasets.catalogue import DATASETS
from leansplat.paper.claims import advantage, claims
from leansplat.paper.columns import our_columns, published_columns, rows_of
from leansplat.paper.plan import GAMMAS
from leansplat.paper.published import CLAIMS
from leansplat.paper.results import Results, at_size
from leansplat.paper.scores import Score


def test_a_curve_is_read_linearly_in_the_logarithm_of_the_size() -> None:
    curve = [(100.0, 30.0), (1.0, 20.0), (10.0, 28.0)]
    assert [at_size(curve, size) for size in (1.0, 10.0, 100.0)] == [20.0, 28.0, 30.0]
    assert at_size(curve, math.sqrt(10)) == pytest.approx(24.0)


@pytest.mark.parametrize("size", [0.99, 100.1])
def test_a_curve_says_nothing_beyond_its_ends(size: float) -> None:
    assert at_size([(1.0, 20.0), (100.0, 30.0)], size) is None
    assert at_size([(size, 20.0)], size) is None


def test_the_advantage_of_gradients_in_the_paper_is_that_of_numpys_interpolation() -> None:
    for column in published_columns():
        base = column.scores["base"].megabytes
        expected = {}
        for share in (0.25, 0.1, 0.05):
            values = []
            for rule in ("gradient", "opacity"):
                sizes, ratios = zip(*sorted(column.curve(rows_of(rule))), strict=True)
                values.append(np.interp(math.log(share * base), np.log(sizes), ratios))
            expected[share] = values[0] - values[1]
        assert advantage(column, rows_of("gradient"), rows_of("opacity")) == pytest.approx(expected)


def answers(results: Results) -> dict[str, dict[str, str]]:
    """The cells of the claims table by claim and column."""
    table = claims(results)
    heads = [group.heads[0] for group in table.groups]
    rows = [dict(zip(heads, (cells[0] for cells in row if cells), strict=True)) for row in table.rows]
    return dict(zip(CLAIMS, rows, strict=True))


def test_claims_about_the_paper_follow_from_the_numbers_it_prints() -> None:
    found = answers(Results(Path(), made_up_results()))
    # Table 1: 27.35 and 27.46 dB, .797 and .812, .256 and .221; 194.22 of 763.4 MB.
    assert found["four-times"]["Mip-NeRF360 (paper)"] == "-0.11 dB, SSIM -0.015, LPIPS +0.035 at 25 % of the size"
    # 22.51 and 21.66 dB, .761 and .777, .319 and .266.
    assert found["strongest"]["Tanks&Temples (paper)"] == "+0.85 dB, SSIM -0.016, LPIPS +0.053 against 3DGS-7k"
    ratios = [found["ratio"][f"{dataset} (paper)"] for dataset in ("Mip-NeRF360", "Tanks&Temples", "Deep Blending")]
    assert ratios == ["26.1 times smaller", "29.5 times smaller", "26.1 times smaller"]
    assert found["iterative"]["Deep Blending (paper)"] == "not in its tables"
    # Table 2: 28.803 and 20.057 MB, 26.981 and 27.130 dB, .801 and .798, .238 and .248.
    expected = "gamma not given: 1.4 times smaller, +0.15 dB, SSIM -0.003, LPIPS +0.010"
    assert found["compressed"]["Mip-NeRF360 (paper)"] == expected


def test_claims_about_a_capture_use_the_formulas_of_the_paper() -> None:
    # The made-up fox has the paper's numbers on Mip-NeRF360.
    found = answers(Results(Path(), made_up_results(experiments=["figure 8", "finetuning"])))
    assert found["ratio"]["fox"] == found["ratio"]["Mip-NeRF360 (paper)"]
    assert found["four-times"]["fox"] == found["four-times"]["Mip-NeRF360 (paper)"]
    table = answers(Results(Path(), made_up_results()))
    assert table["gradient"]["fox"] == table["gradient"]["Mip-NeRF360 (paper)"]
    assert table["four-times"]["fox"].partition("; against the control")[1]


def test_claims_that_nothing_was_run_for_are_not_run() -> None:
    found = answers(Results(Path(), made_up_results(experiments=["figure 7c"])))
    assert {name for name, row in found.items() if row["fox"] != "not run"} == {"four-times", "opacity"}


def test_the_median_opacity_is_in_the_bin_that_half_of_the_gaussians_reach() -> None:
    results = made_up_results(experiments=["figure 7c"])
    counts = results["jobs"][0]["metrics"]["opacity_histogram"]
    median = np.searchsorted(np.cumsum(counts), sum(counts) / 2)
    assert answers(Results(Path(), results))["opacity"]["fox"].startswith(f"median {(median + 0.5) / 64:.2f} before")


def test_rounds_are_compared_with_one_shot_at_the_same_gammas() -> None:
    def score(job, _) -> Score:
        return Score(0.9, 30.0 - (job.variant.startswith("one-shot")) * 0.5, 0.2, 10.0)

    found = answers(Results(Path(), made_up_results(experiments=["figure 7a"], score=score)))
    expected = "rounds over one shot at equal counts: gradient +0.50 dB, mean +0.50; opacity +0.50 dB, mean +0.50"
    assert found["iterative"]["fox"] == expected


def test_trimmed_and_compressed_is_compared_with_compressed_alone_at_every_gamma() -> None:
    def score(job, _) -> Score:
        trimmed = job.variant.startswith("gradient")
        return Score(0.9, 30.0 + 0.25 * trimmed, None, 3.0 / (1 + trimmed))

    found = answers(Results(Path(), made_up_results(experiments=["table 2"], score=score)))
    better = "2.0 times smaller, +0.25 dB, SSIM +0.000"
    assert found["compressed"]["fox"] == "; ".join(f"gamma {gamma}: {better}" for gamma in ("0.375", "0.45", "0.5"))


def test_a_dataset_whose_scenes_are_all_there_gets_a_column_of_means() -> None:
    def score(job, number) -> Score:
        quality = {"truck": 20.0, "train": 24.0}.get(job.capture, 0.0)
        return Score(0.9, quality, 0.2, 10.0)

    columns = our_columns(Results(Path(), made_up_results(["truck", "train"], ["table 1"], score=score)))
    assert [column.title for column in columns] == ["truck", "train", "Tanks and Temples, mean of 2 scenes"]
    assert {score.psnr for score in columns[-1].scores.values()} == {22.0}
    assert [column.title for column in our_columns(Results(Path(), made_up_results(["truck", "fox"])))] == [
        "truck",
        "fox",
    ]
    assert {scene.name for scene in DATASETS["tandt"].scenes} == {"truck", "train"}


def test_a_job_that_is_not_finished_is_missing_from_every_curve() -> None:
    status = {"fox/gradient-0.45-s1": ("failed", "out of memory")}
    column = our_columns(Results(Path(), made_up_results(status=status)))[0]
    assert len(column.curve(rows_of("gradient"))) == len(GAMMAS["gradient"]) - 1
