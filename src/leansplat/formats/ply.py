"""INRIA-style PLY, the format every 3DGS tool writes: one vertex a Gaussian, one scalar property a number.

Reading takes any scalar types, any order of properties and all three encodings, checks the file's size against its
header before memory is taken, and moves cache-sized blocks of rows straight into the columns. Writing gives the
little-endian float32 layout that the original 3DGS code writes, with extra properties after it. Centres are in world
units; where float32 would not hold them they are doubles.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from leansplat.arrays import WORLD, AnyScene, GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import opened, report_nonfinite
from leansplat.formats.ply_body import Block, vertex_readers
from leansplat.formats.ply_comments import say_antialiased, say_origin
from leansplat.formats.ply_header import MAGIC, Element, Header, is_compressed, read_header
from leansplat.formats.ply_rows import NORMALS, POSITION, REST, RowLayout
from leansplat.formats.surfels import log_thickness, report_flat
from leansplat.origin import origin_of_scene

_EXACT = ("f4", "i2", "u2", "i1", "u1")
"""Types whose every number is a float32."""

_REST_COUNTS = {0: 0, 9: 1, 24: 2, 45: 3}
"""Number of f_rest_* properties -> SH degree."""

_log = logging.getLogger("leansplat")


def read(path: str | os.PathLike[str], *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read an INRIA-style PLY file.

    Properties that the format does not define become `extras` in their own types; so do normals, unless all are zero,
    which is what 3DGS writes. Quaternions keep their length. Comments are kept, and `SplatRenderMode: mip` or
    `antialiased 1` among them sets `antialiased`. Without scale_2, as 2DGS writes them, Gaussians become flat. Centres
    of another type than float that lie too far out for float32 are held relative to an origin near them.

    Args:
        path: the file.
        drop_nonfinite: remove Gaussians with NaN or infinite parameters; they are kept otherwise, and in both cases
            counted in a warning of the `leansplat` logger.

    Returns:
        float32 arrays, contiguous.

    Raises:
        SceneFileError: the file is missing, not a PLY, not of Gaussians, damaged, or not as long as its header says.
    """
    path = Path(path)
    with opened(path) as handle:
        header, layout = _understood(handle, path)
        readers = vertex_readers(handle, header, path)  # refuses a wrong count before memory is taken
        rows = _Rows(layout, header.element("vertex").count)
        with ThreadPoolExecutor(len(readers)) as threads:
            list(threads.map(rows.fill, readers))
    if layout.flat:
        report_flat(path)
    gaussians = rows.gaussians(header)
    if layout.doubles and gaussians.origin == WORLD:
        placed = rows.exact.any(axis=1)  # rows of zeros fill files up
        origin = origin_of_scene(rows.exact[placed], gaussians.scales[placed])
        if origin != WORLD:
            with np.errstate(over="ignore"):
                gaussians = replace(gaussians, means=(rows.exact - origin).astype(np.float32), origin=origin)
    return report_nonfinite(gaussians, rows.finite, path, drop=drop_nonfinite)


def stream(path: Path) -> Iterator[GaussianArrays] | None:
    """What `read` gives, a few rows at a time; None where all centres must be seen before one can be held.

    Raises:
        SceneFileError: as `read` does, at once or on the way.
    """
    with opened(path) as handle:
        _, layout = _understood(handle, path)
    return None if layout.doubles else _parts(path)


def _parts(path: Path) -> Iterator[GaussianArrays]:
    with opened(path) as handle:
        header, layout = _understood(handle, path)
        (reader,) = vertex_readers(handle, header, path, most=1)
        if layout.flat:
            report_flat(path)
        yield _Rows(layout, 0).gaussians(header)
        for _, block in reader:
            rows = _Rows(layout, len(block))
            rows.fill([(0, block)])
            yield rows.gaussians(header)


