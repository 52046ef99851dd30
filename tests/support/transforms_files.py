"""Builds transforms files and their photos from cameras, in the documented convention (OpenGL camera-to-world)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leansplat.cameras import Camera, look_at

WIDTH, HEIGHT = 48, 36


def cameras(count: int) -> list[Camera]:
    """Cameras on a circle that look at the origin."""
    angles = np.linspace(0, 5, count)
    return [
        look_at((3 * np.cos(a), 3 * np.sin(a), 1 + 0.1 * a), (0, 0, 0), (0, 0, 1), 0.8, WIDTH, HEIGHT) for a in angles
    ]


def frame(camera: Camera, file_path: str, **values: Any) -> dict[str, Any]:
    """A frame whose matrix holds, as columns, the camera's right, up and backward directions and its position."""
    right, down, forward = camera.world_to_camera[:3, :3]
    columns = [right, -down, -forward, camera.position]
    matrix = [[float(column[row]) for column in columns] for row in range(3)] + [[0.0, 0.0, 0.0, 1.0]]
    return {"file_path": file_path, "transform_matrix": matrix, **values}


def write(path: Path, frames: Sequence[dict[str, Any]], **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**values, "frames": list(frames)}))
    return path


def save_photo(path: Path, seed: int = 0, width: int = WIDTH, height: int = HEIGHT, channels: int = 3) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels
