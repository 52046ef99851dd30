"""`Asked`: a scene of a batch as its command line or manifest asked for it, and how its output is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leansplat.formats import FORMATS


@dataclass(frozen=True, slots=True)
class Asked:
    """A scene of a batch as it was asked for.

    Args:
        name: of its output, without a suffix: "garden", "hall/north".
        source: the scene, run or capture.
        where: what asked for it, for messages: "scenes/garden.ply", "scenes.jsonl:3".
        capture: its photos, where it has some of its own.
        suffix: of its output, where the manifest names one.
        options: of its own, after those of all.
        version: what changes when a source in storage does, where that has been seen already.
        bytes: size of such a source.
    """

    name: str
    source: str
    where: str
    capture: str | None = None
    suffix: str | None = None
    options: tuple[str, ...] = ()
    version: str = ""
    bytes: int | None = None


def name_of(path: str) -> str:
    """A path without the suffix of a scene, and with slashes as everywhere but on Windows."""
    name = Path(path).as_posix()
    fitting = [suffix for known in FORMATS for suffix in known.suffixes if name.lower().endswith(suffix)]
    fitting = [suffix for suffix in fitting if suffix.startswith(".")]
    return name[: -max(map(len, fitting))] if fitting else name
