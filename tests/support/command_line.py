"""Runs of the command line inside a test: what it answers as JSON, and the one sentence with which it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leansplat.cli import main


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    """Run a command with --json; its whole standard output must be one object on one line."""
    assert main([*map(str, arguments), "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    values = json.loads(printed)
    assert isinstance(values, dict)
    return values


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that is given something wrong; returns its one sentence."""
    assert main(list(map(str, arguments))) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if line.startswith("leansplat: ")]
    assert shown.err.splitlines() == lines
    assert len(lines) == 1
    return lines[0]
