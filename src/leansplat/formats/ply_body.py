"""The rows that follow a PLY header: where each element starts, and the vertex rows block by block.

Binary elements are located before anything is read, so that a file whose size and header disagree is refused at once;
ascii ones are met line by line, after a check that the file could hold that many values at all.
"""

from __future__ import annotations

import io
import itertools
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeAlias

import numpy as np

from leansplat.errors import SceneFileError
from leansplat.formats.ply_header import Element, Header

BLOCK_BYTES = 1 << 18
"""Bytes of vertex rows handled at once: they and what they become stay in a core's cache."""

_WORTH_TWO_THREADS = 1 << 23
"""Bytes of vertex rows from which a second thread pays."""

Block: TypeAlias = tuple[int, np.ndarray]
"""Index of the first row and the rows."""


def vertex_blocks(handle: BinaryIO, header: Header, path: Path) -> Iterator[np.ndarray]:
    """The rows of the vertex element in order, some at a time, and once an empty block when there are none.

    Args:
        header: has a vertex element.

    Yields:
        Structured arrays with a field per property, in the file's types and byte order; each may be overwritten by the
        next.

    Raises:
        SceneFileError: as `vertex_readers` does.
    """
    (reader,) = vertex_readers(handle, header, path, most=1)
    yield np.empty(0, row_type(header.element("vertex"), header.byte_order))
    for _, rows in reader:
        yield rows


def vertex_readers(handle: BinaryIO, header: Header, path: Path, *, most: int = 2) -> list[Iterator[Block]]:
    """Iterators that share out the vertex rows; the file's size is checked before this returns.

    Together they give every row once, and each may be used by a thread of its own. An ascii file has only one, and can
    only be checked to its end once the last block has been taken.

    Args:
        header: has a vertex element.
        most: how many iterators to return at most; fewer where more do not pay.

    Returns:
        Iterators over (index of the first row, structured array with a field per property in the file's types and byte
        order). An iterator overwrites a block with its next.

    Raises:
        SceneFileError: the file is shorter or longer than its header says, a vertex has no properties or lists, or an
            ascii value is not what it should be.
    """
    vertex = header.element("vertex")
    lists = [entry.name for entry in vertex.properties if entry.length_type is not None]
    if lists or not vertex.properties:
        raise SceneFileError(
            f"{path} has {f'a list property {lists[0]!r}' if lists else 'no properties'} in its vertex element, where "
            "only single values are understood; export it again."
        )
    if not header.byte_order:
        _check_ascii_size(handle, header, path)
        return [_ascii_blocks(handle, header, path)]
    rows = _BinaryRows(handle, header, _locate_vertices(handle, header, path), path)
    wanted = 2 if rows.count * rows.type.itemsize >= _WORTH_TWO_THREADS and (os.cpu_count() or 1) > 1 else 1
    return [rows.blocks() for _ in range(min(wanted, most))]


def row_type(element: Element, byte_order: str) -> np.dtype:
    """The structured type of one row of an element without lists."""
    return np.dtype([(entry.name, byte_order + entry.type) for entry in element.properties])


def _locate_vertices(handle: BinaryIO, header: Header, path: Path) -> int:
    """Position of the first vertex row of a binary file that is exactly as long as its header says."""
    file_size = os.fstat(handle.fileno()).st_size
    position = vertices = header.size
    for element in header.elements:
        if element.name == "vertex":
            vertices = position
        position = _binary_end(handle, header, element, position, file_size, path)
    handle.seek(position)
    if file_size - position > _TOLERATED_PADDING or handle.read(_TOLERATED_PADDING).strip():
        raise SceneFileError(
            f"{path} goes on for {file_size - position:,} bytes after what its header describes; export it again."
        )
    return vertices


