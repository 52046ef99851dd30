"""Where most of a scene stays, what is written is never worse than it would be without training."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.given_scene import SCENE, write_given

from leansplat import formats
from leansplat.shrinking import ShrinkingConfig, Target, reaching, shrink, timetable
from leansplat.shrinking.making import Maker, Reached

QUICK = ShrinkingConfig(steps=24, view_size=48)
UNTRAINED = "nothing was trained"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_given(tmp_path_factory.mktemp("given"))


def spoil(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """As if files that are made this way lost very much."""
    make = getattr(Maker, way)

    def worse(self: Maker, *args: Any) -> Reached:
        reached: Reached = make(self, *args)
        return replace(reached, loss=replace(reached.loss, drop=99.0))

    monkeypatch.setattr(Maker, way, worse)


@pytest.mark.parametrize("suffix", [".sog", ".ply"])
@pytest.mark.parametrize("target", [Target(keep=1.0), Target(keep=0.8), Target(size=21_000), Target(count=1000)])
def test_few_steps_lose_nothing_to_none(given: Path, tmp_path: Path, target: Target, suffix: str) -> None:
    if suffix == ".ply" and target.size is not None:
        target = Target(size=120_000)
    elif suffix == ".ply" and target.keep == 1:
        pytest.skip("a .ply with all Gaussians is a copy")
    trained = shrink(given, tmp_path / f"trained{suffix}", target, QUICK)
    untrained = shrink(given, tmp_path / f"untrained{suffix}", target, replace(QUICK, steps=0))
    assert trained.loss is not None
    assert untrained.loss is not None
    if target.size is not None:  # grades near the first choice are compared, and others without any steps
        assert 0.97 * target.size <= trained.bytes <= target.size
        assert trained.loss.drop <= 1.1 * untrained.loss.drop
        return
    assert trained.loss.drop <= untrained.loss.drop
    if trained.steps == 0:
        assert UNTRAINED in trained.told[-1]
        assert trained.path.read_bytes() == untrained.path.read_bytes()


def test_a_file_that_is_not_trained_after_all_is_told_of_as_that(
    given: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    run = tmp_path / "run"
    result = shrink(given, tmp_path / "small.spz", Target(keep=0.9), QUICK, run)
    assert result.steps == 0
    assert "without it; so nothing was trained" in result.told[-1]
    assert not any("fine-tuning" in message for message in caplog.messages), "of a file that nobody gets"
    assert not [path for path in run.iterdir() if path.suffix == ".spz"]


@pytest.mark.parametrize("target", [Target(keep=0.8), Target(size=21_000)])
def test_where_training_helps_its_file_is_written(
    given: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "encoded")
    result = shrink(given, tmp_path / "small.sog", target, QUICK)
    assert result.steps == QUICK.steps
    assert not any(UNTRAINED in text for text in result.told)


def test_where_little_stays_nothing_is_made_without_training(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("made without training")

    monkeypatch.setattr(Maker, "encoded", never)
    assert shrink(given, tmp_path / "small.sog", Target(keep=0.5), QUICK).steps == QUICK.steps


def test_the_time_that_choosing_a_grade_again_takes_is_left_for_it(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []
    choose = reaching.choose

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.2)
        return choose(*args, **options)

    def steps_within(seconds: float, *_: Any, **__: Any) -> int:
        left.append(seconds)
        return 12

    monkeypatch.setattr(reaching, "choose", slowly)
    monkeypatch.setattr(timetable, "steps_within", steps_within)
    shrink(given, tmp_path / "small.spz", Target(size=20_000), ShrinkingConfig(minutes=60.0, view_size=48))
    assert left
    assert max(left) < 3600 - 0.4, "once is over, and once is to come"


def test_where_no_step_fits_into_the_time_what_is_not_trained_is_the_answer(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("made a second time")

    monkeypatch.setattr(timetable, "steps_within", lambda *_, **__: 0)
    monkeypatch.setattr(Maker, "written", never)
    result = shrink(given, tmp_path / "small.sog", Target(keep=0.8), ShrinkingConfig(minutes=0.001, view_size=48))
    assert result.steps == 0
    assert "0 training steps fit into the time" in result.told
    assert not any(UNTRAINED in text for text in result.told)


def test_a_limit_that_merely_encoding_keeps_to_is_reached(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "written")
    result = shrink(given, tmp_path / "small.spz", Target(max_drop=12.0), QUICK)
    assert result.met
    assert result.loss is not None
    assert 0 < result.loss.drop <= 12
    assert len(formats.read(tmp_path / "small.spz")) == len(result.gaussians) < len(SCENE)
    assert result.bytes == formats.scene_bytes(tmp_path / "small.spz")


def test_what_photos_decided_is_told_by_photos(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker._written

    def judged_by_photos(self: Maker, stage: Any, codec: Any, steps: int, *args: Any) -> Reached:
        reached = make(self, stage, codec, steps, *args)
        photos = replace(reached.loss.own, psnr=30.5 if steps else 31.25)
        return replace(reached, loss=replace(reached.loss, photos=photos, drop=1.0 if steps else 0.25))

    monkeypatch.setattr(Maker, "_written", judged_by_photos)
    told = shrink(given, tmp_path / "small.spz", Target(keep=0.9), QUICK).told
    assert "views held back, which have 30.50 dB and 31.25 dB without it" in told[-1]
