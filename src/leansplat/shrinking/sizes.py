"""Sizes of files as people write them: `parse_bytes` reads "10 MB", `format_bytes` writes it.

kB, MB and GB are powers of 1,000, as on disks and in tables of results; KiB, MiB and GiB are powers of 1,024. A number
by itself is refused, since "10" could mean either bytes or megabytes, and a file of ten bytes is nobody's wish.
"""

from __future__ import annotations

import math
import re

from leansplat.errors import InputError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_LARGEST = 10**12
"""Bytes: more than any scene's file, so that more is a slip."""

_NUMBER = re.compile(r"([+-]?(?:nan|inf|infinity|[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?|[0-9]+\.))\s*([a-z]*)", re.ASCII)
_EXAMPLE = "give one such as 10MB, 800kB or 10MiB"


def parse_bytes(text: str) -> int:
    """Bytes that a text such as "10 MB", "1.5mb", "800kB" or "10MiB" says; a fraction of a byte is cut off.

    Raises:
        InputError: it is no number with a unit, or not from 1 byte to 1,000 GB.
    """
    found = _NUMBER.fullmatch(text.strip().lower())
    shown = repr(text if len(text) <= 40 else f"{text[:37]}...")
    if found is None:
        raise InputError(f"size {shown} is not a number with a unit; {_EXAMPLE}")
    number, unit = float(found[1]), found[2]
    if not unit and math.isfinite(number) and number > 0:
        raise InputError(f"size {shown} has no unit; {_EXAMPLE}")
    if unit and unit not in _UNITS:
        raise InputError(f"size {shown} has an unknown unit; {_EXAMPLE}")
    if math.isnan(number):
        raise InputError(f"size {shown} is not a number; {_EXAMPLE}")
    size = number * _UNITS.get(unit, 1)
    if size <= 0:
        raise InputError(f"size {shown} is not above zero; {_EXAMPLE}")
    if size < 1:
        raise InputError(f"size {shown} is less than a byte; {_EXAMPLE}")
    if size > _LARGEST:
        raise InputError(f"size {shown} is more than 1,000 GB, which no scene is; {_EXAMPLE}")
    return int(size)


def format_bytes(size: int) -> str:
    """A size with its decimal unit and at most three digits after the point's place: "812 B", "9.98 MB", "41.2 kB"."""
    for unit, bytes_in_unit in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_in_unit:
            value = size / bytes_in_unit
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:,.{digits}f} {unit}"
    return f"{size} B"
