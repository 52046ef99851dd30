"""The sweep on a capture that trains in a second: what it leaves, what it never does twice, what stops it and what
does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.file_digests import digests
from support.scene_comparison import assert_same_bits
from support.tiny import tiny_capture

import leansplat
from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.errors import CaptureError, InputError
from leansplat.evaluation import evaluate
from leansplat.metrics import lpips_weights
from leansplat.paper.jobs import Job, Plan, read_plan, write_plan
from leansplat.paper.sources import Source
from leansplat.paper.sweep import Standing, run_sweep
from leansplat.runs import open_run
from leansplat.simd.threads import set_thread_count, thread_count

TINY = Source("tiny", "synthetic")
STEPS = 60


def train(variant: str = "base", **settings: Any) -> Job:
    return Job("tiny", variant, "train", {"schedule": STEPS, "iterations": STEPS, **settings}, None, 1)


def trim(variant: str, base: str = "tiny/base-s1", count_of: str | None = None, **settings: Any) -> Job:
    lengths = {"rounds": 2, "every": 2, "finetune": 6}
    return Job("tiny", variant, "trim", {**settings, **lengths}, base, 1, count_of)


def compress(variant: str, suffix: str, steps: int, base: str = "tiny/base-s1", **settings: Any) -> Job:
    return Job("tiny", variant, "compress", {"suffix": suffix, "steps": steps, **settings}, base, 1)


def plan(*jobs: Job) -> Plan:
    return Plan(0.002, (TINY,), jobs)


def load(_: Source) -> Capture:
    return tiny_capture()


def sweep(folder: Path, *jobs: Job) -> dict[str, dict[str, Any]]:
    """Run the jobs; returns the entries of all jobs in the folder's results."""
    results = run_sweep(folder, plan(*jobs) if jobs else None, load=load)
    assert results == json.loads((folder / "results.json").read_text())
    return {job["variant"]: job for job in results["jobs"]}


