"""Writes COLMAP sparse models from the documented format, so that readers are tested against another's bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODEL_NUMBERS = {
    "SIMPLE_PINHOLE": 0,
    "PINHOLE": 1,
    "SIMPLE_RADIAL": 2,
    "RADIAL": 3,
    "OPENCV": 4,
    "OPENCV_FISHEYE": 5,
    "FULL_OPENCV": 6,
}


@dataclass
class CameraRow:
    number: int
    model: str
    width: int
    height: int
    parameters: Sequence[float]


@dataclass
class ImageRow:
    name: str
    camera: int
    quaternion: Sequence[float]
    translation: Sequence[float]
    keypoints: Sequence[tuple[float, float, int]] = ()


@dataclass
class PointRow:
    position: Sequence[float]
    color: Sequence[int]
    track: Sequence[tuple[int, int]] = ()


def write_binary(
    folder: Path, cameras: Sequence[CameraRow], images: Sequence[ImageRow], points: Sequence[PointRow]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(cameras))
    for camera in cameras:
        data += struct.pack("<I", camera.number) + struct.pack("<i", MODEL_NUMBERS[camera.model])
        data += struct.pack("<QQ", camera.width, camera.height)
        data += b"".join(struct.pack("<d", value) for value in camera.parameters)
    (folder / "cameras.bin").write_bytes(data)

    data = struct.pack("<Q", len(images))
    for number, image in enumerate(images, start=1):
        data += struct.pack("<I", number)
        data += b"".join(struct.pack("<d", value) for value in (*image.quaternion, *image.translation))
        data += struct.pack("<I", image.camera) + image.name.encode() + b"\0"
        data += struct.pack("<Q", len(image.keypoints))
        data += b"".join(struct.pack("<ddq", *keypoint) for keypoint in image.keypoints)
    (folder / "images.bin").write_bytes(data)

    data = struct.pack("<Q", len(points))
    for number, point in enumerate(points, start=1):
        data += struct.pack("<Q", number) + struct.pack("<ddd", *point.position) + bytes(point.color)
        data += struct.pack("<d", 0.5) + struct.pack("<Q", len(point.track))
        data += b"".join(struct.pack("<II", *entry) for entry in point.track)
    (folder / "points3D.bin").write_bytes(data)


def write_text(
    folder: Path, cameras: Sequence[CameraRow], images: Sequence[ImageRow], points: Sequence[PointRow]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Camera list with one line of data per camera:", f"# Number of cameras: {len(cameras)}"]
    lines += [
        " ".join([str(row.number), row.model, str(row.width), str(row.height), *map(repr, row.parameters)])
        for row in cameras
    ]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")

    lines = ["# Image list with two lines of data per image:"]
    for number, row in enumerate(images, start=1):
        pose = " ".join(repr(float(value)) for value in (*row.quaternion, *row.translation))
        lines.append(f"{number} {pose} {row.camera} {row.name}")
        lines.append(" ".join(f"{x!r} {y!r} {point}" for x, y, point in row.keypoints))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")

    lines = ["# 3D point list with one line of data per point:"]
    for number, point in enumerate(points, start=1):
        values = [number, *map(repr, point.position), *point.color, 0.5]
        values += [value for entry in point.track for value in entry]
        lines.append(" ".join(map(str, values)))
    (folder / "points3D.txt").write_text("\n".join(lines) + "\n")
