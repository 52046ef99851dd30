"""COLMAP's sparse model: cameras, posed images and points, from the binary or the text files.

Both encodings are read record by record into the same few types; a binary count is compared with what the file's size
could hold before anything is stored, and a file must end where its last record ends. Formats as documented at
https://colmap.github.io/format.html (COLMAP 4's rigs and frames files repeat what these files say and are not read).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leansplat.captures.capture import Points
from leansplat.captures.lens import Lens
from leansplat.errors import CaptureError

# Number in binary files -> name in text files and count of parameters.
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
}
_PARAMETERS = dict(_MODELS.values())
_SUPPORTED = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")

_OTHER_BYTES = "surrogateescape"  # names of files need not be UTF-8: bytes that are not are kept, as Python's paths do
_NUMERIC = "0123456789+-.eE \t"  # what lines of numbers are made of

# Sizes in bytes of the smallest possible records.
_CAMERA_BYTES = 24 + 3 * 8
_IMAGE_BYTES = 64 + 1 + 8
_POINT_BYTES = 43 + 8


@dataclass(frozen=True)
class PosedImage:
    """A photo's name, the number of its camera, and its pose (4, 4) float64 from world to OpenCV camera axes."""

    name: str
    camera: int
    world_to_camera: np.ndarray


def model_suffix(folder: Path) -> str | None:
    """ ".bin" or ".txt" when `folder` holds a sparse model in that encoding (binary first), else None."""
    for suffix in (".bin", ".txt"):
        if (folder / f"cameras{suffix}").is_file() and (folder / f"images{suffix}").is_file():
            return suffix
    return None


def read_lenses(path: Path) -> dict[int, Lens]:
    """Lenses by camera number, from `cameras.bin` or `cameras.txt`.

    Raises:
        CaptureError: the file is malformed, or a camera model is not among those `Lens` can express.
    """
    lenses: dict[int, Lens] = {}
    for number, model, width, height, parameters in _text_cameras(path) if _is_text(path) else _binary_cameras(path):
        if number in lenses:
            raise CaptureError(f"{path} lists camera {number} twice; export the model again.")
        lenses[number] = _lens(path, number, model, width, height, parameters)
    return lenses


def read_images(path: Path) -> list[PosedImage]:
    """Posed images from `images.bin` or `images.txt`, in the file's order.

    Raises:
        CaptureError: the file is malformed, a pose is not finite, or a name is listed twice or no file's.
    """
    images: list[PosedImage] = []
    names: set[str] = set()
    for name, camera, quaternion, translation in _text_images(path) if _is_text(path) else _binary_images(path):
        if set(name) & set("\0\n\r"):
            raise CaptureError(f"{path} has a photo name with a zero byte or a line break; rename the photo.")
        if name in names:
            raise CaptureError(f"{path} lists the photo {name} twice; export the model again.")
        names.add(name)
        pose = np.eye(4)
        pose[:3, :3] = _rotation(path, name, quaternion)
        pose[:3, 3] = translation
        if not np.isfinite(pose).all():
            raise CaptureError(f"{path} has a pose that is not finite for {name}; run the reconstruction again.")
        images.append(PosedImage(name, camera, pose))
    return images


def read_points(path: Path) -> Points | None:
    """The sparse points with their colours from `points3D.bin` or `points3D.txt`; None when there are none.

    Raises:
        CaptureError: the file is malformed or a position is not finite.
    """
    rows = list(_text_points(path) if _is_text(path) else _binary_points(path))
    if not rows:
        return None
    table = np.array(rows, dtype=np.float64)
    positions, colors = np.ascontiguousarray(table[:, :3]), table[:, 3:]
    if not (np.abs(positions) <= np.finfo(np.float32).max).all():
        raise CaptureError(f"{path} has a point that is not finite; run the reconstruction again.")
    if colors.min() < 0 or colors.max() > 255:
        raise CaptureError(f"{path} has a colour outside 0 to 255; export the model again.")
    return Points(torch.from_numpy(positions), torch.from_numpy((colors / 255).astype(np.float32)))


