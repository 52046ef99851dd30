"""`leansplat doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leansplat.commands.answer import Answer
from leansplat.commands.options import Json, Threads

if TYPE_CHECKING:
    from leansplat.doctor import Diagnosis
    from leansplat.doctor.diagnosis import Examined


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this installation: what it runs on, and whether every engine draws and trains as the CPU's does.

    Example: leansplat doctor
    """

    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.doctor import diagnose
        from leansplat.progress_bar import ProgressBar

        with ProgressBar("doctor") as progress:
            diagnosis = diagnose(progress=progress)
        problems = diagnosis.problems
        wrong = "1 thing is wrong" if len(problems) == 1 else f"{len(problems)} things are wrong"
        failed = f"{wrong}; please open an issue with the block above" if problems else ""
        return Answer(_describe(diagnosis), diagnosis.to_json(), failed=failed)


def _describe(diagnosis: Diagnosis) -> str:
    width = max(map(len, diagnosis.machine))
    lines = [f"{name:<{width}}  {value}" for name, value in diagnosis.machine.items()]
    for engine in diagnosis.engines:
        lines += ["", *_lines_of(engine)]
    if not diagnosis.problems:
        return "\n".join([*lines, "", "OK"])
    return "\n".join([*lines, "", *diagnosis.problems, "", diagnosis.block()])


def _lines_of(engine: Examined) -> list[str]:
    if engine.absent:
        return [f"engine {engine.name}: not here: {engine.absent}"]
    lines = [f"engine {engine.name}:"]
    for finding in engine.findings:
        verdict = "fine" if finding.fine else "WRONG"
        lines.append(f"  {verdict:<5}  {finding.what}: off by {finding.found:.2g} where {finding.most:g} is allowed")
    for size, seconds in (engine.seconds or {}).items():
        lines.append(f"  {'not timed' if seconds is None else f'{1000 * seconds:,.1f} ms'} a step of {size}")
    return [*lines, f"  BROKEN: {engine.broken}"] if engine.broken else lines
