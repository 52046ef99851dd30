"""SOG in levels of detail (`lod-meta.json`), from which PlayCanvas's viewers stream what they need.

The scene lies in many SOG scenes beside the file, each of one level; 0 is the finest. A tree divides space, and its
leaves say which rows of which of them fill their part at each level. One level of all leaves is a whole scene, and the
environment, where there is one, belongs to each. As PlayCanvas's splat-transform 3.7 writes it:

    lodLevels, counts           how many levels, and Gaussians in each
    filenames, environment      SOG scenes, by paths from the folder of the file
    tree                        bound and children; in leaves lods: {"0": {file, offset, count}, ...}, file in filenames
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from leansplat.arrays import GaussianArrays, concatenate, empty
from leansplat.errors import SceneFileError
from leansplat.formats import sog
from leansplat.formats.format import opened
from leansplat.formats.gltf_document import field, item, natural

_NAME = "lod-meta.json"
_VERSION = 1
_LARGEST = 1 << 26
"""Bytes of a file; a leaf of half a million Gaussians has some 300."""

_log = logging.getLogger("leansplat")


def read(path: Path, *, drop_nonfinite: bool = False, level: int = 0) -> GaussianArrays:
    """Read one level as one scene; other arguments and errors as for `leansplat.formats.read`."""
    with _explained(path):
        content = _content(path)
        levels = natural(content, "lodLevels")
        if not 0 <= level < levels:
            raise SceneFileError(f"{path} has no level {level}; it has {levels}, from 0, the finest, on.")
        parts = _rows_of_level(content, level)
        count = sum(end - start for rows in parts.values() for start, end in rows)
        counts = field(content, "counts", list, [])
        if counts and item(counts, level) != count:
            raise ValueError(
                f"its leaves have {count:,} Gaussians of level {level}, and not {ascii(counts[level])[:40]}"
            )
        files = _files(content, path)
        scenes = [_rows(sog.read(item(files, file)), rows, files[file]) for file, rows in sorted(parts.items())]
        environment = _environment(content, path)
        if environment is not None:
            scenes.append(sog.read(environment))
        scene = concatenate(scenes) if scenes else empty()
    beside = "" if environment is None else ", and its environment"
    _log.warning("%s: level %d of %d was read, where 0 is the finest%s", path, level, levels, beside)
    return scene


def write(gaussians: GaussianArrays, path: Path, *, overwrite: bool = False) -> NoReturn:
    """Refuse: levels are several scenes, see `levels`."""
    raise SceneFileError(
        f"{path} would be SOG in levels of detail, which is made of several scenes by `leansplat shrink --ladder` "
        "(leansplat.formats.write_levels); write a .sog instead."
    )


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a lod-meta.json."""
    return head.lstrip().startswith(b"{") and b'"lodLevels"' in head


def files(path: Path) -> tuple[Path, ...]:
    """The file, and those of all levels and of the environment."""
    with _explained(path):
        content = _content(path)
        scenes = _files(content, path)
        environment = _environment(content, path)
    found = [path, *(file for scene in scenes for file in sog.files(scene))]
    return tuple(dict.fromkeys([*found, *(sog.files(environment) if environment is not None else ())]))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns a ValueError that says what is wrong into the sentence for the user."""
    try:
        yield
    except ValueError as error:
        raise SceneFileError(f"{path} is not a lod-meta.json of SOG scenes ({error}); export it again.") from error


def _content(path: Path) -> Any:
    with opened(path) as handle:
        text = handle.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} bytes")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its JSON is cut off or damaged") from None
    version = field(content, "version", int, _VERSION)
    if version != _VERSION:
        raise ValueError(f"it is of version {version}, where {_VERSION} is expected")
    return content


def _rows_of_level(content: Any, level: int) -> dict[int, list[tuple[int, int]]]:
    """The rows, from and to, that leaves have of each file at a level, in the order of the file."""
    found: dict[int, list[tuple[int, int]]] = {}
    waiting = [field(content, "tree", dict)]
    while waiting:
        node = waiting.pop()
        waiting += field(node, "children", list, [])
        leaf = field(node, "lods", dict, {})
        if str(level) in leaf:  # a leaf may have nothing at a coarse level
            start, count = natural(leaf[str(level)], "offset"), natural(leaf[str(level)], "count")
            found.setdefault(natural(leaf[str(level)], "file"), []).append((start, start + count))
    for file, rows in found.items():
        rows.sort()
        if any(later[0] < before[1] for before, later in pairwise(rows)):
            raise ValueError(f"two leaves have the same rows of file {file}")
    return found


def _rows(scene: GaussianArrays, rows: list[tuple[int, int]], file: Path) -> GaussianArrays:
    if rows[-1][1] > len(scene):
        raise ValueError(
            f"a leaf has rows up to {rows[-1][1]:,} of {file.parent.name}/{file.name}, which has {len(scene):,}"
        )
    if sum(end - start for start, end in rows) == len(scene):
        return scene
    return scene[np.concatenate([np.arange(*each) for each in rows])]


def _files(content: Any, path: Path) -> list[Path]:
    """The SOG scenes of all levels."""
    found = [_inside(name, path) for name in field(content, "filenames", list)]
    if len(set(found)) < len(found):
        raise ValueError("it names a file twice")
    return found


def _environment(content: Any, path: Path) -> Path | None:
    name = content.get("environment")
    return None if name is None else _inside(name, path)


def _inside(name: Any, path: Path) -> Path:
    """A file by its path from the folder of `path`, which it may not leave."""
    folder = path.parent.resolve()
    if not isinstance(name, str) or not name.isprintable() or not re.fullmatch(r"[^\\:]+", name):
        raise ValueError(f"it names a file {ascii(name)[:60]}")
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise ValueError(f"it names a file outside its folder, {ascii(name)[:60]}")
    return file