def _understood(handle: BinaryIO, path: Path) -> tuple[Header, _Layout]:
    """The header of a file of Gaussians, and where in its rows they are."""
    header = read_header(handle, path)
    vertex = next((element for element in header.elements if element.name == "vertex"), None)
    if vertex is None:
        raise SceneFileError(f"{path} has no element 'vertex', so no Gaussians; check which file it is.")
    return header, _Layout.of(vertex, path)


def write(gaussians: AnyScene, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write an INRIA-style PLY file, binary little endian; it appears whole or not at all.

    Every parameter is a float32, in the order of the original 3DGS code; normals are zero unless `extras` has them. But
    x, y and z are doubles where a scene has an origin and float32 would round what they are in the world.
    Other extras follow in their own types (bool as uchar, half precision as float, 64-bit integers as int or uint).
    Comments are written back; those about anti-aliasing are made to agree with `gaussians.antialiased`.

    Raises:
        SceneFileError: an extra's name or values do not fit into a PLY file.
        InputError: as `leansplat.files.replacing` does.
    """
    path, gaussians = Path(path), gaussians.arrays()
    layout = RowLayout.of(gaussians, path)
    header = layout.header(len(gaussians))
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(header)
        for rows in layout.rows(gaussians):
            handle.write(rows)
    if layout.doubles:
        _log.warning(
            "%s: x, y and z are doubles, because they are too large for float32; some viewers refuse them", path
        )


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a PLY file, and not of the compressed layout."""
    return head.startswith(MAGIC) and not is_compressed(head)


@dataclass(frozen=True)
class _Layout:
    """Where a Gaussian's numbers are in a vertex row.

    Args:
        columns: per array, in the order of `TENSOR_NAMES`, the names of its properties; those of shN coefficient by
            coefficient, where files have them colour by colour.
        places: per array, which columns of `numbers` they are.
        uniform: whether all properties have one type.
        doubles: whether centres have a type of which float32 cannot hold every number.
        normals: indices of the normals in the file's rows.
        extras: NumPy type code of each further property, normals among them.
        flat: whether there is no scale_2, in whose place scale_1 is read a second time.
    """

    columns: dict[str, list[str]]
    places: tuple[slice | np.ndarray, ...]
    uniform: bool
    doubles: bool
    normals: np.ndarray
    extras: dict[str, str]
    flat: bool

    @classmethod
    def of(cls, vertex: Element, path: Path) -> _Layout:
        index = {entry.name: position for position, entry in enumerate(vertex.properties)}
        rest = sum(1 for name in index if REST.fullmatch(name))
        if rest not in _REST_COUNTS or any(f"f_rest_{k}" not in index for k in range(rest)):
            raise SceneFileError(
                f"{path} has {rest} properties f_rest_*, where f_rest_0 and on must be 0, 9, 24 or 45 (SH degree 0 to "
                "3) without a gap; export it again."
            )
        flat = "scale_1" in index and "scale_2" not in index
        columns = {
            "means": list(POSITION),
            "quats": [f"rot_{k}" for k in range(4)],
            "scales": ["scale_0", "scale_1", "scale_1" if flat else "scale_2"],
            "opacities": ["opacity"],
            "sh0": [f"f_dc_{k}" for k in range(3)],
            "shN": [f"f_rest_{color * (rest // 3) + k}" for k in range(rest // 3) for color in range(3)],
        }
        needed = [name for names in columns.values() for name in names]
        missing = [name for name in needed if name not in index]
        if missing:
            raise SceneFileError(
                f"{path} is not a scene of Gaussians: its vertices lack the properties {', '.join(missing)}; "
                "check whether it is a mesh, a point cloud or another kind of PLY."
            )
        extras = {entry.name: entry.type for entry in vertex.properties if entry.name not in set(needed)}
        normals = np.array([index[name] for name in NORMALS if name in index], np.int64)
        uniform = len({entry.type for entry in vertex.properties}) == 1
        order = index if uniform else {name: column for column, name in enumerate(dict.fromkeys(needed))}
        places = tuple(_place([order[name] for name in names]) for names in columns.values())
        doubles = any(entry.type not in _EXACT for entry in vertex.properties if entry.name in POSITION)
        return cls(columns, places, uniform, doubles, normals, extras, flat)

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Structured rows as (n, P) float32, not copied where all are of that type in the file."""
        with np.errstate(over="ignore", invalid="ignore"):  # doubles out of range become infinity, which is reported
            if self.uniform:
                table = rows.view(rows.dtype[0]).reshape(len(rows), -1)
                return table.astype(np.float32, copy=False)
            names = list(dict.fromkeys(name for names in self.columns.values() for name in names))
            table = np.empty((len(rows), len(names)), np.float32)
            for column, name in enumerate(names):
                table[:, column] = rows[name]
        return table


def _place(columns: list[int]) -> slice | np.ndarray:
    """Columns as NumPy takes them fastest: a slice where they follow one another."""
    first = columns[0] if columns else 0
    consecutive = columns == list(range(first, first + len(columns)))
    return slice(first, first + len(columns)) if consecutive else np.array(columns, np.int64)


class _Rows:
    """Memory for some rows of a file, split into the arrays of a scene.

    Args:
        layout: of the file.
        count: of rows.
    """

    def __init__(self, layout: _Layout, count: int) -> None:
        self._layout = layout
        self._arrays = {name: np.empty((count, len(names)), np.float32) for name, names in layout.columns.items()}
        # Normals are looked at but only copied where one is not zero; pages of np.zeros that stay zero cost nothing.
        self._extras = {
            name: (np.zeros if name in NORMALS else np.empty)(count, code) for name, code in layout.extras.items()
        }
        self.finite = np.ones(count, bool)
        # What float32 might round: where the centres lie decides how to hold them.
        self.exact = np.empty((count if layout.doubles else 0, 3), np.float64)

    def fill(self, blocks: Iterable[Block]) -> None:
        """Copy blocks of the file's rows to where they belong, and mark what is not `finite`."""
        layout = self._layout
        usual = [name for name in self._extras if name not in NORMALS]
        normals = [name for name in self._extras if name in NORMALS]
        for start, rows in blocks:
            part = slice(start, start + len(rows))
            numbers = layout.numbers(rows)
            for values, columns in zip(self._arrays.values(), layout.places, strict=True):
                if isinstance(columns, slice):
                    values[part] = numbers[:, columns]
                else:
                    numbers.take(columns, axis=1, out=values[part], mode="clip")
            if not np.isfinite(numbers).all():  # somewhere, perhaps in an extra
                for values in self._arrays.values():
                    self.finite[part] &= np.isfinite(values[part]).all(axis=1)
            if layout.flat:
                scales = self._arrays["scales"][part]
                scales[:, 2] = log_thickness(scales[:, :2])
            if not layout.uniform or numbers.view(np.uint32)[:, layout.normals].any():
                for name in normals:
                    self._extras[name][part] = rows[name]
            for name in usual:
                self._extras[name][part] = rows[name]
            if layout.doubles:
                for axis, name in enumerate(POSITION):
                    self.exact[part, axis] = rows[name]

    def gaussians(self, header: Header) -> GaussianArrays:
        """The scene, with what the header says; normals are among its extras where one is not zero."""
        count = len(self.finite)
        origin, comments = say_origin(header.comments)
        return GaussianArrays(
            means=self._arrays["means"],
            quats=self._arrays["quats"],
            scales=self._arrays["scales"],
            opacities=self._arrays["opacities"].reshape(count),
            sh0=self._arrays["sh0"].reshape(count, 1, 3),
            shN=self._arrays["shN"].reshape(count, self._arrays["shN"].shape[1] // 3, 3),
            antialiased=say_antialiased(header.comments),
            extras={name: values for name, values in self._extras.items() if name not in NORMALS or values.any()},
            comments=comments,
            origin=origin,
        )
