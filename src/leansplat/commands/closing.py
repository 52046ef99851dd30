"""The last two lines of every command that makes a scene: what came out against what went in, and how to look at it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def closing(
    before: str, after: str, *, bytes_before: int | None, bytes_after: int, views: Sequence[Path], reported: Path | None
) -> tuple[str, str]:
    """The two lines.

    Args:
        before, after: what went in and what came out, in words.
        bytes_before: None where the two cannot be compared by their size.
        views: what to look at, side by side where there are two.
        reported: what `leansplat report` tells of; None where it tells of nothing.
    """
    ratio = ""
    if bytes_before is not None and bytes_after > 0:
        times = bytes_before / bytes_after
        ratio = f", {times:.1f} times smaller" if times >= 1.05 else f", {1 / times:.1f} times larger"
        ratio = ", the same size" if 0.95 < times < 1.05 else ratio
    commands = [shlex.join(["leansplat", "view", *map(str, views)])]
    if reported is not None:
        commands.append(shlex.join(["leansplat", "report", str(reported), "-o", "report.html"]))
    return f"{before} became {after}{ratio}.", f"Look at it: {'   '.join(commands)}"


def scene_in_words(path: Path, gaussians: int | None = None, size: int | None = None) -> str:
    """A scene by its name, with what is known of it."""
    from leansplat.commands.answer import megabytes

    known = [] if gaussians is None else [f"{gaussians:,} Gaussians"]
    known += [] if size is None else [megabytes(size)]
    return f"{path} ({', '.join(known)})" if known else str(path)


def size_of(scene: Path) -> int | None:
    """Bytes of a scene's files, None where they are gone, or are those of a checkpoint."""
    from leansplat.errors import LeansplatError
    from leansplat.formats import scene_bytes

    with suppress(LeansplatError, OSError):
        return scene_bytes(scene)
    return None