def _is_text(path: Path) -> bool:
    return path.suffix == ".txt"


def _lens(path: Path, number: int, model: str, width: int, height: int, parameters: Sequence[float]) -> Lens:
    if model not in _SUPPORTED:
        raise CaptureError(
            f"{path}: camera {number} has the model {model}, which is not one of {', '.join(_SUPPORTED)}; undistort "
            "the capture with COLMAP's image_undistorter first."
        )
    if len(parameters) != _PARAMETERS[model]:
        raise CaptureError(
            f"{path}: camera {number} has {len(parameters)} parameters where {model} has {_PARAMETERS[model]}; "
            "export the model again."
        )
    focal = 1 if model.startswith("SIMPLE") or model == "RADIAL" else 2
    fx, fy = parameters[0], parameters[focal - 1]
    cx, cy = parameters[focal : focal + 2]
    distortion = tuple(parameters[focal + 2 :])
    if focal == 1 and distortion:  # radial terms alone; OpenCV wants k1, k2, p1, p2
        k1, k2 = (*distortion, 0.0)[:2]
        distortion = (k1, k2, 0.0, 0.0)
    try:
        return Lens(fx, fy, cx, cy, width, height, distortion)
    except ValueError as error:
        raise CaptureError(f"{path}: camera {number} has {error}; run the reconstruction again.") from error


def _rotation(path: Path, name: str, quaternion: Sequence[float]) -> np.ndarray:
    """(3, 3) rotation of a quaternion w, x, y, z, which is normalised first as COLMAP does."""
    length = float(np.linalg.norm(quaternion))
    if not length > 1e-9 or not np.isfinite(length):
        raise CaptureError(f"{path} has no valid rotation for {name}; run the reconstruction again.")
    w, x, y, z = np.asarray(quaternion) / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


class _Records:
    """Reads little-endian values one after another from a binary model file, never past its end."""

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self.path = path
        self.data = data
        self.offset = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next values, in `struct` notation."""
        start = self.offset
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self.data, start)

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.offset:
            raise CaptureError(f"{self.path} ends in the middle of a record; copy or export the model again.")
        self.offset += size

    def name(self) -> str:
        """The next zero-terminated name."""
        end = self.data.find(b"\0", self.offset)
        if end < 0:
            raise CaptureError(f"{self.path} ends in the middle of a record; copy or export the model again.")
        raw = self.data[self.offset : end]
        self.offset = end + 1
        return raw.decode("utf-8", _OTHER_BYTES)

    def count(self, smallest: int, what: str) -> int:
        """The next count, which what is left of the file must be able to hold at `smallest` bytes per record."""
        (count,) = self.take("Q")
        if count * smallest > len(self.data) - self.offset:
            raise CaptureError(
                f"{self.path} claims {count} {what}, more than its {len(self.data)} bytes can hold; "
                "copy or export the model again."
            )
        return int(count)


@contextmanager
def _open_records(path: Path) -> Iterator[_Records]:
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise CaptureError(f"{path} is empty; copy or export the model again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                records = _Records(path, data)
                yield records
                if records.offset != len(data):
                    raise CaptureError(
                        f"{path} goes on for {len(data) - records.offset} bytes after its last record; "
                        "copy or export the model again."
                    )
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}); check the file.") from error


def _binary_cameras(path: Path) -> Iterator[tuple[int, str, int, int, tuple[float, ...]]]:
    with _open_records(path) as records:
        for _ in range(records.count(_CAMERA_BYTES, "cameras")):
            number, model, width, height = records.take("IiQQ")
            if model not in _MODELS:
                raise CaptureError(
                    f"{path}: camera {number} has the unknown model {model}; undistort the capture with COLMAP's "
                    "image_undistorter first."
                )
            name, parameters = _MODELS[model]
            yield number, name, width, height, records.take(f"{parameters}d")


def _binary_images(path: Path) -> Iterator[tuple[str, int, Sequence[float], Sequence[float]]]:
    with _open_records(path) as records:
        for _ in range(records.count(_IMAGE_BYTES, "images")):
            *numbers, camera = records.take("I7dI")
            name = records.name()
            records.skip(24 * records.count(24, "keypoints"))
            yield name, camera, numbers[1:5], numbers[5:8]


def _binary_points(path: Path) -> Iterator[tuple[float, ...]]:
    with _open_records(path) as records:
        for _ in range(records.count(_POINT_BYTES, "points")):
            _, *row, _ = records.take("Q3d3Bd")
            yield tuple(row)
            records.skip(8 * records.count(8, "track entries"))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is neither empty nor a comment."""
    try:
        with path.open(encoding="utf-8-sig", errors=_OTHER_BYTES) as file:
            for number, line in enumerate(file, start=1):
                text = line.strip()
                if text and not text.startswith("#"):
                    yield number, text
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}); check the file.") from error