class _BinaryRows:
    """The vertex rows of a binary file, handed out in blocks to whichever thread asks next."""

    def __init__(self, handle: BinaryIO, header: Header, position: int, path: Path) -> None:
        element = header.element("vertex")
        self.type = row_type(element, header.byte_order)
        self.count = element.count
        self.handle = handle
        self.path = path
        self.next_row = 0
        self.lock = threading.Lock()
        handle.seek(position)

    def blocks(self) -> Iterator[Block]:
        buffer = np.empty(min(self.count, max(1, BLOCK_BYTES // self.type.itemsize)), self.type)
        while True:
            with self.lock:
                start = self.next_row
                rows = buffer[: self.count - start]
                self.next_row += len(rows)
                if len(rows) == 0:
                    return
                if self.handle.readinto(rows.view(np.uint8).data) != rows.nbytes:  # type: ignore[attr-defined]
                    raise SceneFileError(f"{self.path} became shorter while it was read; try again.")
            yield start, rows


_TOLERATED_PADDING = 16
"""Bytes of white space a binary file may end with; some tools add a line end."""


def _binary_end(handle: BinaryIO, header: Header, element: Element, start: int, file_size: int, path: Path) -> int:
    """Position after the last row of `element`, whose first row is at `start`."""
    smallest = element.count * element.smallest_row
    if start + smallest > file_size:
        _refuse_short(path, element, smallest, file_size - start)
    if not element.has_lists or element.count == 0:
        return start + smallest

    # Only walking from length to length can tell where rows with lists end.
    steps = [
        (struct.Struct(header.byte_order + _STRUCT_CODES[entry.length_type]), np.dtype(entry.type).itemsize)
        if entry.length_type is not None
        else (None, np.dtype(entry.type).itemsize)
        for entry in element.properties
    ]
    position = start
    with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for row in range(element.count):
            for length_code, item_size in steps:
                if length_code is None:
                    position += item_size
                    continue
                if position + length_code.size > file_size:
                    _refuse_short(path, element, position + length_code.size - start, file_size - start)
                (length,) = length_code.unpack_from(data, position)
                if length < 0:
                    raise SceneFileError(
                        f"{path} has a list of {length} entries in row {row} of element {element.name!r}; "
                        "export it again."
                    )
                position += length_code.size + length * item_size
            if position > file_size:
                _refuse_short(path, element, position - start, file_size - start)
    return position


_STRUCT_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}


def _refuse_short(path: Path, element: Element, needed: int, available: int) -> NoReturn:
    raise SceneFileError(
        f"{path} is cut off or its header is wrong: {element.count:,} rows of element {element.name!r} need at least "
        f"{needed:,} bytes where {max(available, 0):,} are left; copy or export the file again."
    )


def _check_ascii_size(handle: BinaryIO, header: Header, path: Path) -> None:
    available = os.fstat(handle.fileno()).st_size - header.size
    for element in header.elements:
        # A value takes a character and a separator; the last separator may be missing.
        needed = max(0, 2 * element.count * len(element.properties) - 1)
        if needed > available:
            _refuse_short(path, element, needed, available)


def _ascii_blocks(handle: BinaryIO, header: Header, path: Path) -> Iterator[Block]:
    handle.seek(header.size)
    text = io.TextIOWrapper(handle, encoding="latin-1", newline=None)
    lines = (words for words in map(str.split, text) if words)
    for element in header.elements:
        count = element.count if element.properties else 0
        if element.name == "vertex":
            yield from _ascii_rows(lines, element, path)
        else:
            found = sum(1 for _ in itertools.islice(lines, count))
            if found != count:
                _refuse_few_lines(path, element, found)
    if next(lines, None) is not None:
        raise SceneFileError(f"{path} goes on after the last row its header describes; export it again.")


def _ascii_rows(lines: Iterator[list[str]], element: Element, path: Path) -> Iterator[Block]:
    columns = len(element.properties)
    rows = row_type(element, "")
    rows_in_block = max(1, BLOCK_BYTES // rows.itemsize)
    for start in range(0, element.count, rows_in_block):
        wanted = min(rows_in_block, element.count - start)
        taken = list(itertools.islice(lines, wanted))
        for row, words in enumerate(taken, start=start):
            if len(words) != columns:
                raise SceneFileError(
                    f"{path} has {len(words)} values in row {row} of element {element.name!r} where its header names "
                    f"{columns}; export it again."
                )
        if len(taken) < wanted:
            _refuse_few_lines(path, element, start + len(taken))
        values = _numbers(list(itertools.chain.from_iterable(taken)), path).reshape(len(taken), columns)
        block = np.empty(len(taken), rows)
        for index, entry in enumerate(element.properties):
            column = values[:, index]
            if entry.type[0] != "f":
                _check_integers(column, entry.type, entry.name, path)
            with np.errstate(over="ignore"):  # 1e300 in a float column becomes infinity and is reported as such
                block[entry.name] = column
        yield start, block


def _numbers(words: list[str], path: Path) -> np.ndarray:
    try:
        if any("_" in word for word in words):  # Python reads 1_000 as a number, PLY does not
            raise ValueError
        return np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        wrong = next(word for word in words if "_" in word or not _is_number(word))
        raise SceneFileError(f"{path} has {wrong[:40]!r} where a number should be; export it again.") from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_integers(values: np.ndarray, type_code: str, name: str, path: Path) -> None:
    limits = np.iinfo(type_code)
    fits = (values >= limits.min) & (values <= limits.max) & (values == np.trunc(values))
    if not fits.all():
        wrong = values[~fits][0]
        raise SceneFileError(
            f"{path} has {wrong:g} in property {name!r}, whose type only holds integers from {limits.min} to "
            f"{limits.max}; export it again."
        )


def _refuse_few_lines(path: Path, element: Element, found: int) -> NoReturn:
    raise SceneFileError(
        f"{path} is cut off or its header is wrong: it has {found:,} of the {element.count:,} rows of element "
        f"{element.name!r}; copy or export the file again."
    )
