"""A scene that shines in all directions a little differently, in a file with its cameras beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from leansplat import formats
from support.arrangements import place, ring
from support.camera_files import write_cameras

SCENE = replace(place(600), shN=0.05 * torch.randn(1320, 3, 3, generator=torch.Generator().manual_seed(2)))


def write_given(folder: Path) -> Path:
    """The file of the scene."""
    formats.write(SCENE, folder / "scene.ply")
    write_cameras(folder / "cameras.json", ring(9, 6.0, 0.0))
    return folder / "scene.ply"
