"""Captures and scenes moved far from zero, as reconstructions in map coordinates are, and written to disk there."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from leansplat.captures.capture import Capture, Points
from leansplat.gaussians import Origin
from support.colmap_files import CameraRow, ImageRow, PointRow, write_binary, write_text

UTM: Origin = (552_031.0, 4_182_230.0, 12.0)
ECEF: Origin = (-2_694_045.0, -4_293_642.0, 3_857_878.0)


def moved(capture: Capture, offset: Origin) -> Capture:
    """The capture with everything in it moved by `offset`, in float64."""

    def place(view):
        pose = view.camera.world_to_camera.clone()
        pose[:3, 3] -= pose[:3, :3] @ torch.tensor(offset, dtype=torch.float64)
        return replace(view, camera=replace(view.camera, world_to_camera=pose))

    points = capture.points
    if points is not None:
        points = Points(points.positions.double() + torch.tensor(offset, dtype=torch.float64), points.colors)
    return replace(capture, train=tuple(map(place, capture.train)), test=tuple(map(place, capture.test)), points=points)


def write_colmap(write: Callable[..., None], capture: Capture, folder: Path) -> Path:
    """Write a capture as COLMAP has it, with `colmap_files.write_binary` or `write_text`."""
    cameras, images = [], []
    for number, view in enumerate(_views(capture, folder / "images"), start=1):
        camera = view.camera
        cameras.append(
            CameraRow(number, "PINHOLE", camera.width, camera.height, [camera.fx, camera.fy, camera.cx, camera.cy])
        )
        x, y, z, w = Rotation.from_matrix(camera.world_to_camera[:3, :3].numpy()).as_quat().tolist()
        images.append(ImageRow(view.name, number, (w, x, y, z), camera.world_to_camera[:3, 3].tolist()))
    points = [
        PointRow(place.tolist(), [int(value) for value in (color * 255).round()])
        for place, color in zip(capture.points.positions.double(), capture.points.colors, strict=True)
    ]
    write(folder / "sparse" / "0", cameras, images, points)
    return folder


def write_colmap_binary(capture: Capture, folder: Path) -> Path:
    return write_colmap(write_binary, capture, folder)


def write_colmap_text(capture: Capture, folder: Path) -> Path:
    return write_colmap(write_text, capture, folder)


def write_transforms(capture: Capture, folder: Path) -> Path:
    """Write a capture as nerfstudio has it, its points as a .ply of doubles; without points none are named."""
    frames = []
    for view in _views(capture, folder / "images"):
        camera = view.camera
        pose = np.eye(4)
        pose[:3, :3] = camera.world_to_camera[:3, :3].numpy().T * [1, -1, -1]
        pose[:3, 3] = camera.position.numpy()
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
    content = {"frames": frames}
    if capture.points is not None:
        content["ply_file_path"] = "points.ply"
        _write_points(capture.points, folder / "points.ply")
    (folder / "transforms.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _views(capture: Capture, photos: Path):
    """All views in order of name, after their photos were written."""
    photos.mkdir(parents=True)
    views = sorted((*capture.train, *capture.test), key=lambda view: view.name)
    for view in views:
        Image.fromarray(view.photo.numpy()).save(photos / view.name)
    return views


def _write_points(points: Points, path: Path) -> None:
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points.positions)}"]
    header += [f"property double {axis}" for axis in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    rows = [
        struct.pack("<ddd", *place.tolist()) + bytes(int(value) for value in (color * 255).round())
        for place, color in zip(points.positions.double(), points.colors, strict=True)
    ]
    path.write_bytes("\n".join([*header, "end_header", ""]).encode() + b"".join(rows))
