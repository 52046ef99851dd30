"""Scenes made ready for the page: as they are where its engine reads them well, else converted by our own formats.

The engine reads plain .ply, compressed .ply, SOG and its levels of detail. Everything else, and every .ply that has
more in it than the engine expects, becomes a .ply of the same numbers in a temporary folder. Positions in what the page
gets are relative to the scene's origin, which the page takes off its cameras in double precision.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from leansplat import formats
from leansplat.arrays import WORLD, GaussianArrays, Origin
from leansplat.errors import InputError
from leansplat.formats.format import opened
from leansplat.formats.ply_header import read_header

_LEVELS = "lod-meta.json"
_PLAIN_LINES = {b"comment", b"element", b"property", b"format", b"ply", b"end_header"}
_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class PreparedScene:
    """A scene as the page gets it.

    Args:
        name: what people call it.
        files: what is served, by its path from the folder of the first one, which is the scene's own.
        arrays: the scene, without Gaussians that are not finite; of a scene in levels of detail its coarsest one.
        gaussians: how many it has, in the finest level.
        bytes: of the files that were given.
        converted: whether `files` are not those.
        url: where the page finds the first of `files`.
    """

    name: str
    files: Mapping[str, Path]
    arrays: GaussianArrays
    gaussians: int
    bytes: int
    converted: bool
    url: str = ""

    @property
    def origin(self) -> Origin:
        return self.arrays.origin


def prepare_scene(path: str | os.PathLike[str], folder: Path) -> PreparedScene:
    """Read a scene, and convert it if the page's engine could not, or not as well.

    Args:
        path: a scene file or folder, as `leansplat.formats.read` takes it.
        folder: an empty one, for what is converted.

    Raises:
        SceneFileError: as `read` does.
        InputError: the scene has no Gaussians that can be drawn.
    """
    given = Path(path)
    file = formats.scene_path(given)
    files = formats.scene_files(file)
    size = formats.scene_bytes(file)
    level, count = _levels(file) if _is_streamed(file) else (0, None)
    arrays = formats.read_arrays(file, level=level).finite_equivalent()
    total = len(arrays) if count is None else count
    finite = arrays.finite()
    if not finite.any():
        raise InputError(f"{path} has no Gaussians with finite numbers; there is nothing to look at.")
    # Far out in float32 the engine's shaders would see single steps, so such scenes are moved.
    readable = bool(finite.all()) and arrays.origin == WORLD and _readable(file)
    arrays = arrays if finite.all() else arrays[finite]
    if readable:
        kept = {os.path.relpath(each, file.parent).replace(os.sep, "/"): each for each in files}
        if not any(name.startswith("../") for name in kept):
            first = _public_name(file)
            served = {first: file, **{name: each for name, each in kept.items() if each != file}}
            return PreparedScene(_name(given), served, arrays, total, size, False)
    if count is not None:
        arrays = formats.read_arrays(file).finite_equivalent()
        arrays = arrays[arrays.finite()]
    target = folder / "scene.ply"
    formats.write(replace(arrays, origin=WORLD, extras={}), target)
    if formats.format_of(file).name != "PLY":
        _log.warning("%s: viewers in browsers cannot read it; it is shown through a temporary .ply", given)
    return PreparedScene(_name(given), {"scene.ply": target}, arrays, total, size, True)


def distinct_names(scenes: list[PreparedScene]) -> list[str]:
    """The names of scenes, with a number where two have the same."""
    names = [scene.name for scene in scenes]
    return [
        f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)
    ]


def _name(path: Path) -> str:
    return path.name or path.resolve().name


def _is_streamed(file: Path) -> bool:
    if file.suffix != ".json":
        return False
    with opened(file) as handle:
        head = handle.read(4096)
    return head.lstrip().startswith(b"{") and b'"lodLevels"' in head


def _levels(file: Path) -> tuple[int, int]:
    """The coarsest level of a lod-meta.json, and how many Gaussians the finest has."""
    formats.scene_files(file)  # refuses what is none
    content = json.loads(file.read_bytes())
    counts = content.get("counts") or []
    levels = content["lodLevels"]
    return max(0, levels - 1), counts[0] if counts else len(formats.read_arrays(file))


def _public_name(file: Path) -> str:
    """What the engine knows a file's kind by, whatever people have called it."""
    if _is_streamed(file):
        return _LEVELS
    if file.suffix == ".json":
        return "meta.json"
    return "scene.sog" if _is_sog(file) else "scene.ply"


def _is_ply(file: Path) -> bool:
    with opened(file) as handle:
        return handle.read(3) == b"ply"


def _is_sog(file: Path) -> bool:
    with opened(file) as handle:
        return handle.read(2) == b"PK" and file.name.lower().endswith(".sog")


def _readable(file: Path) -> bool:
    """Whether the engine reads this file, and as we do."""
    if file.suffix == ".json" or _is_sog(file):
        return True
    if not _is_ply(file):
        return False
    with opened(file) as handle:
        header = read_header(handle, file)
        handle.seek(0)
        lines = handle.read(header.size).split(b"\n")
    if any(b"\r" in line or (line and line.split()[0] not in _PLAIN_LINES) for line in lines):
        return False
    names = [element.name for element in header.elements]
    if names[:1] == ["chunk"]:
        return True
    declared = [line.split()[1] for line in lines if line.startswith(b"property")]
    return b"format binary_little_endian 1.0" in lines and names == ["vertex"] and set(declared) == {b"float"}
