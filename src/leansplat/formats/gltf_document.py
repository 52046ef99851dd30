"""What of glTF 2.0 a scene of Gaussians needs: its two kinds of file, their buffers, accessors and node transforms.

The JSON of a file is untrusted: everything is taken through `field` and `item`, which check types, and every range of
bytes is compared with what there is before memory is taken for it. The specification is that of the Khronos Group,
registry.khronos.org/glTF/specs/2.0.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

import numpy as np

from leansplat.errors import SceneFileError
from leansplat.formats.format import opened

GLB_MAGIC = b"glTF"
GLB_HEADER = struct.Struct("<4sII")
"""Magic, version, bytes of the file."""
CHUNK_HEADER = struct.Struct("<I4s")
"""Bytes and kind of a chunk: first the JSON, then perhaps what its first buffer refers to."""
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"

FLOAT, UNSIGNED_BYTE = 5126, 5121
_COMPONENTS = {5120: "i1", UNSIGNED_BYTE: "u1", 5122: "<i2", 5123: "<u2", FLOAT: "<f4"}
COMPONENT_COUNTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}

_BLOCK = 1 << 16
"""Entries of an accessor handled at once; one and what lies between it and the next are at most 252 bytes."""

_LARGEST_LENGTH = 1e30

T = TypeVar("T")


@dataclass(frozen=True)
class Buffer:
    """`size` bytes of an open file, from `offset` on."""

    handle: BinaryIO
    offset: int
    size: int


@dataclass(frozen=True)
class Accessor:
    """An array in a file: `count` entries of `components` numbers from `offset` on, `stride` bytes apart.

    Integers that are `normalized` stand for fractions: signed ones in [-1, 1], unsigned ones in [0, 1].
    """

    handle: BinaryIO
    offset: int
    stride: int
    count: int
    components: int
    type: np.dtype
    normalized: bool

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Some entries at a time: where they belong, and (n, components) float64 values."""
        size = self.components * self.type.itemsize
        for start in range(0, self.count, _BLOCK):
            part = slice(start, min(start + _BLOCK, self.count))
            rows = part.stop - part.start
            self.handle.seek(self.offset + start * self.stride)
            data = self.handle.read((rows - 1) * self.stride + size)
            if len(data) < (rows - 1) * self.stride + size:
                raise ValueError("it became shorter while it was read")
            strides = (self.stride, self.type.itemsize)
            entries: np.ndarray = np.ndarray((rows, self.components), self.type, data, strides=strides)
            values = entries.astype(np.float64)
            if self.normalized and self.type.kind != "f":
                values = np.maximum(values / np.iinfo(self.type).max, -1)
            yield part, values


