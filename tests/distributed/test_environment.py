"""What torchrun's variables say, and what a command does in a process that is one of several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.cli import main
from leansplat.distributed.environment import Place, check_shared, place, threads_of
from leansplat.errors import InputError
from leansplat.training import TrainingConfig, train

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def started(monkeypatch: pytest.MonkeyPatch, *values: int) -> None:
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(name, str(value))


def test_a_process_without_torchrun_or_with_one_process_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert place() is None
    started(monkeypatch, 0, 1, 0, 1)
    assert place() is None


def test_a_place_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, 5, 8, 1, 4)
    assert place() == Place(5, 8, 1, 4)
    assert threads_of(Place(0, 10_000, 0, 10_000)) == 1


def test_variables_that_cannot_be_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started(monkeypatch, 2, 2, 0, 2)
    assert main(["info", "scene.ply"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "RANK=2, WORLD_SIZE=2" in said


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, 0, 4, 0, 4)
    check_shared(8)
    with pytest.raises(InputError, match="a batch of 6 views cannot be shared by 4 processes"):
        check_shared(6)
    with pytest.raises(InputError, match="a batch of 1 views cannot be shared"):
        train(tiny_capture(), TrainingConfig(iterations=1))


def test_a_command_that_cannot_be_shared_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    formats.write(blobs(), tmp_path / "scene.ply")
    started(monkeypatch, 1, 2, 1, 2)
    before = torch.get_num_threads()
    assert main(["info", str(tmp_path / "scene.ply")]) == 0
    assert capsys.readouterr() == ("", "")
    started(monkeypatch, 0, 2, 0, 2)
    assert main(["info", str(tmp_path / "scene.ply"), "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    assert "info is done by one of the 2 processes" in shown.err
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "line", [["batch", "SCENES", "-o", "OUT", "--", "info"], ["shrink", "SCENE", "-o", "OUT", "--blocks", "2"]]
)
def test_what_works_in_processes_of_its_own_has_torchruns_others_forgotten(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenes").mkdir()
    scene = blobs()
    formats.write(scene[torch.arange(3000) % len(scene)], tmp_path / "scenes" / "scene.ply")
    out = tmp_path / ("out" if line[0] == "batch" else "out.ply")
    names = {"SCENES": tmp_path / "scenes", "SCENE": tmp_path / "scenes" / "scene.ply", "OUT": out}
    more = ["--keep", "50%", "--steps", "0"] if line[0] == "shrink" else []
    started(monkeypatch, 0, 2, 0, 2)
    words = [str(names.get(word, word)) for word in line]
    assert main([*words, *more]) == 0
    shown = capsys.readouterr()
    assert f"{line[0]} is done by one of the 2 processes" in shown.err
    for log in tmp_path.rglob("*.log"):
        assert "of the 2 processes" not in log.read_text()
    assert out.exists()


def test_processes_other_than_the_first_say_nothing_of_a_wrong_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started(monkeypatch, 1, 2, 1, 2)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--no-such-option"])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "")
