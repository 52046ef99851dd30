"""Several processes make the scene that one makes, hold only their photos, and end together when one is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.capture_folder import write_nerfstudio
from support.patience import PATIENCE
from support.tiny import blobs, tiny_capture
from support.two_processes import found_by_two

from leansplat import formats
from leansplat.cli import main
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.runs import open_run
from leansplat.simd.threads import set_thread_count, thread_count

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes as Linux lists them")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nerfstudio(tiny_capture(), tmp_path_factory.mktemp("shared") / "photos")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = thread_count()
    yield
    set_thread_count(before)


def torchrun(*arguments: str | Path, processes: int = 2) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*launcher, "-m", "leansplat", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def spoken(errors: str) -> list[str]:
    """The sentences of leansplat."""
    return [line for line in errors.splitlines() if line.startswith("leansplat: ") and "compiling" not in line]


def ranks(launcher: int) -> dict[int, int]:
    """The processes that torchrun has started, by rank."""
    found = {}
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        variables = Path(f"/proc/{child}/environ").read_bytes().decode().split("\0")
        found.update({int(each.removeprefix("RANK=")): int(child) for each in variables if each.startswith("RANK=")})
    return found


def assert_near(first: Gaussians, second: Gaussians) -> None:
    assert len(first) == len(second)
    for name in TENSOR_NAMES:
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-5)


def test_two_processes_trim_to_the_scene_that_one_makes_and_one_speaks(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats.write(blobs(), tmp_path / "scene.ply")
    how = ["trim", tmp_path / "scene.ply", "--capture", folder, "--keep", "50%", "--rounds", "2", "--every", "8"]
    how += ["--finetune", "8", "--batch", "4", "--threads", "1", "--json"]
    work = torchrun(*how, "-o", tmp_path / "two")
    assert main([*map(str, how), "-o", str(tmp_path / "one")]) == 0
    out, errors = work.communicate(timeout=PATIENCE)
    assert work.returncode == 0, errors
    assert out.count("\n") == 1
    assert json.loads(out)["metrics"]["gaussians"] == 30
    assert spoken(errors) == []
    one, two = (formats.read(tmp_path / name / "scene.ply") for name in ("one", "two"))
    assert_near(one, two)
    configs = [open_run(tmp_path / name).config for name in ("one", "two")]
    assert configs[0]["inputs"] == configs[1]["inputs"]
    capsys.readouterr()


def test_two_processes_compress_to_the_scene_that_one_makes(folder: Path, tmp_path: Path) -> None:
    scene = blobs()
    formats.write(replace(scene, sh0=scene.sh0 + 0.5), tmp_path / "scene.ply")
    how = ["compress", tmp_path / "scene.ply", "--capture", folder, "--steps", "80", "--batch", "4", "--threads", "1"]
    how += ["--no-lpips", "--json"]
    work = torchrun(*how, "-o", tmp_path / "two.npz")
    assert main([*map(str, how), "-o", str(tmp_path / "one.npz")]) == 0
    out, errors = work.communicate(timeout=PATIENCE)
    assert work.returncode == 0, errors
    assert spoken(errors) == []
    assert json.loads(out)["written"] == "fine-tuned"
    one, two = (formats.read(tmp_path / f"{name}.npz") for name in ("one", "two"))
    assert len(one) == len(two)
    assert float((one.means - two.means).abs().max()) < 0.02
    assert float((one.sh0 - two.sh0).abs().mean()) < 0.02


def test_a_training_to_a_file_needs_no_photo_that_another_process_holds(folder: Path, tmp_path: Path) -> None:
    work = torchrun("train", folder, "-o", tmp_path / "scene.sog", "--count", "80", "--iterations", "100", "--json")
    out, errors = work.communicate(timeout=PATIENCE)
    assert work.returncode == 0, errors
    assert json.loads(out)["gaussians"] == len(formats.read(tmp_path / "scene.sog")) == 80
    assert spoken(errors) == ["leansplat: each step takes 2 views, one for each process; --batch takes any multiple"]


def test_a_process_that_is_lost_while_nothing_is_kept_promises_no_resuming(folder: Path, tmp_path: Path) -> None:
    formats.write(blobs(), tmp_path / "scene.ply")
    how = ["compress", tmp_path / "scene.ply", "--capture", folder, "--steps", "30000", "--batch", "2"]
    work = torchrun(*how, "-o", tmp_path / "scene.npz")
    assert work.stderr is not None
    said, read = "", b"-"
    while read and "training through" not in said:  # however long a busy machine takes to begin
        read = os.read(work.stderr.fileno(), 4096)
        said += read.decode(errors="replace")
    assert "training through" in said
    os.kill(ranks(work.pid)[1], signal.SIGKILL)
    _, errors = work.communicate(timeout=PATIENCE)
    assert work.returncode != 0
    (sentence,) = spoken(errors)
    assert "start again, with --run-folder RUN to have something to go on from" in sentence
    assert not (tmp_path / "scene.npz").exists()


def test_a_lost_process_ends_all_with_one_sentence_and_one_process_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    work = torchrun("train", folder, "-o", run, "--count", "80", "--iterations", "3000", "--threads", "1")
    while work.poll() is None and not (run.exists() and "progress" in _log_of(run)):
        time.sleep(0.05)  # however long a busy machine takes to begin
    os.kill(ranks(work.pid)[1], signal.SIGKILL)
    _, errors = work.communicate(timeout=PATIENCE)
    assert work.returncode != 0
    sentences = spoken(errors)
    assert sentences[0] == "leansplat: each step takes 2 views, one for each process; --batch takes any multiple"
    assert len(sentences) == 2
    (step,) = open_run(run).checkpoints()
    assert f"there is a checkpoint of step {step} in {run}, and --resume goes on from there" in sentences[1]
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["training"]["batch"] == config["processes"] == 2
    assert main(["train", str(folder), "-o", str(run), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["gaussians"] == 80
    assert [event["event"] for event in open_run(run).events()][-1] == "finished"


def test_each_process_holds_its_photos_and_all_find_the_same(folder: Path) -> None:
    broken = write_nerfstudio(tiny_capture(), folder / "broken")
    second = sorted((broken / "images").iterdir())[3]  # of the training photos 001, 002, 003, ... one of process 1
    second.write_bytes(b"no photo")
    found: dict[str, Any] = found_by_two(folder)
    assert "process 1: " in found["broken"] or str(second) in found["broken"]
    assert found["here"] == [True, False] * 4
    assert found["held out here"] == [True, True]
    for name in ("same capture", "same small", "statistics", "weights", "effects", "losses", "alike"):
        assert found[name] is True, name
    assert found["sensitivity"] == [True] * 9
    assert "process 1 holds other parameters than process 0" in found["apart"]


def _log_of(run: Path) -> str:
    return (run / "log.jsonl").read_text() if (run / "log.jsonl").exists() else ""
