"""Files of cameras, as 3DGS writes them beside a scene."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from leansplat.cameras import Camera


def write_cameras(path: Path, cameras: Iterable[Camera]) -> Path:
    """A cameras.json of cameras whose principal point is the middle."""
    entries = [
        {
            "img_name": f"photo{number:02}",
            "width": camera.width,
            "height": camera.height,
            "fx": camera.fx,
            "fy": camera.fy,
            "rotation": camera.world_to_camera[:3, :3].T.tolist(),
            "position": camera.position.tolist(),
        }
        for number, camera in enumerate(cameras)
    ]
    path.write_text(json.dumps(entries))
    return path
