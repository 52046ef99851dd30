"""The captures that benchmarks of trained scenes have in common, and their photos."""

from __future__ import annotations

from pathlib import Path

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.captures.synthetic import synthetic_capture

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
CAPTURES = {
    "fox": ("fox", 4, BLACK),
    "chair": ("chair_blender", 1, WHITE),
    "south": ("south_building", 2, BLACK),
    "tumbler": ("tumbler", 2, BLACK),
    "fruit": ("fruit", 2, BLACK),
}
"""Folder, downscale and background by the name of the trained scene; "synthetic" is the built-in one."""


def photos_of(name: str, data: Path) -> Capture:
    """The photos that a scene was trained on, of a folder with `captures`."""
    if name == "synthetic":
        return synthetic_capture()
    folder, downscale, background = CAPTURES[name]
    return load(data / "captures" / folder, downscale=downscale, background=background, points=False)
