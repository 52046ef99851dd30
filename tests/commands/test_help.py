"""`--help` of every command: defaults as one would type them, and words for every option."""

from __future__ import annotations

import re

import pytest

import leansplat
from leansplat.cli import main
from leansplat.commands import COMMANDS

EVERY = [[name] for name in COMMANDS if name != "paper"] + [["paper", "run"], ["paper", "report"]]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_defaults_are_shown_as_one_would_type_them(command: list[str], capsys) -> None:
    defaults = re.findall(r"\((default[^)]*)\)", help_of(capsys, *command))
    for default in defaults:
        kind, _, value = default.partition(": ")
        assert kind in ("default", "default for lpips")
        assert value
        assert not re.search(r"""[\[\]{}"]|(^|\s)'|'$|\bNone\b|\bTrue\b|\bFalse\b|Path\(""", value), default
    assert defaults or command in (["info"], ["block"], ["paper", "report"])


def test_the_criterion_of_trimming_is_explained_and_has_a_default(capsys) -> None:
    shown = help_of(capsys, "trim")
    assert re.search(r"--criterion CRITERION\s.*\bgradient: .*\(default: gaussianpop,", shown, re.DOTALL)


@pytest.mark.parametrize("command", [[], ["paper"], *EVERY], ids=" ".join)
def test_no_help_speaks_python(command: list[str], capsys) -> None:
    shown = help_of(capsys, *command)
    assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|\[\'|PosixPath", shown)


def test_a_criterion_that_does_not_exist_is_refused_with_those_that_do(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["trim", "a.ply", "--capture", "b", "-o", "c", "--criterion", "luck"])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert "gradient" in shown.out + shown.err
    assert "luck" in shown.out + shown.err


def test_the_version_is_said_in_a_line(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"leansplat {leansplat.__version__}\n"
