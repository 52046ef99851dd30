"""The command line where its standard streams are closed, full, or read by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE
from support.tiny import blobs

import leansplat
from leansplat import formats
from leansplat.cli import main

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(leansplat.__file__).parents[1])}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
CLOSED = "leansplat: standard output cannot be written (it is closed); send it somewhere else\n"
NO_SPACE = "leansplat: standard output cannot be written (No space left on device); send it somewhere else\n"


def shell(arguments: str, redirections: str) -> tuple[int, str, str]:
    """Exit code of leansplat in a shell, and what came out."""
    command = f"{{ {sys.executable} -m leansplat.cli {arguments}; echo code $? >&3; }} {redirections}"
    reader, writer = os.pipe()
    script = f"exec 3>&{writer}\n{command}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, pass_fds=[writer], timeout=PATIENCE
    )
    os.close(writer)
    with os.fdopen(reader) as said:
        code = int(said.read().split()[-1])
    return code, done.stdout, done.stderr


@POSIX
@pytest.mark.parametrize(
    ("arguments", "redirections", "expected"),
    [
        ("--help", "| true", (141, "", "")),
        ("train --help", "2>&1 | true", (141, "", "")),
        ("--help", ">&-", (1, "", CLOSED)),
        ("trian", "2>&-", (2, "", "")),
        ("info nowhere.ply", "<&- >&- 2>&-", (2, "", "")),
        pytest.param("--help", ">/dev/full", (1, "", NO_SPACE), marks=FULL),
        pytest.param("--help", ">/dev/full 2>/dev/full", (1, "", ""), marks=FULL),
        pytest.param("trian", "2>/dev/full", (2, "", ""), marks=FULL),
    ],
)
def test_a_stream_that_cannot_be_written_gives_no_traceback(arguments, redirections, expected) -> None:
    assert shell(arguments, redirections) == expected


class Failing:
    """A stream of which nothing can be written, like a terminal that has gone."""

    encoding = "utf-8"

    def __init__(self, error: OSError, *, when: str) -> None:
        self.error, self.when = error, when

    def write(self, text: str) -> int:
        if self.when == "write":
            raise self.error
        return len(text)

    def flush(self) -> None:
        raise self.error

    def isatty(self) -> bool:
        return False


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    formats.write(blobs(), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("when", ["write", "flush"])
def test_an_answer_that_cannot_be_written_is_a_failure(scene: Path, monkeypatch, capsys, when, options) -> None:
    for command in (["info", str(scene)], ["convert", str(scene), str(scene.with_suffix(".spz")), "--overwrite"]):
        monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "No space left on device"), when=when))
        assert main([*command, *options]) == 1
        assert capsys.readouterr().err == NO_SPACE
        monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError(32, "Broken pipe"), when=when))
        assert main([*command, *options]) == 141
        assert capsys.readouterr().err == ""
    assert len(formats.read(scene.with_suffix(".spz"))) == 60


@pytest.mark.parametrize("when", ["write", "flush"])
def test_work_goes_on_where_nobody_can_be_told_of_it(scene: Path, tmp_path: Path, monkeypatch, capsys, when) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(OSError(5, "Input/output error"), when=when))
    assert main(["render", str(scene), "--orbit", "2", "-o", str(tmp_path / "views")]) == 0
    assert "2 views" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "nowhere.ply")]) == 2
    assert isinstance(sys.stderr, Failing)


def test_a_name_that_the_terminal_cannot_show_is_escaped() -> None:
    code = """
import sys
from leansplat.streams import standard_streams
with standard_streams():
    print("ö.ply")
"""
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, rb"\xf6.ply", b"")
