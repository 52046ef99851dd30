"""Comments in a PLY header: free text, one line each, in which tools also say how a scene was trained.

Brush writes `SplatRenderMode: mip` for a scene with opacity compensation, Postshot `antialiased 1`; the last counts.
`leansplat origin X Y Z` is ours, in files whose positions are relative to a point of the world.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress

from leansplat.arrays import WORLD, Origin

_ORIGIN = "leansplat origin "
_RENDER_MODE = re.compile(r"\s*(?:SplatRenderMode\s*:\s*(?P<mode>\S+)|antialiased\s*:?\s*(?P<flag>[01]))\s*", re.I)


def say_antialiased(comments: tuple[str, ...]) -> bool:
    """What the last of a header's comments about anti-aliasing says; false without one."""
    said = [mode for mode in map(_render_mode, comments) if mode is not None]
    return said[-1] if said else False


def say_origin(comments: tuple[str, ...]) -> tuple[Origin, tuple[str, ...]]:
    """The origin that the last of a header's comments about it gives, and the comments about other things."""
    origin, others = WORLD, []
    for comment in comments:
        if not comment.startswith(_ORIGIN):
            others.append(comment)
            continue
        with suppress(ValueError):
            x, y, z = map(float, comment.removeprefix(_ORIGIN).split())
            if math.isfinite(x + y + z):
                origin = x, y, z
    return origin, tuple(others)


def comment_lines(comments: tuple[str, ...], antialiased: bool, origin: Origin = WORLD) -> list[str]:
    """Header lines for a scene's comments, with those about anti-aliasing and the origin made to agree with these."""
    # A comment is one line; text with line ends in it becomes several.
    lines = [line for comment in comments for line in re.split(r"\r\n|\r|\n", comment)]
    lines = [line for line in lines if _render_mode(line) in (None, antialiased) and not line.startswith(_ORIGIN)]
    if origin != WORLD:
        lines.append(_ORIGIN + " ".join(f"{value!r}" for value in origin))
    if antialiased and not any(_render_mode(line) for line in lines):
        lines.append("SplatRenderMode: mip")
    return [f"comment {line}" for line in lines]


def _render_mode(comment: str) -> bool | None:
    match = _RENDER_MODE.fullmatch(comment)
    if match is None:
        return None
    return match["flag"] == "1" if match["flag"] else match["mode"].lower() == "mip"
