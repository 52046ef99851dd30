"""`read_manifest`: a batch as a file of JSON lines, one scene each.

    {"input": "scans/hall.ply"}
    {"input": "scans/garden.ply", "capture": "photos/garden", "target": "10MB", "output": "web/garden.sog"}
    {"input": "scans/fox.ply", "target": {"max-drop": 0.1}, "options": {"minutes": 10, "floaters": true}}

Paths of inputs and captures are relative to the manifest, outputs to the folder of the batch. A line that is not
understood is refused with its number before anything begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from leansplat.batch.asked import Asked, name_of
from leansplat.errors import InputError
from leansplat.storage import checked, is_address, joined, parent

_KEYS = ("input", "capture", "target", "output", "options")
_LONGEST_LINE = 1 << 20
_SHARE = re.compile(r"\s*\d+(\.\d+)?\s*%\s*")
_OPTION = re.compile(r"[a-z][a-z-]*")


def read_manifest(path: Path, address: str | None = None) -> Iterator[Asked]:
    """The scenes of a manifest, in its order; empty lines count for nothing.

    Args:
        path: the file.
        address: where it was fetched from; its paths are then relative to that.

    Raises:
        InputError: a line is not understood, or there is none.
    """
    number = 0
    found = False
    try:
        with open(path, encoding="utf-8-sig") as file:
            while line := file.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise InputError(f"{path}:{number} is longer than a megabyte; give one scene a line")
                if line.strip():
                    found = True
                    yield _asked(line, address or str(path), f"{address or path}:{number}")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error.reason}); write it as JSON lines") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights") from error
    if not found:
        raise InputError(f'{path} names no scene; write one a line, such as {{"input": "scene.ply"}}')


def _asked(line: str, manifest: str, where: str) -> Asked:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); write one object a line") from error
    if not isinstance(values, dict):
        raise InputError(f'{where} is not an object; write one such as {{"input": "scene.ply"}}')
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise InputError(f"{where} has the key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    source = _address(values, "input", manifest, where)
    if source is None:
        raise InputError(f"{where} has no input; say which scene or capture it is about")
    name, suffix = _output(values.get("output"), source, where)
    return Asked(
        name=name,
        source=source,
        where=where,
        capture=_address(values, "capture", manifest, where),
        suffix=suffix,
        options=(*_target(values.get("target"), where), *_options(values.get("options"), "options", where)),
    )


def _address(values: Mapping[str, Any], key: str, manifest: str, where: str) -> str | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where} has {key} {value!r}; give a path")
    if is_address(value):
        return checked(value)
    if is_address(manifest):
        return checked(joined(parent(manifest), value))
    return str(Path(manifest).parent / value)


def _output(value: Any, source: str, where: str) -> tuple[str, str | None]:
    """Name and suffix of an output; the name is that of the input where none is given."""
    if value is None:
        return name_of(PurePosixPath(source.replace("\\", "/")).name), None
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where} has output {value!r}; give a path within the folder of the batch")
    place = PurePosixPath(value)
    if place.is_absolute() or ".." in place.parts or "\\" in value or ":" in value or not place.name:
        raise InputError(f"{where} has output {value!r}; give a path that stays within the folder of the batch")
    name = name_of(str(place))
    suffix = str(place)[len(name) :]
    if not PurePosixPath(name).name or name.endswith("/"):
        raise InputError(f"{where} has output {value!r}; give it a name before its suffix")
    return name, suffix or None


def _target(value: Any, where: str) -> tuple[str, ...]:
    """What an output is to reach, as options: "10MB" is a size, "25%" a share, 300000 a count; others say which."""
    if isinstance(value, str) and value:
        return ("--keep" if _SHARE.fullmatch(value) else "--size", value)
    if type(value) is int:
        return ("--count", str(value))
    if value is None or isinstance(value, dict):
        return _options(value, "target", where)
    raise InputError(
        f'{where} has target {value!r}; give a size such as "10MB", a share such as "25%", a count, or an object such '
        'as {"max-drop": 0.1}'
    )


def _options(value: Any, key: str, where: str) -> tuple[str, ...]:
    """Options of a command: an object of names and values, or a list of words as on the command line."""
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if not isinstance(value, dict):
        raise InputError(f'{where} has {key} {value!r}; give an object such as {{"steps": 500}}, or a list of words')
    words: list[str] = []
    for name, given in value.items():
        option = name.removeprefix("--").replace("_", "-")
        if not _OPTION.fullmatch(option):
            raise InputError(f"{where} has {key} with {name!r}; that is not the name of an option")
        if given is False or given is None:
            continue
        words.append(f"--{option}")
        if given is not True:
            words += [_word(each, name, where) for each in (given if isinstance(given, list) else [given])]
    return tuple(words)


def _word(value: Any, name: str, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"{where} has {name} {value!r}; give a number, text, true, or a list of these")
    return str(value)
