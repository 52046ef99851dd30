"""A ladder: several sizes of one scene, from one run, each made of the one before; with a table and a plot of all.

What a smaller level costs shows best side by side. The plot marks the knee: the level after which quality falls faster
than on the way there, which is the one farthest above the straight line from the largest level to the smallest, over
the logarithm of their bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.report.plots import Line, Panel, draw_lines, nth_look
from leansplat.shrinking.judging import Loss
from leansplat.shrinking.sizes import parse_bytes
from leansplat.shrinking.targets import Target

_EXAMPLES = "40MB,10MB,3MB or 400000,100000 or 50%,25%,10%"


@dataclass(frozen=True)
class Level:
    """One size of a scene.

    Args:
        target: what was asked for.
        gaussians: how many it has.
        bytes: of its file.
        loss: what it lost; None where there is nothing to measure it on.
        file: where it is.
    """

    target: Target
    gaussians: int
    bytes: int
    loss: Loss | None
    file: Path

    @property
    def psnr(self) -> float | None:
        """In dB against photos where there are any, else against the scene as it was given; None where not measured."""
        if self.loss is None:
            return None
        return (self.loss.photos or self.loss.own).psnr

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target.described(),
            "gaussians": self.gaussians,
            "bytes": self.bytes,
            "loss": None if self.loss is None else self.loss.to_json(),
            "file": str(self.file),
        }


def parse_ladder(text: str) -> tuple[Target, ...]:
    """The targets of a ladder, the largest first: sizes, counts or shares with commas in between, in whatever order.

    Raises:
        InputError: one is none of these, they are of different kinds, or there are two of the same or only one.
    """
    found: dict[float, Target] = {}
    kinds = set()
    for word in map(str.strip, text.split(",")):
        kind, value = _number(word, text)
        kinds.add(kind)
        target = Target(keep=value) if kind == "keep" else Target(**{kind: int(value)})
        if value in found:
            raise InputError(f"ladder {text!r} has a level twice, {target.described()}; leave one of them out")
        found[value] = target
    if len(kinds) > 1:
        raise InputError(f"ladder {text!r} mixes sizes, counts and shares; give one kind, such as {_EXAMPLES}")
    if len(found) < 2:
        raise InputError(f"ladder {text!r} has one level; give two or more, such as {_EXAMPLES}")
    return tuple(found[value] for value in sorted(found, reverse=True))


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The point of a curve after which quality falls faster than before, by its index.

    It is the farthest above the chord between the ends, with x logarithmic and both axes as long as each other. None
    where there are fewer than three points or none lies above.

    Args:
        points: (bytes, quality) of each.
    """
    if len(points) < 3:
        return None
    order = sorted(range(len(points)), key=lambda index: points[index])
    (low, bottom), (high, top) = points[order[0]], points[order[-1]]
    if high <= low or top <= bottom:
        return None

    def above(index: int) -> float:
        x, y = points[index]
        return (y - bottom) / (top - bottom) - math.log(x / low) / math.log(high / low)

    best = max(order[1:-1], key=above)
    return best if above(best) > 0 else None


def rows(levels: Sequence[Level]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of a ladder, for `commands.answer.table`; the knee has a mark."""
    photos = any(level.loss is not None and level.loss.photos is not None for level in levels)
    head = ["level", "Gaussians", "MB", "PSNR on photos" if photos else "PSNR to the original", "SSIM", "LPIPS", "file"]
    at = _knee_of(levels)
    found = []
    for level in levels:
        quality = None if level.loss is None else level.loss.photos or level.loss.own
        numbers = ["-", "-", "-"]
        if quality is not None:
            values = zip((quality.psnr, quality.ssim, quality.lpips), (2, 4, 4), strict=True)
            numbers = ["-" if value is None else f"{value:.{digits}f}" for value, digits in values]
        name = level.target.described() + (" (knee)" if level is at else "")
        found.append([name, f"{level.gaussians:,}", f"{level.bytes / 1e6:.2f}", *numbers, level.file.name])
    return head, found


def plot(levels: Sequence[Level]) -> str:
    """The quality of each level against its bytes, as SVG (see `report.svg.standalone`); the knee is marked.

    Raises:
        InputError: matplotlib is missing.
    """
    measured = _measured(levels)
    at = _knee_of(levels)
    points = [(level.bytes / 1e6, level.psnr or 0.0) for level in measured]
    photos = any(level.loss is not None and level.loss.photos is not None for level in measured)
    y = "PSNR on photos held out, dB" if photos else "PSNR to the original, views held back, dB"
    lines = [Line("levels", points, nth_look(0))]
    if at is not None and at.psnr is not None:
        lines.append(Line("knee", [(at.bytes / 1e6, at.psnr)], nth_look(1)))
    return draw_lines("ladder", [Panel("size, MB", y, lines)])


def _measured(levels: Sequence[Level]) -> list[Level]:
    """Those with a PSNR that a plot can show."""
    return [level for level in levels if level.psnr is not None and math.isfinite(level.psnr)]


def _knee_of(levels: Sequence[Level]) -> Level | None:
    measured = _measured(levels)
    index = knee([(level.bytes, level.psnr or 0.0) for level in measured])
    return None if index is None else measured[index]


def _number(word: str, text: str) -> tuple[str, float]:
    """Which setting of `Target` a word is for, and its value."""
    if re.fullmatch(r"\d+", word):
        if int(word) == 0:
            raise InputError(
                f"ladder {text!r} has a level of {word} Gaussians; write numbers without commas, such as {_EXAMPLES}"
            )
        return "count", int(word)
    share = re.fullmatch(r"(\d*\.?\d+)\s*(%?)", word)
    if share is None:
        return "size", parse_bytes(word)
    value = float(share[1]) / (100 if share[2] else 1)
    if not 0 < value <= 1:
        raise InputError(
            f"ladder {text!r} has a share of {word}; give more than 0 and at most 100%, such as {_EXAMPLES}"
        )
    return "keep", value
