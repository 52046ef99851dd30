"""Records beside files, command lines in runs, and quality on the way: written by those who work, cheaply and truly."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from support.tiny import ring_of_cameras, tiny_capture

from leansplat import engines
from leansplat.compression import CompressionConfig, FineTuningConfig, SpzCodec, compress
from leansplat.errors import RunError
from leansplat.invocation import invocation, invoked_as
from leansplat.pruning import TrimmingConfig, trim
from leansplat.records import Work, cameras_of, read_record, record_path, works_of, write_record
from leansplat.runs import create_run, open_run
from leansplat.scoring import mean_score, view_scores
from leansplat.training import TrainingConfig, loop, train

CAPTURE = tiny_capture()
SHORT = TrainingConfig(iterations=20, strategies=(), checkpoint_every=10)


@pytest.fixture
def measured_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_STEPS_BETWEEN", 5)


def held_out(run: Path) -> list[dict]:
    return [event for event in open_run(run).events() if event["event"] == "held_out"]


def test_a_run_knows_the_command_line_that_it_was_made_for(tmp_path: Path) -> None:
    with invoked_as(["train", "my photos"]):
        run = create_run(tmp_path / "asked", "train", {}, {}, seed=0)
    assert run.config["line"] == ["leansplat", "train", "my photos"]
    assert run.config["directory"] == str(Path.cwd())
    assert create_run(tmp_path / "called", "train", {}, {}, seed=0).config["line"] is None
    assert invocation()["line"] is None


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    output = tmp_path / "small.sog"
    output.write_bytes(b"scene")
    works = [Work("stage-01", "trim", ({"event": "started", "step": 3},))]
    cameras = {f"{n}.png": camera for n, camera in enumerate(ring_of_cameras(3))}
    settings = {"scene": "a.ply"}
    write_record(
        output, "shrink", {"bytes": 5}, settings=settings, inputs={"scene": "12"}, works=works, cameras=cameras
    )
    assert record_path(output) == tmp_path / "small.sog.json"
    record = read_record(output)
    assert (record["command"], record["result"], record["settings"]) == ("shrink", {"bytes": 5}, settings)
    assert works_of(record) == tuple(works)
    found = cameras_of(record)
    assert list(found) == list(cameras)
    for name, camera in cameras.items():
        assert torch.equal(found[name].K, camera.K)
        assert torch.equal(found[name].world_to_camera, camera.world_to_camera)


def test_a_record_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_record(tmp_path / "a.sog", "shrink", {"bytes": 1}, settings={})
    write_record(tmp_path / "a.sog", "shrink", {"bytes": 2}, settings={})
    assert read_record(tmp_path / "a.sog")["result"] == {"bytes": 2}
    (tmp_path / "b.sog.json").write_text('{"mine": 1}')
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        write_record(tmp_path / "b.sog", "shrink", {"bytes": 2}, settings={})
    assert "b.sog.json is something else and stays" in caplog.text
    assert json.loads((tmp_path / "b.sog.json").read_text()) == {"mine": 1}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "leansplat-record-1", "command": 3}'])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.sog.json").write_text(content)
    with pytest.raises(RunError, match=r"a\.sog\.json"):
        read_record(tmp_path / "a.sog")


def test_quality_on_the_way_is_that_of_the_scene_then(tmp_path: Path, measured_often: None) -> None:
    scores: dict[int, float] = {}

    def look(state) -> None:
        scores[state.step] = mean_score(view_scores(state.model, CAPTURE.test, CAPTURE.background)).psnr or 0.0

    train(CAPTURE, SHORT, tmp_path / "run", after_step=look)
    events = held_out(tmp_path / "run")
    assert [event["step"] for event in events] == [4, 9, 14, 20]
    assert [event["psnr"] for event in events] == [scores[event["step"]] for event in events]
    assert {event["views"] for event in events} == {len(CAPTURE.test)}


def test_trimming_and_compressing_tell_it_too(tmp_path: Path, measured_often: None) -> None:
    train(CAPTURE, SHORT, tmp_path / "run")
    trimming = TrimmingConfig(keep=0.5, rounds=1, every=5, finetune=5)
    trimmed = trim(tmp_path / "run", CAPTURE, trimming, tmp_path / "trimmed")
    quality = mean_score(view_scores(trimmed_renderer(trimmed.gaussians), CAPTURE.test, CAPTURE.background))
    assert held_out(tmp_path / "trimmed")[-1]["psnr"] == pytest.approx(quality.psnr, abs=1e-3)
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=10))
    compress(tmp_path / "trimmed", CAPTURE, tmp_path / "a.spz", config, tmp_path / "tuned", codec=SpzCodec())
    events = held_out(tmp_path / "tuned")
    assert [event["step"] for event in events] == [4, 10]
    assert abs(events[0]["psnr"] - quality.psnr) < 5


def trimmed_renderer(gaussians):
    return engines.named("cpu").renderer(gaussians)


def test_looking_changes_no_bit_of_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(CAPTURE, SHORT, tmp_path / "plain").gaussians
    monkeypatch.setattr(loop, "_STEPS_BETWEEN", 1)
    looked = train(CAPTURE, SHORT, tmp_path / "looked").gaussians
    assert len(held_out(tmp_path / "looked")) == 10
    assert torch.equal(plain.means, looked.means)
    assert torch.equal(plain.sh0, looked.sh0)


@pytest.mark.parametrize("total", [0, 1, 499, 500, 1500, 5000, 30_000])
def test_a_long_work_is_measured_ten_times_at_most_and_never_right_after_a_reset(total: int) -> None:
    steps = sorted(loop.steps_to_measure(total))
    assert len(steps) == min(10, total // 500)
    assert all(step % 100 for step in steps[:-1])
    assert steps[-1:] == [total] * bool(steps)
