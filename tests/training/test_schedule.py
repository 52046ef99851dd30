"""What rates and degrees hold at which step."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from leansplat.training import schedule
from leansplat.training.config import TrainingConfig

CONFIG = TrainingConfig()


def test_position_rate_falls_by_the_same_factor_in_equal_spans() -> None:
    rates = [schedule.position_rate(CONFIG, step, extent=2.0) for step in (0, 7500, 15_000, 22_500, 30_000)]
    assert rates[0] == pytest.approx(2 * 1.6e-4)
    assert rates[-1] == pytest.approx(2 * 1.6e-6)
    for before, after in pairwise(rates):
        assert after / before == pytest.approx(100 ** (-1 / 4))


def test_position_rate_stays_at_its_final_value_after_the_schedule() -> None:
    assert schedule.position_rate(CONFIG, 45_000, extent=1.0) == pytest.approx(1.6e-6)


def test_sh_degree_rises_by_one_every_thousand_steps_up_to_three() -> None:
    degrees = [schedule.sh_degree(CONFIG, step) for step in (1, 999, 1000, 1999, 2000, 3000, 30_000)]
    assert degrees == [0, 0, 1, 1, 2, 3, 3]


def test_sh_degree_stops_at_the_degree_asked_for() -> None:
    assert schedule.sh_degree(replace(CONFIG, sh_degree=1), 30_000) == 1


def test_position_rate_matches_the_formula_of_the_published_code() -> None:
    # exp(log(a) (1 - t) + log(b) t), t = step / 30000.
    t = 4321 / 30_000
    expected = math.exp(math.log(1.6e-4) * (1 - t) + math.log(1.6e-6) * t)
    assert schedule.position_rate(CONFIG, 4321, 1.0) == pytest.approx(expected, rel=1e-12)
