"""A capture as a folder on disk, for tests of what reads one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image

from leansplat.captures.capture import Capture

# nerfstudio's camera axes are those of OpenGL: y up, z backwards.
OPENGL_FROM_OPENCV = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def write_nerfstudio(capture: Capture, folder: Path) -> Path:
    """Write all views of a capture in nerfstudio's layout; its points are left out."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for view in (*capture.train, *capture.test):
        Image.fromarray(view.photo.numpy()).save(folder / "images" / view.name)
        camera = view.camera
        pose = camera.world_to_camera.inverse() @ OPENGL_FROM_OPENCV
        frames.append(
            {
                "file_path": f"images/{view.name}",
                "transform_matrix": pose.tolist(),
                "fl_x": camera.fx,
                "fl_y": camera.fy,
                "cx": camera.cx,
                "cy": camera.cy,
                "w": camera.width,
                "h": camera.height,
            }
        )
    (folder / "transforms.json").write_text(json.dumps({"frames": frames}), encoding="utf-8")
    return folder
