"""Kills and stops: of a scene's process, of the batch, and by Ctrl-C; nothing is lost, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.capture_folder import write_nerfstudio
from support.patience import PATIENCE
from support.random_cloud import cloud

from leansplat import captures, formats
from leansplat.batch import DIED, FINISHED, Cost, Place, Task, executor_for, outcomes
from leansplat.batch.piece import run_piece
from leansplat.captures.synthetic import synthetic_capture
from leansplat.lifeline import with_lifeline
from leansplat.runs import open_run
from leansplat.simd.threads import set_thread_count, thread_count
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification

SHORT = replace(TrainingConfig(seed=2).scaled(24), checkpoint_every=6).adjusted(Densification, every=5, after=3)
LONG = ["--iterations", "100000"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nerfstudio(synthetic_capture(views=10, size=32), tmp_path_factory.mktemp("capture") / "photos")


def children(parent: int) -> list[int]:
    """Processes whose parent is this one, and that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, its_parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(its_parent) == parent and state != "Z":
            found.append(int(place.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)
    return found


def begun(out: Path, name: str) -> bool:
    """Whether the training of a scene has made steps."""
    log = out / name / "log.jsonl"
    return log.exists() and '"progress"' in log.read_text()


def start(*words: str | Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "leansplat", "batch", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def training(capture: Path, out: Path, name: str = "run", *, resume: bool = False) -> Task:
    words = ("train", Place(str(capture), "input"), "-o", Place(str(out / name), "run"))
    return Task(name, words, str(out / f"{name}.log"), Cost(1), resume=resume)


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_to_the_bits_it_would_have_had(
    capture: Path, tmp_path: Path
) -> None:
    photos, threads = captures.load(capture), thread_count()
    settings = {"capture": str(capture), "downscale": 1, "background": None}

    def stop(done: int, total: int, values: object) -> None:
        if done >= 13:
            raise KeyboardInterrupt

    set_thread_count(1)
    try:
        train(photos, SHORT, tmp_path / "whole", settings=settings)
        with pytest.raises(KeyboardInterrupt):
            train(photos, SHORT, tmp_path / "run", settings=settings, progress=stop)
    finally:
        set_thread_count(threads)
    checkpoints = open_run(tmp_path / "run").checkpoints()
    assert checkpoints
    assert checkpoints[-1] < 24
    assert not (tmp_path / "run" / "scene.ply").exists()
    outcome = run_piece(training(capture, tmp_path, resume=True))
    assert (outcome.status, outcome.sentence) == (FINISHED, "")
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "resumed"] == checkpoints[-1:]
    assert (tmp_path / "run" / "scene.ply").read_bytes() == (tmp_path / "whole" / "scene.ply").read_bytes()


def test_a_process_that_is_killed_is_begun_again_and_the_others_do_not_notice(capture: Path, tmp_path: Path) -> None:
    formats.write(cloud(50), tmp_path / "scene.ply")
    words = ("train", Place(str(capture), "input"), "-o", Place(str(tmp_path / "long"), "run"), *LONG)
    tasks = [
        Task("long", words, str(tmp_path / "long.log"), Cost(1)),
        Task("info", ("info", Place(str(tmp_path / "scene.ply"), "input")), str(tmp_path / "info.log"), Cost(1)),
    ]
    killed: list[int] = []

    def kill_one() -> bool:
        mine = [process for process in children(os.getpid()) if process not in killed and _trains(process)]
        killed.extend(mine)
        for process in mine:
            os.kill(process, signal.SIGKILL)
        return bool(mine)

    with executor_for(workers=2, threads=1) as executor:
        killer = threading.Thread(target=lambda: [wait_for(kill_one) for _ in range(3)])
        killer.start()
        found = {task.name: outcome for task, outcome in outcomes(tasks, executor)}
        killer.join()
    assert found["info"].status == FINISHED
    assert found["long"].status == "failed"
    assert found["long"].sentence.startswith("3 times, its process was ended by SIGKILL, perhaps for want of memory; ")
    assert (tmp_path / "long.log").read_text().count("$ leansplat train") == 3


def _trains(process: int) -> bool:
    try:
        return b"train" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def test_leaving_an_executor_ends_what_it_works_on(capture: Path, tmp_path: Path) -> None:
    words = ("train", Place(str(capture), "input"), "-o", Place(str(tmp_path / "long"), "run"), *LONG)
    others = set(children(os.getpid()))
    with executor_for(workers=1, threads=1) as executor:
        executor.start(Task("long", words, str(tmp_path / "long.log"), Cost(1)))
        (process,) = wait_for(lambda: set(children(os.getpid())) - others)
    assert not is_alive(process)


def test_a_child_with_a_lifeline_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys, time
from leansplat.lifeline import with_lifeline
sleeper = '''
from leansplat.lifeline import hold_lifeline
import time
hold_lifeline()
print("up", flush=True)
time.sleep(600)
'''
child = subprocess.Popen([sys.executable, "-c", sleeper], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    env=with_lifeline(os.environ), start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_alive(child))
    assert "LEANSPLAT_LIFELINE" in with_lifeline({})


def test_a_batch_that_is_killed_leaves_nobody_behind_and_goes_on_where_it_was(capture: Path, tmp_path: Path) -> None:
    """The first of two is finished, the second in the middle: it is told to go on, the first is left alone."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "b"):
        (photos / name).symlink_to(capture, target_is_directory=True)
    path, out = tmp_path / "scenes.jsonl", tmp_path / "out"
    lines = [
        {"input": "photos/a", "options": {"iterations": 12}},
        {"input": "photos/b", "options": {"iterations": 100_000}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    asked = [path, "-o", out, "--workers", "1", "--", "train"]
    driver = start(*asked)
    wait_for(lambda: begun(out, "b"))
    (process,) = children(driver.pid)
    driver.kill()
    driver.wait()
    wait_for(lambda: not is_alive(process))
    made = (out / "a" / "scene.ply").stat().st_mtime_ns
    again = start(*asked)
    wait_for(lambda: (out / "b.log").read_text().count("$ leansplat train") == 2)
    wait_for(lambda: begun(out, "b"))
    (process,) = children(again.pid)
    again.send_signal(signal.SIGINT)
    printed, said = again.communicate(timeout=PATIENCE)
    assert (again.returncode, printed) == (1, "")
    assert "leansplat: stopped with 1 of 2 scenes finished; the same command goes on from here" in said
    assert not is_alive(process)
    assert (out / "a" / "scene.ply").stat().st_mtime_ns == made
    tries = [line for line in (out / "b.log").read_text().splitlines() if line.startswith("$ ")]
    assert ["--resume" in line for line in tries] == [False, True]
    results = json.loads((out / "results.json").read_text())
    assert {row["name"]: row["status"] for row in results["scenes"]} == {"a": "finished", "b": "waiting"}


def test_a_command_that_crashes_says_how(tmp_path: Path) -> None:
    formats.write(cloud(5), tmp_path / "scene.ply")
    task = Task("a", ("info", Place(str(tmp_path / "scene.ply"), "input")), str(tmp_path / "a.log"), Cost(1))
    killed = run_piece(task, began=lambda process: process.kill())
    assert (killed.status, killed.answer) == (DIED, None)
    assert "SIGKILL" in killed.sentence
    assert str(tmp_path / "a.log") in killed.sentence
    ended = run_piece(task)
    assert ended.status == FINISHED
    assert ended.answer is not None
    assert ended.answer["gaussians"] == 5
    assert ended.memory is not None
    assert ended.memory > 1 << 20


@pytest.mark.skipif(sys.platform == "win32", reason="there, processes are given no pipe for it")
def test_the_memory_of_a_task_is_its_own_and_not_that_of_who_began_it(tmp_path: Path) -> None:
    formats.write(cloud(5), tmp_path / "scene.ply")
    task = Task("a", ("info", Place(str(tmp_path / "scene.ply"), "input")), str(tmp_path / "a.log"), Cost(1))
    without = run_piece(task)
    large = b"1" * (1 << 29)
    beside = run_piece(task)
    assert without.memory is not None
    assert beside.memory is not None
    assert beside.memory < without.memory + len(large) // 2