class Document:
    """An open glTF file.

    Args:
        json: its JSON, an object.
        size: bytes of all buffers.
        files: where they are, the file itself first.
    """

    def __init__(self, json: dict[str, Any], buffers: list[Buffer], files: tuple[Path, ...]) -> None:
        self.json = json
        self.files = files
        self.size = sum(buffer.size for buffer in buffers)
        self._buffers = buffers

    def accessor(self, index: Any, kind: str) -> Accessor:
        """The accessor with this index, which must be of `kind`, such as "VEC3".

        Raises:
            ValueError: it is not, or it is not within its buffer.
        """
        entry = record(self.json, "accessors", index)
        what = f"accessor {index}"
        if "sparse" in entry or "bufferView" not in entry:
            raise ValueError(f"{what} is sparse or compressed")
        if field(entry, "type", str) != kind:
            raise ValueError(f"{what} is not a {kind}")
        code = natural(entry, "componentType")
        if code not in _COMPONENTS:
            raise ValueError(f"{what} has numbers of type {code}, which no attribute may have")
        view = record(self.json, "bufferViews", entry["bufferView"])
        buffer = item(self._buffers, field(view, "buffer", int))
        view_offset, view_size = natural(view, "byteOffset", 0), natural(view, "byteLength")
        if view_offset + view_size > buffer.size:
            raise ValueError(f"buffer view {entry['bufferView']} goes past the {buffer.size:,} bytes of its buffer")
        numbers, components = np.dtype(_COMPONENTS[code]), COMPONENT_COUNTS[kind]
        size = components * numbers.itemsize
        stride = natural(view, "byteStride", size)
        count, offset = natural(entry, "count"), natural(entry, "byteOffset", 0)
        if count and (not size <= stride <= 252 or offset + (count - 1) * stride + size > view_size):
            raise ValueError(f"{what} of {count:,} entries goes past the {view_size:,} bytes it may use")
        normalized = field(entry, "normalized", bool, False)
        start = buffer.offset + view_offset + offset
        return Accessor(buffer.handle, start, stride, count, components, numbers, normalized)

    def placed_meshes(self) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Every mesh in the file's scene with its (4, 4) float64 transform to the world, in the order of the nodes.

        Raises:
            ValueError: a node is named twice, or something in it is not as it should be.
        """
        nodes = field(self.json, "nodes", list, [])
        if field(self.json, "scenes", list, []):
            roots = field(record(self.json, "scenes", field(self.json, "scene", int, 0)), "nodes", list, [])
        else:
            children = {
                child for node in nodes for child in field(node, "children", list, []) if isinstance(child, int)
            }
            roots = [index for index in range(len(nodes)) if index not in children]
        found = []
        seen = set()
        waiting = [(index, np.eye(4)) for index in reversed(roots)]
        while waiting:
            index, parent = waiting.pop()
            node = record(self.json, "nodes", index)
            if index in seen:
                raise ValueError(f"node {index} has two parents")
            seen.add(index)
            transform = parent @ _local_transform(node)
            if np.abs(transform).max() > _LARGEST_LENGTH:
                raise ValueError(f"node {index} is scaled or moved by more than {_LARGEST_LENGTH:g}")
            if "mesh" in node:
                found.append((record(self.json, "meshes", node["mesh"]), transform))
            waiting += [(child, transform) for child in reversed(field(node, "children", list, []))]
        return found


@contextmanager
def opened_document(path: Path) -> Iterator[Document]:
    """A .glb or .gltf file with its buffers; a ValueError in the block becomes a sentence about the file.

    Raises:
        SceneFileError: the file or a buffer is missing, cut off, not glTF 2 or not in the file's folder.
    """
    with ExitStack() as files:
        handle = files.enter_context(opened(path))
        try:
            if handle.read(len(GLB_MAGIC)) == GLB_MAGIC:
                text, binary = _glb_chunks(handle)
            else:
                handle.seek(0)
                text, binary = handle.read(), None
            try:
                content = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("its JSON is cut off or damaged") from None
            version = field(field(content, "asset", dict), "version", str)
            if not version.startswith("2."):
                raise ValueError(f"it is of version {version[:20]!r}, where 2.0 is expected")
            entries = field(content, "buffers", list, [])
            beside = {index: _file_of(entry, path) for index, entry in enumerate(entries)}
            buffers = [
                _buffer(entry, beside[index], binary if index == 0 else None, files)
                for index, entry in enumerate(entries)
            ]
            named = dict.fromkeys(file for file in beside.values() if file is not None)
            yield Document(content, buffers, (path, *named))
        except ValueError as error:
            raise SceneFileError(
                f"{path} is not a glTF scene that leansplat can read: {error}; copy or export it again."
            ) from error


def field(owner: Any, name: str, kind: type[T], default: T | None = None) -> T:
    """The entry `name` of a JSON object, checked to be of type `kind`; needed unless there is a default."""
    if not isinstance(owner, dict):
        raise ValueError(f"there is no object where {name!r} is looked for")
    value = owner.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} is missing or not of type {kind.__name__}")
    return value


def natural(owner: Any, name: str, default: int | None = None) -> int:
    """The entry `name` of a JSON object, checked to be an integer from 0 to 2^53."""
    value = field(owner, name, int, default)
    if not 0 <= value <= 2**53:
        raise ValueError(f"{name!r} is negative or too large")
    return value


def item(entries: list[T], index: Any) -> T:
    """An entry of a list by an index from the file."""
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(entries):
        raise ValueError(f"there is no entry {ascii(index)[:40]} in a list of {len(entries)}")
    return entries[index]


def record(document: Any, name: str, index: Any) -> dict[str, Any]:
    """An object by its index in the list `name` of a JSON document."""
    found = item(field(document, name, list), index)
    if not isinstance(found, dict):
        raise ValueError(f"entry {index} of {name!r} is not an object")
    return found


def _glb_chunks(handle: BinaryIO) -> tuple[bytes, Buffer | None]:
    """The JSON of a .glb file, and the binary chunk behind it, if there is one."""
    size = os.fstat(handle.fileno()).st_size
    handle.seek(0)
    start = handle.read(GLB_HEADER.size + CHUNK_HEADER.size)
    if len(start) < GLB_HEADER.size + CHUNK_HEADER.size:
        raise ValueError("it is cut off in its header")
    _, version, length = GLB_HEADER.unpack_from(start)
    if version != 2:
        raise ValueError(f"it is of version {version}, where 2 is expected")
    if length != size:
        raise ValueError(f"it has {size:,} bytes where its header says {length:,}")
    json_size, kind = CHUNK_HEADER.unpack_from(start, GLB_HEADER.size)
    if kind != JSON_CHUNK or len(start) + json_size > size:
        raise ValueError("it does not start with its JSON, or that is cut off")
    text = handle.read(json_size)
    header = handle.read(CHUNK_HEADER.size)
    if len(header) < CHUNK_HEADER.size:
        return text, None
    binary_size, kind = CHUNK_HEADER.unpack(header)
    binary = Buffer(handle, handle.tell(), binary_size)
    if binary.offset + binary.size > size:
        raise ValueError(f"its binary part of {binary.size:,} bytes is cut off")
    return text, binary if kind == BINARY_CHUNK else None


def _file_of(entry: Any, path: Path) -> Path | None:
    """The file that holds a buffer, which must be in the folder of `path`; None for one inside the JSON or a .glb."""
    if not isinstance(entry, dict) or "uri" not in entry or field(entry, "uri", str).startswith("data:"):
        return None
    uri = field(entry, "uri", str)
    if not unquote(uri).isprintable():
        raise ValueError(f"it has a buffer called {ascii(uri)[:60]}")
    folder = path.resolve().parent
    file = (folder / unquote(uri)).resolve()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or not file.is_relative_to(folder):
        raise ValueError(f"it has a buffer outside its folder, {ascii(uri)[:60]}")
    return file


def _buffer(entry: Any, file: Path | None, binary: Buffer | None, files: ExitStack) -> Buffer:
    """A buffer: the binary chunk, base64 inside the JSON, or another file."""
    size = natural(entry, "byteLength")
    if file is not None:
        handle = files.enter_context(opened(file))
        found = Buffer(handle, 0, os.fstat(handle.fileno()).st_size)
    elif "uri" in entry:
        kind, _, text = entry["uri"].partition(",")
        if not kind.endswith(";base64"):
            raise ValueError("it has a buffer inside its JSON that is not base64")
        data = base64.b64decode(text, validate=True)
        found = Buffer(io.BytesIO(data), 0, len(data))
    elif binary is None:
        raise ValueError("it has a buffer without bytes")
    else:
        found = binary
    if size > found.size:
        raise ValueError(f"a buffer has {found.size:,} of its {size:,} bytes")
    return Buffer(found.handle, found.offset, size)


def _local_transform(node: Any) -> np.ndarray:
    """(4, 4) float64, from a node to its parent."""
    if "matrix" in node:
        return _numbers(node, "matrix", 16).reshape(4, 4).T
    x, y, z, w = _numbers(node, "rotation", 4, (0, 0, 0, 1))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = rotation * _numbers(node, "scale", 3, (1, 1, 1))
    transform[:3, 3] = _numbers(node, "translation", 3, (0, 0, 0))
    return transform


def _numbers(owner: Any, name: str, count: int, default: tuple[float, ...] | None = None) -> np.ndarray:
    values = field(owner, name, list, None if default is None else list(default))
    if len(values) != count or not all(
        isinstance(value, int | float) and abs(value) <= _LARGEST_LENGTH for value in values
    ):
        raise ValueError(f"{name!r} is not a list of {count} numbers")
    return np.array(values, np.float64)
