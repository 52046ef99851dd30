"""What the command line says where it cannot go on, and with which exit code."""

from __future__ import annotations

import signal

import pytest
from support.command_line import fails, run_json

from leansplat.cli import main
from leansplat.errors import LeansplatError


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train"],
        ["train", "photos", "-o", "run", "--iterations", "many"],
        ["trim", "scene.ply", "--capture", "photos", "-o", "run", "--keep", "250%"],
        ["eval", "scene.ply", "--capture", "photos", "--lpips", "squeeze"],
        ["info", "scene.ply", "--jsn"],
    ],
)
def test_a_command_line_that_makes_no_sense_exits_with_2(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err != ""


def test_a_missing_scene_is_named_in_one_sentence(tmp_path, capsys) -> None:
    assert "missing.ply" in fails(capsys, "info", tmp_path / "missing.ply")


def test_a_missing_capture_is_named_in_one_sentence(scene, tmp_path, capsys) -> None:
    assert "nowhere" in fails(capsys, "eval", scene, "--capture", tmp_path / "nowhere")


def test_a_folder_that_is_no_capture_is_named_in_one_sentence(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(capsys, "train", tmp_path / "empty", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["convert", "render", "train", "trim"])
def test_nothing_is_overwritten_unless_asked(command, scene, capture, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    arguments = {
        "convert": ["convert", scene, out / "scene.ply"],
        "render": ["render", scene, "--capture", capture, "-o", out],
        "train": ["train", capture, "-o", out, "--iterations", "1"],
        "trim": [
            "trim", scene, "--capture", capture, "-o", out,
            "--keep", "50%", "--rounds", "1", "--every", "1", "--finetune", "0",
        ],
    }[command]  # fmt: skip
    out.mkdir()
    for name in ("scene.ply", "view_000.png"):
        (out / name).write_text("precious")
    assert "--overwrite" in fails(capsys, *arguments)
    assert {path.read_text() for path in out.iterdir()} == {"precious"}
    run_json(capsys, *arguments, "--overwrite")
    written = {"render": "view_000.png"}.get(command, "scene.ply")
    assert (out / written).read_bytes() != b"precious"


def test_a_failure_that_is_nobodys_fault_exits_with_1(scene, monkeypatch, capsys) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LeansplatError("the sky fell")

    monkeypatch.setattr("leansplat.formats.summarize_file", broken)
    assert main(["info", str(scene)]) == 1
    assert capsys.readouterr().err == "leansplat: the sky fell\n"


def test_an_interrupted_command_says_how_to_go_on_and_exits_with_1(scene, monkeypatch, capsys) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leansplat.formats.summarize_file", interrupted)
    assert main(["info", str(scene)]) == 1
    assert "--resume" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence_whatever_the_work_makes_of_it(scene, monkeypatch, capsys) -> None:
    """A module of C that is interrupted while it is imported may raise an ImportError instead."""

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def hidden(*_: object, **__: object) -> None:
        try:
            interrupted()
        except KeyboardInterrupt as error:
            raise ImportError("core failed to import") from error

    before = signal.getsignal(signal.SIGINT)
    for function in (interrupted, hidden):
        monkeypatch.setattr("leansplat.formats.summarize_file", function)
        assert main(["info", str(scene)]) == 1
        assert capsys.readouterr().err.startswith("leansplat: stopped; ")
        assert signal.getsignal(signal.SIGINT) is before


def test_too_little_memory_is_one_sentence(scene, monkeypatch, capsys) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1")):

        def fails_to_allocate(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("leansplat.formats.summarize_file", fails_to_allocate)
        assert main(["info", str(scene)]) == 1
        assert "not enough memory" in capsys.readouterr().err
