"""One piece of work at a time in a folder: for processes, for threads, after a kill, in every order of commands."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.patience import PATIENCE
from support.tiny import blobs, tiny_capture

import leansplat
from leansplat import formats, locks
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.demo import DemoConfig, demo
from leansplat.errors import RunError
from leansplat.locks import alone_in
from leansplat.metrics import lpips_weights
from leansplat.paper.jobs import Job, Plan
from leansplat.paper.sources import Source
from leansplat.paper.sweep import run_sweep
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import create_run
from leansplat.training import TrainingConfig, train

CAPTURE = tiny_capture()
ONE_STEP = TrainingConfig(seed=1).scaled(1)


@contextmanager
def another_process_in(folder: Path) -> Iterator[subprocess.Popen[str]]:
    code = (
        f"from leansplat.locks import alone_in\nwith alone_in({str(folder)!r}):\n    print('in', flush=True); input()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(leansplat.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


@contextmanager
def another_thread_in(folder: Path) -> Iterator[None]:
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with alone_in(folder):
            inside.set()
            leave.wait(600)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(PATIENCE)
    yield
    leave.set()
    thread.join()


def test_a_second_process_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    with another_process_in(tmp_path / "run") as other:
        for _ in range(2):
            with pytest.raises(RunError, match=f"run is in use: process {other.pid} on .* is at work there"):
                alone_in(tmp_path / "run").__enter__()
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait(PATIENCE)
        with alone_in(tmp_path / "run"):
            pass


def test_a_process_that_was_killed_keeps_nobody_out(tmp_path: Path) -> None:
    with another_process_in(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(PATIENCE)
        assert (tmp_path / locks.NAME).exists()
        with alone_in(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_thread_is_refused_and_the_first_may_enter_again(tmp_path: Path) -> None:
    with another_thread_in(tmp_path), pytest.raises(RunError, match="in use: another thread of this program"):
        alone_in(tmp_path).__enter__()
    with alone_in(tmp_path), alone_in(tmp_path / "." / ".." / tmp_path.name):
        (tmp_path / "kept").touch()
    with another_thread_in(tmp_path):
        pass


def test_of_many_that_come_at_once_one_is_let_in(tmp_path: Path) -> None:
    """Each leaves at once and removes the file that the others are about to lock."""
    inside, most, entered, refused = 0, 0, 0, 0
    counting = threading.Lock()

    def come_and_go() -> None:
        nonlocal inside, most, entered, refused
        for _ in range(40):
            try:
                # Without what the process knows of its own threads, as processes do.
                descriptor, _ = locks._acquire(tmp_path, tmp_path)
            except RunError:
                with counting:
                    refused += 1
                continue
            with counting:
                inside, entered = inside + 1, entered + 1
                most = max(most, inside)
            time.sleep(0.0005)
            with counting:
                inside -= 1
            locks._release(tmp_path / locks.NAME, descriptor)

    threads = [threading.Thread(target=come_and_go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered > 1
    assert refused > 1
    assert list(tmp_path.iterdir()) == []


def test_who_may_wait_is_let_in_when_the_other_leaves(tmp_path: Path) -> None:
    with another_process_in(tmp_path) as other:
        threading.Timer(0.3, other.kill).start()
        with alone_in(tmp_path, wait=60):
            pass


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_where_files_cannot_be_locked_work_goes_on_with_a_warning(tmp_path: Path, monkeypatch, caplog) -> None:
    def no_locks(_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "_lock", no_locks)
    with caplog.at_level(logging.WARNING, logger="leansplat"), alone_in(tmp_path):
        pass
    assert "cannot be locked" in caplog.text


def test_a_place_that_is_no_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file cannot be used as a run folder"):
        alone_in(tmp_path / "file").__enter__()


# Whoever works on runs is refused


def sweep(folder: Path) -> None:
    job = Job("tiny", "base", "train", {"schedule": 1, "iterations": 1}, None, 1)
    run_sweep(folder.parent, Plan(0.001, (Source("tiny", "synthetic"),), (job,)), load=lambda _: CAPTURE)


COMPRESSION = CompressionConfig(fine_tuning=FineTuningConfig(steps=1))
TRIMMING = TrimmingConfig(keep=0.5, rounds=1, every=1, finetune=0)
WORK: dict[str, Callable[[Path], object]] = {
    "train": lambda folder: train(CAPTURE, ONE_STEP, folder, overwrite=True),
    "train --resume": lambda folder: train(CAPTURE, ONE_STEP, folder, resume=True),
    "trim": lambda folder: trim(blobs(), CAPTURE, TRIMMING, folder, overwrite=True),
    "trim --resume": lambda folder: trim(blobs(), CAPTURE, TRIMMING, folder, resume=True),
    "compress": lambda folder: compress(blobs(), CAPTURE, folder.parent / "out.spz", COMPRESSION, folder),
    "demo": lambda folder: demo(folder, DemoConfig(views=2, size=8), overwrite=True),
    "a run alone": lambda folder: create_run(folder, "train", {}, {}, seed=0, overwrite=True),
    "a job of a sweep": lambda folder: sweep(folder.parent.parent),
}


@pytest.mark.parametrize("kind", WORK)
def test_nothing_is_done_where_somebody_else_is_at_work(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "jobs" / "tiny" / "base-s1"
    folder.mkdir(parents=True)
    files = {folder / "scene.ply": b"theirs", folder / "config.json": b"{}"}
    for path, content in files.items():
        path.write_bytes(content)
    with another_thread_in(folder):
        with pytest.raises(RunError, match="in use"):
            WORK[kind](folder)
        assert {path: path.read_bytes() for path in folder.iterdir() if path.name != locks.NAME} == files


def test_two_sweeps_may_share_a_folder_but_no_capture(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lpips_weights, "folders", list)
    with another_thread_in(tmp_path / "jobs" / "other"):
        sweep(tmp_path / "jobs")
    with another_thread_in(tmp_path / "jobs" / "tiny"), pytest.raises(RunError, match="in use"):
        sweep(tmp_path / "jobs")


def test_what_others_are_at_work_on_may_be_read(tmp_path: Path) -> None:
    train(CAPTURE, ONE_STEP, tmp_path / "run")
    with another_thread_in(tmp_path / "run"):
        assert len(formats.read(tmp_path / "run")) == 30
        trim(tmp_path / "run", CAPTURE, TRIMMING, tmp_path / "half")
