"""Comments in a PLY header: free text, one line each, in which tools also say how a scene was trained.

Brush writes `SplatRenderMode: mip` for a scene with opacity compensation, Postshot `antialiased 1`; the last counts.
"""

from __future__ import annotations

import re

_RENDER_MODE = re.compile(r"\s*(?:SplatRenderMode\s*:\s*(?P<mode>\S+)|antialiased\s*:?\s*(?P<flag>[01]))\s*", re.I)


def say_antialiased(comments: tuple[str, ...]) -> bool:
    """What the last of a header's comments about anti-aliasing says; false without one."""
    said = [mode for mode in map(_render_mode, comments) if mode is not None]
    return said[-1] if said else False


def comment_lines(comments: tuple[str, ...], antialiased: bool) -> list[str]:
    """Header lines for a scene's comments, with those about anti-aliasing made to agree with `antialiased`."""
    # A comment is one line; text with line ends in it becomes several.
    lines = [line for comment in comments for line in re.split(r"\r\n|\r|\n", comment)]
    lines = [line for line in lines if _render_mode(line) in (None, antialiased)]
    if antialiased and not any(_render_mode(line) for line in lines):
        lines.append("SplatRenderMode: mip")
    return [f"comment {line}" for line in lines]


def _render_mode(comment: str) -> bool | None:
    match = _RENDER_MODE.fullmatch(comment)
    if match is None:
        return None
    return match["flag"] == "1" if match["flag"] else match["mode"].lower() == "mip"
