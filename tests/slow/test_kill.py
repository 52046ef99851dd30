"""Runs that are killed at any moment and resumed end as if nothing had been: scene, log and files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import leansplat

TESTS = Path(__file__).parents[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks")
@pytest.mark.parametrize("kind", ["train", "overwrite", "trim", "compress"])
def test_a_run_that_is_killed_at_any_moment_and_resumed_leaves_what_one_in_peace_does(
    tmp_path: Path, kind: str
) -> None:
    """Two moments of about fifty, chosen by a seed; `killing.py` says what a moment is. 1000 means all of them."""
    paths = [str(TESTS), str(Path(leansplat.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "slow" / "killing.py"), kind, str(tmp_path), "2", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{kind}: ")
