"""`Job` and `Plan`: what to run, as plain data that is written to a file and read back.

A job is one training, trimming or compression of one capture. Its name is its folder; two experiments that want the
same thing want the job of the same name, so it is run once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.files import write_json
from leansplat.paper.sources import Source

_FORMAT = "leansplat-paper-plan-1"


@dataclass(frozen=True)
class Job(Config):
    """One thing to run.

    Args:
        capture: name of the capture.
        variant: what is done, in a word that is unique for the capture: "base", "gradient-0.45".
        kind: how it is run, a key of `kinds.KINDS`.
        settings: the settings of that kind, as JSON scalars by name.
        base: name of the job whose result this one starts from, None for one that starts from photos.
        seed: the seed of everything random.
        count_of: name of a job whose number of Gaussians this one is trimmed to.
    """

    capture: str
    variant: str
    kind: str
    settings: Mapping[str, Any]
    base: str | None
    seed: int
    count_of: str | None = None

    @property
    def name(self) -> str:
        """ "fox/gradient-0.45-s1", which is also its folder."""
        return f"{self.capture}/{self.variant}-s{self.seed}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the jobs that must be finished before."""
        return tuple(name for name in (self.base, self.count_of) if name is not None)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **super().to_json()}


@dataclass(frozen=True)
class Plan:
    """Jobs, and the captures they are about.

    Args:
        scale: length of every schedule in units of the paper's.
        sources: where the captures are.
        jobs: each after those it needs.
    """

    scale: float
    sources: tuple[Source, ...]
    jobs: tuple[Job, ...]

    def source(self, capture: str) -> Source:
        return next(source for source in self.sources if source.name == capture)

    def extended(self, other: Plan, folder: Path) -> Plan:
        """This plan and what `other` adds to it.

        Args:
            folder: the folder of the plan, which messages name.

        Raises:
            InputError: they are about different captures of one name, or of different scale.
        """
        if other.scale != self.scale:
            raise InputError(
                f"{folder} holds a schedule scaled to {self.scale:g}, not {other.scale:g}; choose another folder"
            )
        known = {source.name: source for source in self.sources}
        for source in other.sources:
            before = known.setdefault(source.name, source)
            if before != source:
                raise InputError(
                    f"{folder} has the capture {source.name} from {before}, not {source}; give it another name"
                )
        jobs = {job.name: job for job in (*self.jobs, *other.jobs)}
        return Plan(self.scale, tuple(known.values()), tuple(jobs.values()))


def plan_path(folder: Path) -> Path:
    """Where the plan of a sweep in `folder` is."""
    return folder / "plan.json"


def write_plan(plan: Plan, folder: Path) -> None:
    """Write the plan of a sweep, replacing one that is there."""
    values = {
        "format": _FORMAT,
        "scale": plan.scale,
        "captures": [source.to_json() for source in plan.sources],
        "jobs": [job.to_json() for job in plan.jobs],
    }
    write_json(plan_path(folder), values, overwrite=True)


def read_plan(folder: Path) -> Plan | None:
    """The plan of a sweep, None where there is none yet.

    Raises:
        InputError: the file is damaged.
    """
    path = plan_path(folder)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']!r}")
        sources = tuple(Source.from_json(entry) for entry in values["captures"])
        return Plan(float(values["scale"]), sources, tuple(map(_job, values["jobs"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and give the options of the sweep again") from error


def _job(values: Mapping[str, Any]) -> Job:
    return Job.from_json({name: value for name, value in values.items() if name != "name"})


def open_plan(folder: Path) -> Plan:
    """The plan of a sweep that has been started.

    Raises:
        InputError: there is none, or the file is damaged.
    """
    plan = read_plan(folder)
    if plan is None:
        raise InputError(f"{folder} holds no sweep yet; say on which captures to run the experiments (--captures)")
    return plan
