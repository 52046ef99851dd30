"""`Account`: what one run has to tell, whichever command made it and wherever it wrote that down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leansplat.cameras import Camera
from leansplat.records import Work


@dataclass(frozen=True)
class Scores:
    """Mean quality on held-out views; None where it was not measured."""

    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None


@dataclass(frozen=True)
class Standing:
    """A scene at one end of a run.

    Args:
        path: where it is; None where it is not there any more, or is another one by now.
        gaussians, bytes: None where nobody wrote it down.
        scores: on the views held out.
        views: the PSNR of each of them, by name; empty where it is not known.
    """

    path: Path | None = None
    gaussians: int | None = None
    bytes: int | None = None
    scores: Scores = field(default_factory=Scores)
    views: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rung:
    """One level of a ladder.

    Args:
        target: what was asked for, in words.
    """

    target: str
    standing: Standing


@dataclass(frozen=True)
class Account:
    """What a run tells.

    Args:
        path: what was given: a run folder, a file, the folder of a ladder.
        name: what to call it, unique in a report.
        command: what made it.
        line: the words of the command line; None where they are not recorded.
        directory: where these words were said; relative paths count from there.
        settings: what decided it, as in config.json or a record.
        threads, versions, inputs: likewise.
        works: what was done, with its log, in order.
        before: the scene that was given; None for a training.
        after: the scene that was made; of a ladder the smallest.
        rungs: of a ladder.
        against: what quality is measured against.
        views: how many views it is measured on; None where nobody wrote it down.
        seconds: time for it.
        parts: bytes of the file by part; empty where they cannot be told.
        estimated: whether these are estimates.
        told: what the command had to say.
        cameras: by name, those that judged, where they are not those of photos.
        missing: sentences on what cannot be shown.
    """

    path: Path
    name: str
    command: str
    line: tuple[str, ...] | None
    directory: Path | None
    settings: Mapping[str, Any]
    threads: int | None
    versions: Mapping[str, str | None]
    inputs: Mapping[str, str]
    works: tuple[Work, ...]
    before: Standing | None
    after: Standing
    rungs: tuple[Rung, ...] = ()
    against: str = "photos"
    views: int | None = None
    seconds: float | None = None
    parts: Mapping[str, int] = field(default_factory=dict)
    estimated: bool = False
    told: tuple[str, ...] = ()
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def capture_name(self) -> str:
        """What to call the photos."""
        if "built-in capture" in self.settings:
            return "the built-in capture"
        folder = self.settings.get("capture")
        return Path(folder).resolve().name if isinstance(folder, str) and folder else "its capture"

    def comparable_with(self, other: Account) -> bool:
        """Whether the quality of two runs is measured against the same."""
        if self.against != other.against:
            return False
        role = "capture" if self.against == "photos" else "scene"
        mine, others = self.inputs.get(role), other.inputs.get(role)
        if mine is not None and others is not None:
            return mine == others
        return role == "capture" and self._photos is not None and self._photos == other._photos

    @property
    def _photos(self) -> tuple[object, ...] | None:
        """Which photos these are and how they were loaded; None where that is not known."""
        folder = self.settings.get("capture")
        place = found(folder, self.directory) if isinstance(folder, str) else None
        return None if place is None else (place.resolve(), self.settings.get("downscale") or 1)

    @property
    def steps(self) -> int:
        """Training steps taken."""
        return sum(last - first for first, last in map(span, self.works))


def span(work: Work) -> tuple[int, int]:
    """The steps before and after a piece of work, which may go on from a training."""
    steps = [event["step"] for event in work.events]
    if not steps:
        return 0, 0
    started = [event["step"] for event in work.events if event["event"] == "started"]
    return (started[0] if started else 0), max(steps)


def found(path: str | Path, directory: Path | None) -> Path | None:
    """A path as it was written down, from here or from where it was said; None where there is nothing."""
    for place in (Path(path), (directory or Path()) / path):
        if place.exists():
            return place
    return None
