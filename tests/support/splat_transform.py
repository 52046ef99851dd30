"""Runs `@playcanvas/splat-transform`, an independent reader and writer of every format, through node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.patience import PATIENCE

COMMAND = Path(__file__).parents[2] / "node_modules/@playcanvas/splat-transform/bin/cli.mjs"


def convert(source: Path, target: Path, *options: str) -> None:
    """Write `source` to `target`, in the format of its suffix; skips the test where node or the tool is missing."""
    run(str(source), str(target), *options)


def run(*arguments: str) -> None:
    """Run it with these arguments; skips the test where node or the tool is missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not COMMAND.exists():
        pytest.skip("@playcanvas/splat-transform is not installed: run make node")
    finished = subprocess.run(
        ["node", str(COMMAND), "--overwrite", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
