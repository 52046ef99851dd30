"""A command of leansplat in a process of its own: what it answers, how long it takes, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any, NamedTuple

PROGRAM = [sys.executable, "-c", "import sys; from leansplat.cli import main; sys.exit(main())"]


class Measured(NamedTuple):
    """What a command did.

    Args:
        answer: what it printed with `--json`.
        seconds: from start to end of the process.
        peak_megabytes: most memory that it had at once (resident, 10^6 bytes).
    """

    answer: dict[str, Any]
    seconds: float
    peak_megabytes: float


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: the words after `leansplat`, without `--json`.
        environment: variables that are other than here.
    """
    with TemporaryFile("w+") as answer, TemporaryFile("w+") as said:
        began = time.perf_counter()
        variables = {**os.environ, **(environment or {})}
        process = subprocess.Popen([*PROGRAM, *command, "--json"], stdout=answer, stderr=said, env=variables)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        answer.seek(0)
        said.seek(0)
        if process.returncode:
            raise SystemExit(said.read())
        unit = 1 if sys.platform == "darwin" else 1024
        return Measured(json.load(answer), seconds, used.ru_maxrss * unit / 1e6)
