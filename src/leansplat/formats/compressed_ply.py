"""PlayCanvas's compressed PLY: 16 bytes per Gaussian, and one more per number of spherical harmonics above degree 0.

Gaussians come in chunks of 256 near ones. A chunk has the ranges of its positions, scales and colours, and each
Gaussian has where in them it lies, in 8 to 11 bits. `encode` and `decode` go between numbers and those integers,
`write_encoded` and `unpack` between the integers and a file.

The layout, as PlayCanvas publishes it with its engine and with SuperSplat: a binary PLY with three elements,

    chunk   min_x min_y min_z max_x ... min_scale_x ... max_scale_x ... min_r min_g min_b max_r ...     18 float
    vertex  packed_position packed_rotation packed_scale packed_color                                     4 uint
    sh      f_rest_0 ...: all of red, of green, of blue; not in files of degree 0               9, 24 or 45 uchar

Position: x, y, z in 11, 10, 11 bits, the first highest. Scale: likewise, logarithms. Rotation: 2 bits for which of w,
x, y, z is largest, made positive and left out, and 10 bits, q / sqrt(2) + 1/2, for each of the others in that order.
Color: 8 bits each of red, green, blue and opacity; older files have colours in [0, 1] and no ranges of them. An entry
of sh is (f_rest / 8 + 1/2) * 256 rounded down, and read as the middle of its bin but for the first and last, which are
-4 and 4; so zero becomes 1/64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from leansplat.activation import color_of, logit_of, opacity_of, sh0_of, unit
from leansplat.arrays import WORLD, AnyScene, GaussianArrays, Origin, blocks, unfilled
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.chunks import AXES, CHUNK, arranged
from leansplat.formats.format import (
    Written,
    opened,
    refuse_nonfinite,
    report_nonfinite,
    row_blocks,
)
from leansplat.formats.known import COMPRESSED_PLY
from leansplat.formats.ply_body import row_type, vertex_readers
from leansplat.formats.ply_comments import comment_lines, say_antialiased, say_origin
from leansplat.formats.ply_header import LARGEST_HEADER, Element, Header, read_header

_RANGES = tuple(
    f"{end}_{part}{axis}"
    for part, axes in (("", "xyz"), ("scale_", "xyz"), ("", "rgb"))
    for end in ("min", "max")
    for axis in axes
)
_VERTEX = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_REST_COUNTS = (0, 9, 24, 45)
_TYPE_NAMES = {"f4": "float", "u4": "uint", "u1": "uchar"}

_LARGEST_LOG_SCALE = 20.0
"""Logarithms of scales are kept within this, so that none takes the precision of the 255 others in its chunk."""

_LARGEST_COLOR = 4.0
"""Likewise, colours are kept within this of grey."""

_OTHERS = np.array([(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)])
"""Per largest component of a quaternion, the ones that are stored."""

_SH_VALUES = np.array([-4.0, *((np.arange(1, 255) + 0.5) / 32 - 4), 4.0], np.float32)
"""What each byte of the element sh stands for."""


@dataclass(frozen=True)
class Encoded:
    """A scene as a file has it, N Gaussians in the order of the file.

    Args:
        order: (N,) int64; row i is Gaussian `order[i]` of the scene that was encoded, or if there is no such one, an
            invisible one that fills a chunk (see `chunks`).
        ranges: (ceil(N / 256), 3, 2, 3) float32: of positions, log scales and colours (0.5 + sh0 / (2 sqrt(pi))), the
            least and the largest in a chunk, per axis or colour.
        positions, scales: (N, 3) uint16, in 11, 10 and 11 bits, where in its chunk's range a number lies.
        largest: (N,) uint8, which component of a quaternion is largest, in the order w, x, y, z.
        rotations: (N, 3) uint16, the other components in 10 bits.
        colors: (N, 4) uint8: red, green and blue within the chunk's range, and opacity in [0, 1].
        shN: (N, K - 1, 3) uint8, coefficients of degree 1 and up, K = (degree + 1)^2.
        antialiased, comments, origin: as in `Gaussians`.
    """

    order: np.ndarray
    ranges: np.ndarray
    positions: np.ndarray
    scales: np.ndarray
    largest: np.ndarray
    rotations: np.ndarray
    colors: np.ndarray
    shN: np.ndarray
    antialiased: bool
    comments: tuple[str, ...]
    origin: Origin = WORLD

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def empty(
        cls, count: int, coefficients: int, *, antialiased: bool, comments: tuple[str, ...], origin: Origin
    ) -> Encoded:
        """Memory for `count` Gaussians with `coefficients` of degree 1 and up per colour, in the file's own order."""
        return cls(
            order=np.arange(count),
            ranges=np.empty((-(-count // CHUNK), 3, 2, 3), np.float32),
            positions=np.empty((count, 3), np.uint16),
            scales=np.empty((count, 3), np.uint16),
            largest=np.empty(count, np.uint8),
            rotations=np.empty((count, 3), np.uint16),
            colors=np.empty((count, 4), np.uint8),
            shN=np.empty((count, coefficients, 3), np.uint8),
            antialiased=antialiased,
            comments=comments,
            origin=origin,
        )


def encode(gaussians: AnyScene, *, order: np.ndarray | None = None) -> Encoded:
    """Quantise a scene whose parameters are all finite; chunks are filled in `order` (N,), by default as by `arranged`.

    Quaternions are normalised, log scales kept within +-20, colours within 4 of grey and coefficients of degree 1 and
    up within +-4.
    """
    gaussians = gaussians.arrays()
    if order is None:
        gaussians, order = arranged(gaussians)
    count, coefficients = gaussians.shN.shape[:2]
    encoded = Encoded.empty(
        count,
        coefficients,
        antialiased=gaussians.antialiased,
        comments=gaussians.comments,
        origin=gaussians.origin,
    )
    encoded.order[:] = order
    for part in blocks(count):  # each of whole chunks
        chunks = slice(part.start // CHUNK, -(-part.stop // CHUNK))
        block = gaussians[encoded.order[part]]
        ranged = (
            block.means.astype(np.float32),
            block.scales.astype(np.float32).clip(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE),
            color_of(block.sh0[:, 0]).astype(np.float32).clip(0.5 - _LARGEST_COLOR, 0.5 + _LARGEST_COLOR),
        )
        for kind, values in enumerate(ranged):
            firsts = np.arange(0, len(values), CHUNK)
            encoded.ranges[chunks, kind, 0] = np.minimum.reduceat(values, firsts)
            encoded.ranges[chunks, kind, 1] = np.maximum.reduceat(values, firsts)
        position, scale, color = (
            _fractions(values, encoded.ranges[chunks, kind]) for kind, values in enumerate(ranged)
        )
        encoded.positions[part] = _quantised(position, AXES)
        encoded.scales[part] = _quantised(scale, AXES)
        encoded.colors[part, :3] = _quantised(color, 8)
        encoded.colors[part, 3] = _quantised(opacity_of(block.opacities), 8)
        encoded.largest[part], encoded.rotations[part] = _smallest_three(unit(block.quats))
        encoded.shN[part] = np.floor(block.shN * 32 + 128).clip(0, 255)
    return encoded


def decode(encoded: Encoded, rows: np.ndarray | None = None) -> GaussianArrays:
    """The scene that a reader of the file sees, in its order, in float32; or only some of its rows."""
    count = len(encoded) if rows is None else len(rows)
    said = {"antialiased": encoded.antialiased, "comments": encoded.comments, "origin": encoded.origin}
    scene = unfilled(count, encoded.shN.shape[1], **said)
    for part in blocks(count):
        at = part if rows is None else rows[part]
        ranges = encoded.ranges[(np.arange(part.start, part.stop) if rows is None else rows[part]) // CHUNK]
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may have any range
            scene.means[part] = _within(encoded.positions[at], AXES, ranges[:, 0])
            scene.scales[part] = _within(encoded.scales[at], AXES, ranges[:, 1])
            scene.sh0[part, 0] = sh0_of(_within(encoded.colors[at, :3], 8, ranges[:, 2]))
        scene.opacities[part] = logit_of(encoded.colors[at, 3] / 255)
        scene.quats[part] = _quaternions(encoded.largest[at], encoded.rotations[at])
        scene.shN[part] = _SH_VALUES.take(encoded.shN[at])
    return scene


def write_encoded(encoded: Encoded, path: Path, *, overwrite: bool = False) -> None:
    """Write what `encode` made; errors as for `leansplat.files.replacing`."""
    count, coefficients = encoded.shN.shape[:2]
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"element chunk {len(encoded.ranges)}",
        *(f"property float {name}" for name in _RANGES),
        f"element vertex {count}",
        *(f"property uint {name}" for name in _VERTEX),
        *([f"element sh {count}"] if coefficients else []),
        *(f"property uchar f_rest_{k}" for k in range(3 * coefficients)),
        # After the elements, so that what tells this layout from others stays at the start of the file.
        *comment_lines(encoded.comments, encoded.antialiased, encoded.origin),
        "end_header",
    ]
    header = "".join(line + "\n" for line in lines).encode("utf-8", errors="backslashreplace")
    if len(header) > LARGEST_HEADER:
        raise SceneFileError(f"{path} cannot hold {len(header):,} bytes of comments; remove some.")
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(header)
        handle.write(encoded.ranges.astype("<f4").tobytes())
        for part in blocks(count):
            words = np.empty((part.stop - part.start, 4), "<u4")
            words[:, 0] = _joined(encoded.positions[part], AXES)
            words[:, 1] = _joined(np.column_stack([encoded.largest[part], encoded.rotations[part]]), (2, 10, 10, 10))
            words[:, 2] = _joined(encoded.scales[part], AXES)
            words[:, 3] = _joined(encoded.colors[part], (8, 8, 8, 8))
            handle.write(words.tobytes())
        for part in blocks(count):
            handle.write(encoded.shN[part].transpose(0, 2, 1).tobytes())


def unpack(path: Path) -> Encoded:
    """Read a file without decoding it.

    Raises:
        SceneFileError: the file is missing, damaged, of another layout, or not as long as its header says.
    """
    with opened(path) as handle:
        header = read_header(handle, path)
        elements = _elements(header, path)
        vertex_readers(handle, header, path, most=1)  # refuses a file of another size than its header says
        rest = len(elements["sh"].properties) if "sh" in elements else 0
        origin, comments = say_origin(header.comments)
        encoded = Encoded.empty(
            elements["vertex"].count,
            rest // 3,
            antialiased=say_antialiased(header.comments),
            comments=comments,
            origin=origin,
        )
        encoded.ranges[:, 2, 0], encoded.ranges[:, 2, 1] = 0, 1  # where a file has no ranges of colours
        ranges = encoded.ranges.reshape(-1, len(_RANGES))
        for part, rows in _rows(handle, header, elements["chunk"], path):
            for column, name in enumerate(_RANGES):
                if name in rows.dtype.names:
                    ranges[part, column] = rows[name]
        for part, rows in _rows(handle, header, elements["vertex"], path):
            position, rotation, scale, color = (rows[name].astype(np.uint32) for name in _VERTEX)
            encoded.positions[part] = _split(position, AXES)
            encoded.scales[part] = _split(scale, AXES)
            encoded.colors[part] = _split(color, (8, 8, 8, 8))
            quaternion = _split(rotation, (2, 10, 10, 10))
            encoded.largest[part], encoded.rotations[part] = quaternion[:, 0], quaternion[:, 1:]
        if rest:
            names = [entry.name for entry in elements["sh"].properties]
            columns = [names.index(f"f_rest_{color * (rest // 3) + k}") for k in range(rest // 3) for color in range(3)]
            for part, rows in _rows(handle, header, elements["sh"], path):
                table = rows.view(np.uint8).reshape(len(rows), rest)
                encoded.shN[part] = table.take(columns, axis=1).reshape(len(rows), rest // 3, 3)
    return encoded


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read a compressed PLY; arguments and errors as for `leansplat.formats.read`."""
    gaussians = decode(unpack(path))
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: AnyScene, path: Path, *, overwrite: bool = False) -> Written:
    """Write a compressed PLY; arguments and errors as for `leansplat.formats.write`."""
    gaussians = gaussians.arrays()
    refuse_nonfinite(gaussians, path)
    encoded = encode(gaussians)
    write_encoded(encoded, path, overwrite=overwrite)
    return Written(encoded.order, lambda rows: decode(encoded, rows))


FORMAT = COMPRESSED_PLY


def _fractions(values: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Where in their chunk's range, (chunks, 2, 3), values (n, 3) lie: [0, 1], and 0 where a range is a point."""
    low, high = (
        np.repeat(end, CHUNK, axis=0)[: len(values)].astype(np.float64) for end in (ranges[:, 0], ranges[:, 1])
    )
    return (values - low) / np.where(high > low, high - low, 1)


def _within(values: np.ndarray, bits: int | tuple[int, ...], ranges: np.ndarray) -> np.ndarray:
    """The numbers that quantised `values` (n, 3) stand for in ranges (n, 2, 3)."""
    fractions = values / _steps(bits)
    return ranges[:, 0] * (1 - fractions) + ranges[:, 1] * fractions


def _quantised(fractions: np.ndarray, bits: int | tuple[int, ...]) -> np.ndarray:
    return np.floor(fractions * _steps(bits) + 0.5).clip(0, _steps(bits)).astype(np.uint16)


def _steps(bits: int | tuple[int, ...]) -> np.ndarray:
    return 2.0 ** np.array(bits) - 1


def _smallest_three(quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which component of unit quaternions (n, 4) is largest, (n,), and the others in 10 bits, (n, 3)."""
    rows = np.arange(len(quats))
    largest = np.abs(quats).argmax(axis=1)
    sign = np.where(quats[rows, largest] < 0, -1, 1)
    others = quats[rows[:, None], _OTHERS[largest]] * sign[:, None]
    return largest, _quantised(others / np.sqrt(2) + 0.5, 10)


def _quaternions(largest: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """The inverse of `_smallest_three`: (n, 4) of unit length, but for integers that no writer makes."""
    rows = np.arange(len(largest))
    others = (rotations / _steps(10) - 0.5) * np.sqrt(2)
    quats = np.empty((len(largest), 4))
    quats[rows[:, None], _OTHERS[largest]] = others
    quats[rows, largest] = np.sqrt(np.maximum(0, 1 - np.square(others).sum(axis=1)))
    return quats


def _joined(parts: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """Columns of integers (n, P) put into one 32-bit integer each row, the first in the highest bits."""
    words = np.zeros(len(parts), np.uint32)
    for column, width in enumerate(bits):
        words = words << np.uint32(width) | parts[:, column]
    return words


def _split(words: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_joined`."""
    shifts = np.cumsum((0, *bits[:0:-1]))[::-1].astype(np.uint32)
    masks = (1 << np.array(bits, np.uint32)) - 1
    return (words[:, None] >> shifts) & masks


def _elements(header: Header, path: Path) -> dict[str, Element]:
    """The file's elements by name, if they are those of this layout and fit each other."""

    def refusal(what: str) -> SceneFileError:
        return SceneFileError(f"{path} is not a compressed PLY as PlayCanvas writes it: {what}; export it again.")

    if not header.byte_order:
        raise refusal("it is text")
    elements = {element.name: element for element in header.elements}
    for element in header.elements:
        if element.has_lists:
            raise refusal(f"its element {element.name!r} has lists")
    found = {name: {entry.name: entry.type for entry in element.properties} for name, element in elements.items()}
    rest = len(found.get("sh", {}))
    if rest not in _REST_COUNTS:
        raise refusal(f"its element 'sh' has {rest} properties where 9, 24 or 45 belong (SH degree 1 to 3)")
    wanted = {
        "chunk": dict.fromkeys(_RANGES if {*_RANGES[12:]} & found.get("chunk", {}).keys() else _RANGES[:12], "f4"),
        "vertex": dict.fromkeys(_VERTEX, "u4"),
        "sh": {f"f_rest_{k}": "u1" for k in range(rest)},
    }
    for name, properties in wanted.items():
        for entry, kind in properties.items():
            if found.get(name, {}).get(entry) != kind:
                raise refusal(f"its element {name!r} has no property {entry} of type {_TYPE_NAMES[kind]}")
    count, chunks = elements["vertex"].count, elements["chunk"].count
    if chunks != -(-count // CHUNK):
        raise refusal(f"it has {chunks:,} chunks for {count:,} Gaussians")
    if rest and elements["sh"].count != count:
        raise refusal(f"it has {elements['sh'].count:,} rows of spherical harmonics for {count:,} Gaussians")
    return elements


def _rows(handle: BinaryIO, header: Header, element: Element, path: Path) -> Iterator[tuple[slice, np.ndarray]]:
    """The rows of an element as structured arrays, a block at a time, and where they belong."""
    before = header.elements[: header.elements.index(element)]
    handle.seek(header.size + sum(other.count * other.smallest_row for other in before))
    return row_blocks(handle, row_type(element, header.byte_order), element.count, path)
