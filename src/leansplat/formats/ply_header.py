"""The text header of a PLY file: what elements follow it, what their rows are made of, and where the first row starts.

A header is untrusted input. It is looked for in the first mebibyte only, every line must be one the format defines, and
nothing is allocated here: the caller compares the counts with the size of the file first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from leansplat.errors import SceneFileError

MAGIC = (b"ply\n", b"ply\r")
LARGEST_HEADER = 1 << 20
"""Bytes within which `end_header` must come; an INRIA header has about 1,500."""
LONGEST_NAME = 255
"""Characters an element's or a property's name may have."""

SCALAR_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}
"""PLY's names of scalar types, old and new, as NumPy type codes without byte order."""

_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class Property:
    """One column of an element.

    Args:
        name: what the file calls it.
        type: NumPy type code of the value, or of a list's entries, without byte order.
        length_type: type code of a list's length; None for a scalar.
    """

    name: str
    type: str
    length_type: str | None = None


@dataclass(frozen=True)
class Element:
    """A table in the file: `count` rows with the same properties."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_lists(self) -> bool:
        return any(entry.length_type is not None for entry in self.properties)

    @property
    def smallest_row(self) -> int:
        """Bytes a binary row has at least: exactly this many when there are no lists."""
        return sum(np.dtype(entry.length_type or entry.type).itemsize for entry in self.properties)


@dataclass(frozen=True)
class Header:
    """A parsed header.

    Args:
        byte_order: "<", ">" or, for an ascii file, "".
        elements: the tables that follow, in the order of the file.
        comments: text of the comment lines; an `obj_info` line is kept as a comment that starts with that word.
        size: bytes of the header, and so where the first row starts.
    """

    byte_order: str
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    size: int

    def element(self, name: str) -> Element:
        """The element called `name`; KeyError when the file has none."""
        for element in self.elements:
            if element.name == name:
                return element
        raise KeyError(name)


def is_compressed(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a PLY of the layout in `leansplat.formats.compressed_ply`."""
    return head.startswith(MAGIC) and b"element chunk " in head and b" packed_position" in head


def read_header(handle: BinaryIO, path: Path) -> Header:
    """Parse the header at the start of `handle`; `path` is for messages.

    Raises:
        SceneFileError: not a PLY file, no end of the header within 1 MiB, or a line the format does not define.
    """
    handle.seek(0)
    start = handle.read(LARGEST_HEADER)
    if not start.startswith(MAGIC):
        raise SceneFileError(f"{path} is not a PLY file (it does not start with a line 'ply'); check which file it is.")
    # Lines end with LF, CR LF or, in files from old Macs, CR; the first line tells, so data bytes are never guessed at.
    line_end = b"\r" if start.startswith(b"ply\r") and not start.startswith(b"ply\r\n") else b"\n"
    end = re.search(rb"\rend_header[ \t]*\r" if line_end == b"\r" else rb"\nend_header[ \t]*\r?\n", start)
    if end is None:
        raise SceneFileError(
            f"{path} has no line 'end_header' in its first {len(start):,} bytes: its header is cut off or damaged; "
            "copy or export the file again."
        )
    lines = start[: end.start()].split(line_end)[1:]
    return _Parser(path).parse([line.rstrip(b"\r") for line in lines], size=end.end())


class _Parser:
    """Collects what the header's lines say, one keyword after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.byte_order: str | None = None
        self.elements: list[tuple[str, int, dict[str, Property]]] = []
        self.comments: list[str] = []

    def parse(self, lines: list[bytes], size: int) -> Header:
        for number, line in enumerate(lines, start=2):
            words = line.split()
            keyword = words[0] if words else b""
            if keyword == b"comment":
                self.comments.append(_text(line.lstrip()[len(b"comment ") :]))
            elif keyword == b"obj_info":
                self.comments.append(_text(line.strip()))
            elif keyword == b"format":
                self._format(words, number)
            elif keyword == b"element":
                self._element(words, number)
            elif keyword == b"property":
                self._property(words, number)
            else:
                raise self._error(number, f"is not a PLY header line ({_shown(line)})")
        if self.byte_order is None:
            raise SceneFileError(f"{self.path} has no line 'format' in its header; export the file again.")
        elements = tuple(Element(name, count, tuple(properties.values())) for name, count, properties in self.elements)
        return Header(self.byte_order, elements, tuple(self.comments), size)

    def _format(self, words: list[bytes], number: int) -> None:
        name = words[1].decode("latin-1") if len(words) > 1 else ""
        if len(words) != 3 or name not in _BYTE_ORDERS or words[2] != b"1.0":
            raise self._error(number, f"is not one of the formats {', '.join(_BYTE_ORDERS)} in version 1.0")
        if self.byte_order is not None or self.elements:
            raise self._error(number, "gives the format a second time or after the first element")
        self.byte_order = _BYTE_ORDERS[name]

    def _element(self, words: list[bytes], number: int) -> None:
        # 18 digits are more rows than any disk holds, and a bound that keeps Python's integer parser quick.
        if len(words) != 3 or not re.fullmatch(rb"[0-9]{1,18}", words[2]):
            raise self._error(number, "is not 'element NAME COUNT'")
        name = self._name(words[1], number)
        if any(name == other for other, _, _ in self.elements):
            raise self._error(number, f"declares the element {name!r} a second time")
        self.elements.append((name, int(words[2]), {}))

    def _property(self, words: list[bytes], number: int) -> None:
        if not self.elements:
            raise self._error(number, "is a property before the first element")
        types = [word.decode("latin-1") for word in words[1:-1]]
        is_list = len(types) == 3 and types[0] == "list"
        if not is_list and len(types) != 1:
            raise self._error(number, "is not 'property TYPE NAME' or 'property list TYPE TYPE NAME'")
        for scalar in types[1:] if is_list else types:
            if scalar not in SCALAR_TYPES:
                raise self._error(number, f"names a type {scalar!r} that PLY does not have")
        codes = [SCALAR_TYPES[scalar] for scalar in (types[1:] if is_list else types)]
        if is_list and codes[0].startswith("f"):
            raise self._error(number, "gives a list a length that is not an integer")
        name = self._name(words[-1], number)
        properties = self.elements[-1][2]
        if name in properties:
            raise self._error(number, f"declares the property {name!r} a second time")
        properties[name] = Property(name, codes[-1], codes[0] if is_list else None)

    def _name(self, word: bytes, number: int) -> str:
        name = word.decode("latin-1")
        if not name.isascii() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise self._error(number, f"has a name that is not plain, short ASCII ({_shown(word)})")
        return name

    def _error(self, number: int, what: str) -> SceneFileError:
        return SceneFileError(f"{self.path}: line {number} of the header {what}; export the file again.")


def _text(line: bytes) -> str:
    """A comment as text; tools write UTF-8, and older ones Latin-1, which can always be decoded."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _shown(line: bytes) -> str:
    shown = ascii(line[:40].decode("latin-1"))
    return shown if len(line) <= 40 else shown + "..."
