"""Plain PLY point clouds that a capture names as its sparse points, such as nerfstudio's `sparse_pc.ply`.

The rows come from the readers that scene files use; only positions and, where the file has them, colours are kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from leansplat.captures.capture import Points
from leansplat.errors import CaptureError, SceneFileError
from leansplat.formats.ply_body import vertex_blocks
from leansplat.formats.ply_header import read_header

_POSITION = ("x", "y", "z")
_COLOR = ("red", "green", "blue")
_GREY = 0.5  # of points without colours


def read_point_cloud(path: Path) -> Points | None:
    """Points of a PLY file, grey where it has no colours; None when it has no points.

    Raises:
        CaptureError: the file is malformed, has no vertices with x, y, z, or a value is out of its range.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            vertex = next((element for element in header.elements if element.name == "vertex"), None)
            types = {entry.name: entry.type for entry in vertex.properties} if vertex else {}
            if not types.keys() >= set(_POSITION):
                raise CaptureError(f"{path} has no vertices with x, y, z; export a plain point cloud.")
            colored = types.keys() >= set(_COLOR)
            columns = (*_POSITION, *_COLOR) if colored else _POSITION
            blocks = [
                np.stack([block[name] for name in columns], axis=1, dtype=np.float64)
                for block in vertex_blocks(file, header, path)
            ]
    except SceneFileError as error:
        raise CaptureError(str(error)) from error
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    table = np.concatenate(blocks)
    if len(table) == 0:
        return None
    positions = np.ascontiguousarray(table[:, :3])
    if not (np.abs(positions) <= np.finfo(np.float32).max).all():
        raise CaptureError(f"{path} has a point that is not finite; export the point cloud again.")
    if not colored:
        return Points(torch.from_numpy(positions), torch.full(positions.shape, _GREY))
    colors = table[:, 3:].astype(np.float32) / np.float32(1 if types["red"].startswith("f") else 255)
    if not ((colors >= 0) & (colors <= 1)).all():
        raise CaptureError(f"{path} has a colour outside its range; export the point cloud again.")
    return Points(torch.from_numpy(positions), torch.from_numpy(colors))
