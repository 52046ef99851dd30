"""Ladders: their targets, their table and plot, and where the knee is."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from leansplat.errors import InputError
from leansplat.report.svg import standalone
from leansplat.scoring import Quality
from leansplat.shrinking.judging import Loss
from leansplat.shrinking.ladder import Level, knee, parse_ladder, plot, rows
from leansplat.shrinking.targets import Target


def level(megabytes: float, psnr: float, *, photos: bool = True) -> Level:
    found = Quality(psnr, 0.9, 0.1)
    loss = Loss(
        Quality(40.0, 0.99, None) if photos else found, 30.0, 31.0, 28.0, 27.0, 0.9, found if photos else None, 0.1, 0.0
    )
    size = int(megabytes * 1e6)
    return Level(Target(size=size), size // 10, size, loss, Path(f"web/{megabytes:g}.sog"))


CURVE = [level(40, 30.0), level(20, 29.9), level(10, 29.6), level(5, 28.0), level(2.5, 25.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40MB,10MB,3MB", [Target(size=40_000_000), Target(size=10_000_000), Target(size=3_000_000)]),
        ("3MB, 10 MB,1MiB", [Target(size=10_000_000), Target(size=3_000_000), Target(size=1 << 20)]),
        ("100000,400000", [Target(count=400_000), Target(count=100_000)]),
        ("10%,50 %,25%", [Target(keep=0.5), Target(keep=0.25), Target(keep=0.1)]),
        ("0.1,0.5", [Target(keep=0.5), Target(keep=0.1)]),
    ],
)
def test_a_ladder_is_sizes_counts_or_shares_the_largest_first(text: str, expected: list[Target]) -> None:
    assert list(parse_ladder(text)) == expected


REFUSED = {
    "": "size '' is not a number with a unit",
    "10MB": "has one level",
    "10MB,3": "mixes sizes, counts and shares",
    "10MB,50%": "mixes sizes, counts and shares",
    "10MB,10000kB": "has a level twice, 10 MB",
    "400,000,100,000": "write numbers without commas",
    "50%,0%": "has a share of 0%",
    "150%,50%": "has a share of 150%",
    "1.5,0.5": "has a share of 1.5",
    "10MB,": "size '' is not a number with a unit",
    "10MB,small": "size 'small' is not a number with a unit",
    "-5,3": "size '-5'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_ladder_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_ladder(text)
    assert REFUSED[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_knee_is_the_point_farthest_above_the_chord() -> None:
    points = [(float(2**x), y) for x, y in ((0, 0.0), (1, 6.0), (2, 8.0), (3, 9.0), (4, 10.0))]
    assert knee(points) == 1
    assert knee(points[::-1]) == 3
    scaled = [(1e6 * x, 20 + 0.1 * y) for x, y in points]
    assert knee(scaled) == 1


def test_without_a_bend_there_is_no_knee() -> None:
    straight = [(1.0, 1.0), (2.0, 2.0), (4.0, 3.0)]
    assert knee(straight) is None
    assert knee([(1.0, 1.0), (2.0, 1.2), (4.0, 3.0)]) is None
    assert knee([(1.0, 1.0), (4.0, 3.0)]) is None
    assert knee([(1.0, 3.0), (2.0, 5.0), (4.0, 1.0)]) is None


def test_the_table_has_a_row_for_each_level_and_marks_the_knee() -> None:
    head, found = rows(CURVE)
    assert head[3] == "PSNR on photos"
    assert [row[2] for row in found] == ["40.00", "20.00", "10.00", "5.00", "2.50"]
    assert [row[0] for row in found if "knee" in row[0]] == ["10 MB (knee)"]
    assert found[2] == ["10 MB (knee)", "1,000,000", "10.00", "29.60", "0.9000", "0.1000", "10.sog"]
    assert all(len(row) == len(head) for row in found)
    assert rows([level(10, 29.6, photos=False)])[0][3] == "PSNR to the original"


def test_levels_that_were_not_measured_or_lost_nothing_are_in_the_table_and_not_in_the_plot() -> None:
    pytest.importorskip("matplotlib")
    unmeasured = Level(Target(keep=0.5), 5, 100, None, Path("a.sog"))
    _, found = rows([level(50, math.inf), *CURVE, unmeasured])
    assert len(found) == 7
    assert found[-1][3:6] == ["-", "-", "-"]
    assert found[0][3] == "inf"
    assert plot([level(50, math.inf), *CURVE, unmeasured]) == plot(CURVE)
    assert "not run" in plot([unmeasured])


def test_the_plot_marks_the_knee_once() -> None:
    pytest.importorskip("matplotlib")
    drawn = standalone(plot(CURVE))
    assert len(re.findall(r">knee<", drawn)) == 1
    assert "PSNR on photos held out, dB" in drawn
    assert drawn == standalone(plot(CURVE))
    assert ">knee<" not in plot(CURVE[:2])


def test_a_level_tells_all_of_itself_in_json() -> None:
    told = json.loads(json.dumps(CURVE[2].to_json()))
    assert told["target"] == "10 MB"
    assert (told["gaussians"], told["bytes"], told["file"]) == (1_000_000, 10_000_000, "web/10.sog")
    assert told["loss"]["photos"]["psnr"] == 29.6
