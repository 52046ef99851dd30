"""Going down in Gaussians: the pace follows how much of the scene stays, and few steps begin with merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.arrangements import place, ring

from leansplat.pruning.schedule import EASED
from leansplat.shrinking import descent
from leansplat.shrinking.descent import Descent
from leansplat.shrinking.regions import Freedom
from leansplat.shrinking.teacher import teacher_capture

SCENE = place(600)
TEACHER = teacher_capture(SCENE, {f"{number}": camera for number, camera in enumerate(ring(9, 6.0, 0.0))})


def down(
    folder: Path, share: float, passes: float, monkeypatch: pytest.MonkeyPatch, merges: bool = True, **how: Any
) -> tuple[int, Any]:
    """Gaussians that the trimming began with, and its settings."""
    began: list[tuple[int, Any]] = []
    trim = descent.trim

    def watched(scene: Any, capture: Any, config: Any, run: Path, **options: Any) -> Any:
        began.append((len(scene), config))
        return trim(scene, capture, config, run, **options)

    monkeypatch.setattr(descent, "trim", watched)
    way = Descent(SCENE, TEACHER, Freedom.of(SCENE), folder, "gaussianpop", 0, merges=merges)
    count = round(share * len(SCENE))
    stage = way.down(way.top, count, round(passes * len(TEACHER.train)), **how)
    assert len(stage.gaussians) == len(stage.rows) == count
    assert len(set(stage.rows.tolist())) == count
    ((first, config),) = began
    return first, config


def test_rates_begin_the_lower_the_more_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [down(tmp_path / str(share), share, 5, monkeypatch)[1] for share in (0.9, 0.5, 0.05)]
    rates, positions = ([getattr(config, name) for config in configs] for name in ("rate", "position_rate"))
    assert rates[0] < 0.5 < rates[1] < rates[2] == EASED.rate
    assert positions[0] < positions[1] < positions[2] == EASED.position_rate


@pytest.mark.parametrize(
    ("passes", "how", "merged"),
    [(2, {}, 1.0), (5, {}, 1.5), (2, {"one_of_many": True}, 2), (5, {"one_of_many": True}, 2)],
)
def test_few_steps_begin_with_merging_and_more_with_less_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: float, how: dict[str, Any], merged: float
) -> None:
    """Trials on the way to a target of quality, and by cameras of photos, are pruned alone.

    What no made-up view shows is thinned out before that.
    """
    first, _ = down(tmp_path, 0.5, passes, monkeypatch, **how)
    assert first == pytest.approx(merged * 0.5 * len(SCENE), rel=0.03)


def test_nothing_is_merged_where_most_of_the_scene_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert down(tmp_path, 0.8, 5, monkeypatch)[0] == pytest.approx(len(SCENE), rel=0.03)
