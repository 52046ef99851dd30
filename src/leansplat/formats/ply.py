"""INRIA-style PLY, the format every 3DGS tool writes: one vertex a Gaussian, one scalar property a number.

Reading takes any scalar types, any order of properties and all three encodings, checks the file's size against its
header before memory is taken, and moves cache-sized blocks of rows straight into the tensors. Writing gives the
little-endian float32 layout that the original 3DGS code writes, with extra properties after it. Centres are in world
units; where float32 would not hold them they are doubles.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import Format, opened, report_nonfinite
from leansplat.formats.ply_body import BLOCK_BYTES, Block, vertex_readers
from leansplat.formats.ply_comments import comment_lines, say_antialiased, say_origin
from leansplat.formats.ply_header import (
    LARGEST_HEADER,
    LONGEST_NAME,
    MAGIC,
    SCALAR_TYPES,
    Element,
    is_compressed,
    read_header,
)
from leansplat.formats.row_split import INFINITY, row_splitter
from leansplat.formats.surfels import log_thickness, report_flat
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians
from leansplat.origin import origin_of_scene

_NORMALS = ("nx", "ny", "nz")
_POSITION = ("x", "y", "z")
_CENTRES, _STANDARD = "x y z", "standard columns"
"""Fields of a written row with the centre and with all else but extras; with spaces in them no extra has the name."""

_EXACT = ("f4", "i2", "u2", "i1", "u1")
"""Types whose every number is a float32."""

_REST_COUNTS = {0: 0, 9: 1, 24: 2, 45: 3}
"""Number of f_rest_* properties -> SH degree."""

_log = logging.getLogger("leansplat")

_REST = re.compile(r"f_rest_(0|[1-9][0-9]*)")


def read(path: str | os.PathLike[str], *, drop_nonfinite: bool = False) -> Gaussians:
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
        float32 tensors on the CPU, contiguous.

    Raises:
        SceneFileError: the file is missing, not a PLY, not of Gaussians, damaged, or not as long as its header says.
    """
    path = Path(path)
    with opened(path) as handle:
        header = read_header(handle, path)
        vertex = next((element for element in header.elements if element.name == "vertex"), None)
        if vertex is None:
            raise SceneFileError(f"{path} has no element 'vertex', so no Gaussians; check which file it is.")
        layout = _Layout.of(vertex, path)
        readers = vertex_readers(handle, header, path)  # refuses a wrong count before the tensors are made
        tensors = {name: np.empty((vertex.count, len(columns)), np.float32) for name, columns in layout.columns.items()}
        # Normals are looked at but only copied where one is not zero; pages of np.zeros that stay zero cost nothing.
        extras = {
            name: (np.zeros if name in _NORMALS else np.empty)(vertex.count, code)
            for name, code in layout.extras.items()
        }
        finite = np.ones(vertex.count, np.bool_)
        # What float32 might round: where the centres lie decides how to hold them.
        exact = np.empty((vertex.count if layout.doubles else 0, 3), np.float64)
        with ThreadPoolExecutor(len(readers)) as threads:
            jobs = [threads.submit(_fill, blocks, layout, tensors, exact, extras, finite) for blocks in readers]
        written = set[str]().union(*(job.result() for job in jobs))
    if layout.flat:
        tensors["scales"][:, 2] = log_thickness(torch.from_numpy(tensors["scales"][:, :2])).numpy()
        report_flat(path)

    origin, comments = say_origin(header.comments)
    gaussians = Gaussians(
        means=torch.from_numpy(tensors["means"]),
        quats=torch.from_numpy(tensors["quats"]),
        scales=torch.from_numpy(tensors["scales"]),
        opacities=torch.from_numpy(tensors["opacities"]).view(vertex.count),
        sh0=torch.from_numpy(tensors["sh0"]).view(vertex.count, 1, 3),
        shN=torch.from_numpy(tensors["shN"]).view(vertex.count, tensors["shN"].shape[1] // 3, 3),
        antialiased=say_antialiased(header.comments),
        extras={
            name: torch.from_numpy(values)
            for name, values in extras.items()
            if name not in _NORMALS or (name in written and values.any())
        },
        comments=comments,
        origin=origin,
    )
    if layout.doubles and origin == WORLD:
        placed = torch.from_numpy(exact.any(axis=1))  # rows of zeros fill files up
        origin = origin_of_scene(torch.from_numpy(exact)[placed], gaussians.scales[placed])
        if origin != WORLD:
            gaussians = replace(gaussians, means=torch.from_numpy(exact - origin).float(), origin=origin)
    return report_nonfinite(gaussians, torch.from_numpy(finite), path, drop=drop_nonfinite)


def write(gaussians: Gaussians, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write an INRIA-style PLY file, binary little endian; it appears whole or not at all.

    Every parameter is a float32, in the order of the original 3DGS code; normals are zero unless `extras` has them. But
    x, y and z are doubles where a scene has an origin and float32 would round what they are in the world.
    Other extras follow in their own types (bool as uchar, half precision as float, 64-bit integers as int or uint).
    Comments are written back; those about anti-aliasing are made to agree with `gaussians.antialiased`.

    Raises:
        SceneFileError: an extra's name or values do not fit into a PLY file.
        InputError: as `leansplat.files.replacing` does.
    """
    path = Path(path)
    extras = {name: _writable(name, values, path) for name, values in gaussians.extras.items()}
    normals = {name: extras.pop(name) for name in _NORMALS if name in extras}
    parameters = {name: _on_cpu(getattr(gaussians, name)).to(torch.float32).numpy() for name in TENSOR_NAMES}
    if gaussians.origin != WORLD:
        parameters["means"] = world_positions(gaussians)
    standard = _standard_names(gaussians.shN.shape[1])
    header = _header(gaussians, parameters["means"].dtype, standard, extras, path)
    row = np.dtype(
        [
            (_CENTRES, parameters["means"].dtype.newbyteorder("<"), (3,)),
            (_STANDARD, "<f4", (len(standard),)),
            *((name, values.dtype.newbyteorder("<")) for name, values in extras.items()),
        ]
    )
    coefficients = gaussians.shN.shape[1]
    rows_in_block = max(1, BLOCK_BYTES // row.itemsize)
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(header)
        for start in range(0, len(gaussians), rows_in_block):
            part = slice(start, min(start + rows_in_block, len(gaussians)))
            rows = np.zeros(part.stop - part.start, row)
            rows[_CENTRES] = parameters["means"][part]
            block = rows[_STANDARD]
            for column, name in enumerate(_NORMALS):
                if name in normals:
                    block[:, column] = normals[name][part]
            block[:, 3:6] = parameters["sh0"][part, 0]
            for color in range(3):
                first = 6 + color * coefficients
                block[:, first : first + coefficients] = parameters["shN"][part, :, color]
            after = 6 + 3 * coefficients
            block[:, after] = parameters["opacities"][part]
            block[:, after + 1 : after + 4] = parameters["scales"][part]
            block[:, after + 4 : after + 8] = parameters["quats"][part]
            for name, values in extras.items():
                rows[name] = values[part]
            handle.write(rows.view(np.uint8).data)
    if parameters["means"].dtype == np.float64:
        _log.warning(
            "%s: x, y and z are doubles, because they are too large for float32; some viewers refuse them", path
        )


def world_positions(gaussians: Gaussians) -> np.ndarray:
    """(N, 3) centres in the world as a file has them: float32 where that rounds none of them, else float64."""
    exact: np.ndarray = _on_cpu(gaussians.world_means()).numpy()
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    return rounded if np.array_equal(rounded, exact, equal_nan=True) else exact


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a PLY file, and not of the compressed layout."""
    return head.startswith(MAGIC) and not is_compressed(head)


FORMAT = Format(name="PLY", suffixes=(".ply",), recognises=recognises, read=read, write=write)


@dataclass(frozen=True)
class _Layout:
    """Where a Gaussian's numbers are in a vertex row.

    Args:
        columns: per tensor, in the order of `TENSOR_NAMES`, the names of its properties; those of shN planar, as the
            file has them.
        first: per tensor, the index of its first property in rows as `numbers` returns them.
        uniform: whether all properties have one type and each tensor's follow one another in the file.
        doubles: whether centres have a type of which float32 cannot hold every number.
        normals: indices of the normals in the file's rows.
        extras: NumPy type code of each further property, normals among them.
        flat: whether there is no scale_2, in whose place scale_1 is read a second time.
    """

    columns: dict[str, list[str]]
    first: tuple[int, ...]
    uniform: bool
    doubles: bool
    normals: np.ndarray
    extras: dict[str, str]
    flat: bool

    @classmethod
    def of(cls, vertex: Element, path: Path) -> _Layout:
        index = {entry.name: position for position, entry in enumerate(vertex.properties)}
        rest = sum(1 for name in index if _REST.fullmatch(name))
        if rest not in _REST_COUNTS or any(f"f_rest_{k}" not in index for k in range(rest)):
            raise SceneFileError(
                f"{path} has {rest} properties f_rest_*, where f_rest_0 and on must be 0, 9, 24 or 45 (SH degree 0 to "
                "3) without a gap; export it again."
            )
        flat = "scale_1" in index and "scale_2" not in index
        columns = {
            "means": list(_POSITION),
            "quats": [f"rot_{k}" for k in range(4)],
            "scales": ["scale_0", "scale_1", "scale_1" if flat else "scale_2"],
            "opacities": ["opacity"],
            "sh0": [f"f_dc_{k}" for k in range(3)],
            "shN": [f"f_rest_{k}" for k in range(rest)],
        }
        needed = [name for names in columns.values() for name in names]
        missing = [name for name in needed if name not in index]
        if missing:
            raise SceneFileError(
                f"{path} is not a scene of Gaussians: its vertices lack the properties {', '.join(missing)}; "
                "check whether it is a mesh, a point cloud or another kind of PLY."
            )
        extras = {entry.name: entry.type for entry in vertex.properties if entry.name not in set(needed)}
        normals = np.array([index[name] for name in _NORMALS if name in index], np.int64)
        first = tuple(index[names[0]] if names else 0 for names in columns.values())
        consecutive = all(
            index[name] == start + offset
            for start, names in zip(first, columns.values(), strict=True)
            for offset, name in enumerate(names)
        )
        uniform = consecutive and len({entry.type for entry in vertex.properties}) == 1
        if not uniform:
            first = tuple(np.cumsum([0, *(len(names) for names in columns.values())])[:-1].tolist())
        doubles = any(entry.type not in _EXACT for entry in vertex.properties if entry.name in _POSITION)
        return cls(columns, first, uniform, doubles, normals, extras, flat)

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Structured rows as (n, P) float32 with each tensor's numbers side by side.

        Rows that are like this in the file are not copied.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # doubles out of range become infinity, which is reported
            if self.uniform:
                table = rows.view(rows.dtype[0]).reshape(len(rows), -1)
                return table.astype(np.float32, copy=False)
            names = [name for names in self.columns.values() for name in names]
            table = np.empty((len(rows), len(names)), np.float32)
            for column, name in enumerate(names):
                table[:, column] = rows[name]
        return table


def _fill(
    blocks: Iterator[Block],
    layout: _Layout,
    tensors: dict[str, np.ndarray],
    exact: np.ndarray,
    extras: dict[str, np.ndarray],
    finite: np.ndarray,
) -> set[str]:
    """Copy blocks of rows to where they belong in `tensors` (N, M) and `extras` (N,), and mark what is not `finite`.

    Centres go to `exact` (N, 3) too where float32 might round them.

    Returns:
        The extras that were copied: all but normals that are zero.
    """
    split = row_splitter(len(layout.columns["shN"]) // 3)
    bits = [values.view(np.uint32) for values in tensors.values()]
    usual = [name for name in extras if name not in _NORMALS]
    normals = [name for name in extras if name in _NORMALS]
    watched = layout.normals if layout.uniform else np.empty(0, np.int64)
    written = set(usual)
    for start, rows in blocks:
        part = slice(start, start + len(rows))
        numbers = layout.numbers(rows).view(np.uint32)
        largest, set_bits = split(numbers, layout.first, watched, *(values[part] for values in bits))
        if largest >= INFINITY:  # somewhere, perhaps in an extra
            for values in tensors.values():
                finite[part] &= np.isfinite(values[part]).all(axis=1)
        if set_bits or not layout.uniform:
            written.update(normals)
            for name in normals:
                extras[name][part] = rows[name]
        for name in usual:
            extras[name][part] = rows[name]
        if layout.doubles:
            for axis, name in enumerate(_POSITION):
                exact[part, axis] = rows[name]
    return written


def _standard_names(coefficients: int) -> list[str]:
    return [
        *(*_NORMALS, "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{k}" for k in range(3 * coefficients)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


def _header(
    gaussians: Gaussians, centres: np.dtype, standard: list[str], extras: dict[str, np.ndarray], path: Path
) -> bytes:
    for name in extras:
        if name in (*_POSITION, *standard) or _REST.fullmatch(name) or not _writable_name(name):
            raise SceneFileError(f"{path} cannot hold an extra called {name!r}; rename it to a free ASCII word.")
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        *comment_lines(gaussians.comments, gaussians.antialiased),
        f"element vertex {len(gaussians)}",
        *(f"property {_TYPE_NAMES[centres.str[1:]]} {name}" for name in _POSITION),
        *(f"property float {name}" for name in standard),
        *(f"property {_TYPE_NAMES[values.dtype.str[1:]]} {name}" for name, values in extras.items()),
        "end_header",
    ]
    header = "".join(line + "\n" for line in lines).encode("utf-8", errors="backslashreplace")
    if len(header) > LARGEST_HEADER:
        raise SceneFileError(f"{path} cannot hold {len(header):,} bytes of comments and extras; remove some.")
    return header


def _writable_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and re.fullmatch(r"[!-~]+", name) is not None


_TYPE_NAMES = {code: name for name, code in reversed(SCALAR_TYPES.items())}
"""NumPy type code -> the older of PLY's two names, which every reader knows."""


def _on_cpu(values: Tensor) -> Tensor:
    return values.detach().cpu()


def _writable(name: str, values: Tensor, path: Path) -> np.ndarray:
    """An extra in a type that PLY has, with every value as it was."""
    values = _on_cpu(values)
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.to(torch.float32)
    if values.dtype == torch.bool:
        values = values.to(torch.uint8)
    array: np.ndarray = values.numpy()
    if array.dtype in (np.int64, np.uint64):
        for code in ("i4", "u4"):
            limits = np.iinfo(code)
            if array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max):
                return array.astype(code)
    if array.dtype.str[1:] not in _TYPE_NAMES:
        raise SceneFileError(f"{path} cannot hold the {values.dtype} values of extra {name!r}; convert them to float.")
    return array
