"""The rows of a PLY file as they are written: the layout of the original 3DGS code, with extra properties after it.

A scene may be given a part at a time, so that whoever writes a large one need not hold it: what all parts have in
common is a `RowLayout`, and the header comes first with the number of all rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leansplat.arrays import TENSOR_NAMES, WORLD, GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats.ply_body import BLOCK_BYTES
from leansplat.formats.ply_comments import comment_lines
from leansplat.formats.ply_header import LARGEST_HEADER, LONGEST_NAME, SCALAR_TYPES

NORMALS = ("nx", "ny", "nz")
POSITION = ("x", "y", "z")
_CENTRES, _STANDARD = "x y z", "standard columns"
"""Fields of a written row with the centre and with all else but extras; with spaces in them no extra has the name."""

REST = re.compile(r"f_rest_(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class RowLayout:
    """How the rows of a file are laid out, whatever their number.

    Args:
        path: the file, for messages.
        coefficients: of harmonics above degree 0.
        antialiased, comments: of the scene, for the header.
        extras: type of each extra property, in order; without normals.
        doubles: whether centres are doubles.
    """

    path: Path
    coefficients: int
    antialiased: bool
    comments: tuple[str, ...]
    extras: Mapping[str, np.dtype]
    doubles: bool

    @classmethod
    def of(cls, gaussians: GaussianArrays, path: Path) -> RowLayout:
        """The layout for a scene, or for all that have its degree, extras and kind of centres.

        Raises:
            SceneFileError: an extra's name or values do not fit into a PLY file.
        """
        extras = {name: _writable(name, values, path).dtype for name, values in gaussians.extras.items()}
        return cls(
            path,
            gaussians.shN.shape[1],
            gaussians.antialiased,
            gaussians.comments,
            {name: kind for name, kind in extras.items() if name not in NORMALS},
            gaussians.origin != WORLD and world_positions(gaussians).dtype == np.float64,
        )

    def header(self, count: int) -> bytes:
        """The header of a file of so many rows.

        Raises:
            SceneFileError: an extra's name does not fit into it, or it would be too long.
        """
        standard = _standard_names(self.coefficients)
        for name in self.extras:
            if name in (*POSITION, *standard) or REST.fullmatch(name) or not _writable_name(name):
                raise SceneFileError(
                    f"{self.path} cannot hold an extra called {name!r}; rename it to a free ASCII word."
                )
        lines = [
            "ply",
            "format binary_little_endian 1.0",
            *comment_lines(self.comments, self.antialiased),
            f"element vertex {count}",
            *(f"property {'double' if self.doubles else 'float'} {name}" for name in POSITION),
            *(f"property float {name}" for name in standard),
            *(f"property {_TYPE_NAMES[kind.str[1:]]} {name}" for name, kind in self.extras.items()),
            "end_header",
        ]
        header = "".join(line + "\n" for line in lines).encode("utf-8", errors="backslashreplace")
        if len(header) > LARGEST_HEADER:
            raise SceneFileError(f"{self.path} cannot hold {len(header):,} bytes of comments and extras; remove some.")
        return header

    def rows(self, gaussians: GaussianArrays) -> Iterator[memoryview]:
        """The bytes of a scene's rows, or of a part's, some rows at a time.

        Raises:
            SceneFileError: an extra's values do not fit into a PLY file.
        """
        extras = {name: _writable(name, values, self.path) for name, values in gaussians.extras.items()}
        normals = {name: extras.pop(name) for name in NORMALS if name in extras}
        parameters = {name: getattr(gaussians, name).astype(np.float32, copy=False) for name in TENSOR_NAMES}
        if gaussians.origin != WORLD:
            parameters["means"] = gaussians.world_means()
        row = np.dtype(
            [
                (_CENTRES, "<f8" if self.doubles else "<f4", (3,)),
                (_STANDARD, "<f4", (len(_standard_names(self.coefficients)),)),
                *((name, kind.newbyteorder("<")) for name, kind in self.extras.items()),
            ]
        )
        rows_in_block = max(1, BLOCK_BYTES // row.itemsize)
        for start in range(0, len(gaussians), rows_in_block):
            part = slice(start, min(start + rows_in_block, len(gaussians)))
            rows = np.zeros(part.stop - part.start, row)
            rows[_CENTRES] = parameters["means"][part]
            block = rows[_STANDARD]
            for column, name in enumerate(NORMALS):
                if name in normals:
                    block[:, column] = normals[name][part]
            block[:, 3:6] = parameters["sh0"][part, 0]
            for color in range(3):
                first = 6 + color * self.coefficients
                block[:, first : first + self.coefficients] = parameters["shN"][part, :, color]
            after = 6 + 3 * self.coefficients
            block[:, after] = parameters["opacities"][part]
            block[:, after + 1 : after + 4] = parameters["scales"][part]
            block[:, after + 4 : after + 8] = parameters["quats"][part]
            for name in self.extras:
                rows[name] = extras[name][part]
            yield rows.view(np.uint8).data


def world_positions(gaussians: GaussianArrays) -> np.ndarray:
    """(N, 3) centres in the world as a file has them: float32 where that rounds none of them, else float64."""
    exact = gaussians.world_means()
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    return rounded if np.array_equal(rounded, exact, equal_nan=True) else exact


def _standard_names(coefficients: int) -> list[str]:
    return [
        *(*NORMALS, "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{k}" for k in range(3 * coefficients)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


def _writable_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and re.fullmatch(r"[!-~]+", name) is not None


_TYPE_NAMES = {code: name for name, code in reversed(SCALAR_TYPES.items())}
"""NumPy type code -> the older of PLY's two names, which every reader knows."""


def _writable(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    """An extra in a type that PLY has, with every value as it was."""
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype in (np.int64, np.uint64):
        for code in ("i4", "u4"):
            limits = np.iinfo(code)
            if values.size == 0 or (values.min() >= limits.min and values.max() <= limits.max):
                return values.astype(code)
    if values.dtype.str[1:] not in _TYPE_NAMES:
        raise SceneFileError(f"{path} cannot hold the {values.dtype} values of extra {name!r}; convert them to float.")
    return values
