"""`diagnose`: all engines that are here, one after the other, and what is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leansplat import engines
from leansplat.doctor.comparison import Checks, Finding
from leansplat.doctor.machine import machine
from leansplat.errors import InputError
from leansplat.progress import Progress


@dataclass(frozen=True)
class Examined:
    """An engine that was looked at.

    Args:
        name: in `leansplat.engines.ENGINES`.
        absent: why it cannot work here; empty where it does.
        findings: comparisons with the CPU's.
        seconds: of a training step by its size, None where it would take too long.
        broken: what it raised; empty where it did not.
    """

    name: str
    absent: str = ""
    findings: tuple[Finding, ...] = ()
    seconds: dict[str, float | None] | None = None
    broken: str = ""

    @property
    def problems(self) -> list[str]:
        """A sentence for each thing that is wrong; an engine that is not here is nothing wrong."""
        found = [
            f"{self.name}: {finding.what} is off by {finding.found:.3g} where {finding.most:g} is allowed"
            for finding in self.findings
            if not finding.fine
        ]
        return [*found, f"{self.name}: {self.broken}"] if self.broken else found


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Args:
        machine: facts of `doctor.machine`.
        engines: all there are.
    """

    machine: dict[str, str]
    engines: tuple[Examined, ...]

    @property
    def problems(self) -> list[str]:
        return [problem for each in self.engines for problem in each.problems]

    def to_json(self) -> dict[str, Any]:
        told = []
        for each in self.engines:
            findings = [
                # JSON has no NaN and no infinity
                {"what": f.what, "off": f.found if math.isfinite(f.found) else None, "most": f.most, "fine": f.fine}
                for f in each.findings
            ]
            told.append(
                {
                    "name": each.name,
                    "absent": each.absent or None,
                    "broken": each.broken or None,
                    "findings": findings,
                    "step_seconds": each.seconds or {},
                }
            )
        return {"ok": not self.problems, "problems": self.problems, "machine": self.machine, "engines": told}

    def block(self) -> str:
        """All of it for an issue, as a fenced block of JSON."""
        return f"```json\n{json.dumps(self.to_json(), indent=1, allow_nan=False)}\n```"


def diagnose(
    checks: Checks | None = None, names: Sequence[str] | None = None, progress: Progress | None = None
) -> Diagnosis:
    """Examine engines; one that raises is broken, and the others go on.

    Args:
        names: in `leansplat.engines.ENGINES`; all of them by default.
        progress: told after each engine.
    """
    checks = checks or Checks()
    names = list(engines.ENGINES) if names is None else names
    examined = []
    for done, name in enumerate(names, 1):
        examined.append(_examine(name, checks))
        if progress is not None:
            progress(done, len(names), {})
    return Diagnosis(machine(), tuple(examined))


def _examine(name: str, checks: Checks) -> Examined:
    try:
        engines.named(name)
    except InputError as error:
        return Examined(name, absent=str(error))
    findings: list[Finding] = []
    seconds: dict[str, float | None] = {}
    try:
        if name != "cpu":
            findings.extend(checks.findings(name))
        seconds = checks.step_times(name)
    except Exception as error:  # whatever is wrong with an engine is what this is here to find
        return Examined(name, "", tuple(findings), seconds, f"{type(error).__name__}: {error}")
    return Examined(name, "", tuple(findings), seconds)