def _malformed(path: Path, line: int, wanted: str) -> CaptureError:
    return CaptureError(f"{path}, line {line}, is not {wanted}; export the model again.")


def _text_cameras(path: Path) -> Iterator[tuple[int, str, int, int, tuple[float, ...]]]:
    for line, text in _lines(path):
        try:
            number, model, width, height, *parameters = text.split()
            yield int(number), model, _whole(width), _whole(height), tuple(map(float, parameters))
        except ValueError as error:
            raise _malformed(path, line, "a camera") from error


def _whole(text: str) -> int:
    """A whole number, which some tools write as "1080.0"."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _text_images(path: Path) -> Iterator[tuple[str, int, Sequence[float], Sequence[float]]]:
    """Photos, a line each. A photo's keypoints follow on a line of their own; COLMAP leaves that line empty where there
    are none, and other tools leave it out, so what a line is shows in what it is made of."""
    keypoints_may_follow = False
    for line, text in _lines(path):
        if _is_keypoints(text):
            if not keypoints_may_follow:
                raise _malformed(path, line, "an image, nor the first list of keypoints after one")
            if _is_pose(text):
                raise _malformed(path, line, "surely a list of keypoints nor surely a photo with a name of numbers")
            keypoints_may_follow = False
            continue
        try:
            number, *pose, camera, name = text.split(maxsplit=9)
            numbers = [float(value) for value in pose]
            if len(numbers) != 7 or int(number) < 0:
                raise _malformed(path, line, "an image")
            yield name, int(camera), numbers[:4], numbers[4:]
        except ValueError as error:
            wanted = "a list of keypoints" if keypoints_may_follow and not text.strip(_NUMERIC) else "an image"
            raise _malformed(path, line, wanted) from error
        keypoints_may_follow = True


def _is_keypoints(text: str) -> bool:
    """Whether a line is numbers alone, three a keypoint: X, Y and the whole number of a point."""
    if text.strip(_NUMERIC):  # something that is in no number, as in a photo's name
        return False
    values = text.split()
    try:
        for value in values:
            float(value)
        for point in values[2::3]:
            int(point)
    except ValueError:
        return False
    return len(values) % 3 == 0


def _is_pose(text: str) -> bool:
    """Whether a line of keypoints also has the number, rotation and camera of a photo whose name is numbers alone."""
    values = text.split(maxsplit=9)
    rotation = map(float, values[1:5])
    is_rotation = abs(sum(value * value for value in rotation) - 1) < 1e-3
    return len(values) == 10 and values[0].isdigit() and values[8].isdigit() and is_rotation


def _text_points(path: Path) -> Iterator[tuple[float, ...]]:
    for line, text in _lines(path):
        try:
            _, *row = text.split(maxsplit=8)[:7]
            numbers = tuple(map(float, row))
        except ValueError as error:
            raise _malformed(path, line, "a point") from error
        if len(numbers) != 6:
            raise _malformed(path, line, "a point")
        yield numbers