def statuses(jobs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {variant: job["status"] for variant, job in jobs.items()}


JOBS = (
    train(),
    trim("rounds", gamma=0.6),
    trim("once", count_of="tiny/rounds-s1"),
    trim("control", control=True),
    compress("tuned", ".spz", 20),
    compress("encoded", ".sog", 0, "tiny/rounds-s1"),
)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Without LPIPS, and on one thread, which is fastest for pictures this small."""
    threads = thread_count()
    set_thread_count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpips_weights, "folders", list)
        yield
    set_thread_count(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    assert set(statuses(sweep(folder, *JOBS)).values()) == {"finished"}
    return folder


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {job["variant"]: job for job in json.loads((folder / "results.json").read_text())["jobs"]}


def test_results_hold_what_the_run_folders_hold(finished: Path) -> None:
    for job in entries(finished).values():
        run = open_run(finished / "jobs" / job["name"])
        assert job["metrics"] == json.loads(run.metrics_path.read_text())
        assert job["metrics"]["gaussians"] == sum(job["metrics"]["opacity_histogram"])
        assert job["metrics"]["lpips"] is None
        assert "download lpips" in job["metrics"]["lpips_reason"]
        assert job["metrics"]["fps"] > 0
        assert (job["seconds"] > 0) == (job["variant"] != "encoded")
        assert job["threads"] == run.config["threads"]


def test_what_is_measured_is_the_file_as_it_is_read(finished: Path) -> None:
    files = {"base": "scene.ply", "rounds": "scene.ply", "tuned": "scene.spz", "encoded": "scene.sog"}
    for variant, name in files.items():
        file = finished / f"jobs/tiny/{variant}-s1" / name
        metrics = entries(finished)[variant]["metrics"]
        expected = evaluate(formats.read(file), tiny_capture(), lpips=None, fps=False)
        assert (metrics["psnr"], metrics["ssim"]) == (expected.psnr, expected.ssim)
        assert metrics["bytes"] == file.stat().st_size


def test_a_compression_without_steps_writes_what_conversion_does(finished: Path, tmp_path: Path) -> None:
    formats.write(formats.read(finished / "jobs/tiny/rounds-s1"), tmp_path / "scene.sog")
    converted, encoded = (
        formats.read(folder / "scene.sog") for folder in (tmp_path, finished / "jobs/tiny/encoded-s1")
    )
    assert_same_bits(encoded, converted)


def test_fine_tuning_a_file_says_how_its_training_went(finished: Path) -> None:
    run = open_run(finished / "jobs/tiny/tuned-s1")
    events = {event["event"]: event for event in run.events()}
    assert events["progress"]["step"] == 20
    assert entries(finished)["tuned"]["seconds"] == events["progress"]["seconds"]


def test_rounds_say_what_was_asked_and_removed(finished: Path) -> None:
    jobs = entries(finished)
    rounds = jobs["rounds"]["rounds"]
    assert [entry["asked"] for entry in rounds] == [{"gamma": 0.6}] * 2
    assert rounds[0]["before"] == jobs["base"]["metrics"]["gaussians"]
    assert rounds[0]["before"] - sum(entry["removed"] for entry in rounds) == jobs["rounds"]["metrics"]["gaussians"]
    assert jobs["control"]["rounds"] == []


def test_one_shot_prunes_to_exactly_the_count_that_rounds_reached(finished: Path) -> None:
    jobs = entries(finished)
    assert jobs["once"]["metrics"]["gaussians"] == jobs["rounds"]["metrics"]["gaussians"]
    assert jobs["rounds"]["metrics"]["gaussians"] < jobs["base"]["metrics"]["gaussians"]


def test_only_checkpoints_that_others_start_from_are_kept(finished: Path) -> None:
    kept = {path.parts[-3]: path.name for path in (finished / "jobs").rglob("*.safetensors")}
    assert kept == {"base-s1": f"step_{STEPS}.safetensors"}


def test_every_job_leaves_a_picture_of_the_held_out_view_its_photo_is_of(finished: Path) -> None:
    pictured = {job["metrics"]["pictured"] for job in entries(finished).values()}
    assert pictured == {tiny_capture().test[1].name}
    assert (finished / "photos/tiny.png").is_file()
    assert len(list((finished / "jobs").rglob("view.png"))) == len(JOBS)


def test_a_job_leaves_only_what_overwriting_its_run_removes_and_the_file_it_was_for(finished: Path) -> None:
    for variant in entries(finished):
        run = open_run(finished / f"jobs/tiny/{variant}-s1")
        left = {path for path in run.folder.rglob("*") if path.is_file()} - set(run.files)
        assert {path.name for path in left} - {"config.json", ".leansplat.lock"} <= {"scene.spz", "scene.sog"}


def test_a_finished_job_is_never_run_again(finished: Path) -> None:
    before = digests(finished)
    started: list[Standing] = []

    def begin(standing: Standing) -> None:
        started.append(standing)

    run_sweep(finished, plan(*JOBS), begin=begin, load=load)
    run_sweep(finished, begin=begin, load=load)
    assert started == []
    assert digests(finished) == before


def test_more_jobs_extend_the_plan_and_share_the_base(tmp_path: Path) -> None:
    sweep(tmp_path, train())
    before = digests(tmp_path / "jobs")
    jobs = sweep(tmp_path, train(), trim("half", keep=0.5))
    assert statuses(jobs) == {"base": "finished", "half": "finished"}
    assert digests(tmp_path / "jobs").items() >= before.items()
    assert jobs["half"]["metrics"]["gaussians"] == round(jobs["base"]["metrics"]["gaussians"] / 2)


def test_asking_for_some_jobs_leaves_the_others_of_the_folder_waiting(tmp_path: Path) -> None:
    def interrupted(standing: Standing) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(tmp_path, plan(train(), train("other")), begin=interrupted, load=load)
    assert statuses(sweep(tmp_path, train())) == {"base": "finished", "other": "waiting"}
    assert statuses(sweep(tmp_path)) == {"base": "finished", "other": "finished"}


def test_what_another_process_adds_to_the_plan_stays_in_the_results(tmp_path: Path) -> None:
    def add_another(standing: Standing) -> None:
        before = read_plan(tmp_path)
        assert before is not None
        write_plan(before.extended(plan(train("other")), tmp_path), tmp_path)

    results = run_sweep(tmp_path, plan(train()), begin=add_another, load=load)
    assert [(job["variant"], job["status"]) for job in results["jobs"]] == [("base", "finished"), ("other", "waiting")]


def test_a_failing_job_stops_only_those_that_need_it_and_is_tried_again(tmp_path: Path) -> None:
    broken = trim("broken", gamma=2.0)
    jobs = sweep(tmp_path, train(), broken, trim("after", "tiny/broken-s1", keep=0.5), trim("half", keep=0.5))
    assert statuses(jobs) == {"base": "finished", "broken": "failed", "after": "skipped", "half": "finished"}
    assert "gamma is 2.0" in jobs["broken"]["reason"]
    assert "tiny/broken-s1" in jobs["after"]["reason"]
    failure = (tmp_path / "jobs/tiny/broken-s1/failure.txt").read_text()
    assert failure.splitlines()[0] == jobs["broken"]["reason"]
    assert "Traceback" in failure
    mended = sweep(tmp_path, replace(broken, settings={**broken.settings, "gamma": 0.5}))
    assert statuses(mended)["broken"] == "finished"
    assert not (tmp_path / "jobs/tiny/broken-s1/failure.txt").exists()


def test_an_unexpected_error_is_recorded_like_any_other(tmp_path: Path) -> None:
    def begin(standing: Standing) -> Any:
        def progress(*_: object) -> None:
            if standing.job.variant == "odd":
                raise ZeroDivisionError("what is this")

        return progress

    results = run_sweep(tmp_path, plan(train("odd"), train()), begin=begin, load=load)
    assert [job["status"] for job in results["jobs"]] == ["failed", "finished"]
    assert results["jobs"][0]["reason"] == "ZeroDivisionError: what is this"


def test_a_capture_that_cannot_be_loaded_fails_its_jobs_and_no_others(tmp_path: Path) -> None:
    def load_some(source: Source) -> Capture:
        if source.name == "gone":
            raise CaptureError("photos/gone does not exist")
        return tiny_capture()

    gone = replace(train(), capture="gone")
    both = Plan(1.0, (Source("gone", "synthetic"), TINY), (gone, train()))
    results = run_sweep(tmp_path, both, load=load_some)
    assert [(job["status"], job["reason"]) for job in results["jobs"]] == [
        ("failed", "photos/gone does not exist"),
        ("finished", None),
    ]


def test_what_a_capture_has_to_say_is_logged(tmp_path: Path, caplog) -> None:
    run_sweep(tmp_path, plan(train()), load=lambda _: replace(tiny_capture(), warnings=("2 photos are skipped.",)))
    assert "2 photos are skipped." in caplog.text


def test_a_capture_without_held_out_photos_is_refused_before_training(tmp_path: Path) -> None:
    results = run_sweep(tmp_path, plan(train()), load=lambda _: replace(tiny_capture(), test=()))
    assert "holds no photo out" in results["jobs"][0]["reason"]


def test_a_folder_made_with_other_settings_is_not_taken_for_finished(tmp_path: Path) -> None:
    sweep(tmp_path, train())
    jobs = sweep(tmp_path, train(sh_degree=1))
    assert jobs["base"]["status"] == "failed"
    assert "other settings" in jobs["base"]["reason"]


def test_a_sweep_without_a_plan_asks_for_captures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--captures"):
        run_sweep(tmp_path)


def test_standing_counts_jobs_and_knows_the_time_once_one_is_finished(tmp_path: Path) -> None:
    seen: list[Standing] = []

    def begin(standing: Standing) -> None:
        seen.append(standing)

    run_sweep(tmp_path, plan(train(), trim("half", keep=0.5)), begin=begin, load=load)
    assert [(standing.job.variant, standing.number, standing.total, standing.left) for standing in seen] == [
        ("base", 1, 2, 1),
        ("half", 2, 2, 0),
    ]
    assert seen[0].seconds_left is None
    assert seen[1].seconds_left is not None
    assert seen[1].seconds_left > 0


@pytest.mark.long
def test_a_killed_sweep_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from test_sweep import compress, load, plan, train, trim
from leansplat.paper.sweep import run_sweep
from leansplat.metrics import lpips_weights

lpips_weights.folders = list
folder, killed, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def begin(standing):
    def progress(step, *_):
        if (standing.job.variant, step) == (killed, kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
    return progress

half = trim("half", keep=0.5, checkpoint_every=4)
small = compress("small", ".sog", 20, "tiny/half-s1", checkpoint_every=4)
run_sweep(folder, plan(train(checkpoint_every=20), half, small), begin=begin, load=load)
"""
    paths = [*map(str, Path(__file__).parents[:2]), str(Path(leansplat.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": "1"}

    def run(folder: str, variant: str = "", kill_at: int = 0) -> int:
        command = [sys.executable, "-c", script, str(tmp_path / folder), variant, str(kill_at)]
        return subprocess.run(command, env=environment, check=False).returncode

    assert run("whole") == 0
    assert run("killed", "base", 50) == -signal.SIGKILL
    assert not (tmp_path / "killed/jobs/tiny/base-s1/metrics.json").exists()
    assert run("killed", "half", 10) == -signal.SIGKILL
    assert run("killed", "small", 10) == -signal.SIGKILL
    assert run("killed") == 0
    base, half, small = (tmp_path / "killed/jobs/tiny" / name for name in ("base-s1", "half-s1", "small-s1"))
    assert [event["step"] for event in open_run(base).events() if event["event"] == "resumed"] == [40]
    assert "resumed" in [event["event"] for event in open_run(half).events()]
    assert [event["step"] for event in open_run(small).events() if event["event"] == "resumed"] == [8]
    for file in (base / "scene.ply", half / "scene.ply", small / "scene.sog"):
        whole = tmp_path / "whole" / file.relative_to(tmp_path / "killed")
        assert file.read_bytes() == whole.read_bytes()
