"""`leansplat info`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Json, Scene

if TYPE_CHECKING:
    from leansplat.summary import Summary

_BAR = 40
"""Characters of the longest bar."""


@dataclass(frozen=True, kw_only=True)
class Info:
    """Show what a scene holds: Gaussians, bytes, degree of spherical harmonics, extents and opacities.

    Example: leansplat info scene.ply
    """

    scene: Scene
    json: Json = False

    def run(self) -> Answer:
        from leansplat.formats import scene_path, summarize_file

        file = scene_path(self.scene)
        summary = summarize_file(file)
        return Answer(_describe(summary), {"file": str(file), **summary.to_json()})


def _describe(summary: Summary) -> str:
    lines = [
        f"Gaussians   {summary.gaussians:,}",
        f"file        {megabytes(summary.bytes)} ({summary.bytes or 0:,} bytes)",
        f"SH degree   {summary.sh_degree}",
        f"parameters  {summary.parameters:,}",
    ]
    if summary.antialiased:
        lines.append("trained with opacity compensation (Mip-Splatting)")
    if summary.nonfinite:
        lines.append(
            f"{summary.nonfinite:,} Gaussians have a value that is not finite; convert --drop-nonfinite drops them"
        )
    if summary.padding:
        lines.append(
            f"{summary.padding:,} rows hold no Gaussian, all zero or all the same; convert --drop-empty drops them"
        )
    if summary.without_rotation:
        lines.append(f"{summary.without_rotation:,} Gaussians have a rotation of zeros, which counts as none")
    if summary.extras:
        lines.append(f"extras      {', '.join(summary.extras)}")
    if summary.bounds_min and summary.bounds_max and summary.middle_min and summary.middle_max:
        lines.append(f"centres     {_box(summary.bounds_min, summary.bounds_max)}")
        lines.append(f"  90 %      {_box(summary.middle_min, summary.middle_max)}")
        lines.append(f"size        {summary.median_size:.4g} (median standard deviation)")
    return "\n".join([*lines, "", "opacity", *_bars(summary.opacity_histogram)])


def _box(low: Sequence[float], high: Sequence[float]) -> str:
    return ", ".join(_range(a, b) for a, b in zip(low, high, strict=True))


def _range(low: float, high: float) -> str:
    """Two numbers in four digits, or as many as tell them apart where they lie far from zero."""
    times = max(abs(low), abs(high)) / (high - low) if high > low else 1.0
    digits = 4 + max(0, math.floor(math.log10(times)))
    return f"{low:.{digits}g} to {high:.{digits}g}"


def _bars(counts: Sequence[int]) -> list[str]:
    """A line for each bin: its range, a bar in proportion to the fullest bin, its count."""
    most = max(1, *counts)
    step = 1 / len(counts)
    return [
        f"{index * step:.1f}-{(index + 1) * step:.1f}  {'#' * -(-_BAR * count // most):<{_BAR}}  {count:,}"
        for index, count in enumerate(counts)
    ]
