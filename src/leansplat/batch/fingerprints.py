"""`fingerprint`: whether a file or folder is still the one that it was, by the sizes and times of its files.

That is what `make` goes by. It takes no time worth speaking of for a thousand scenes of a gigabyte, which hashing their
bytes would; and a copy that keeps its times is taken for the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from leansplat.errors import LeansplatError
from leansplat.formats import RUN_SCENE, scene_files

_OURS = ".leansplat"
"""What names of locks and unfinished files begin with."""
_RUN = ("config.json", RUN_SCENE)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """A short text that is another one when a file, or any file in a folder, has changed; "" where there is none.

    Of a scene that is made of several files all count, and of a run folder its scene and its settings.
    """
    path = Path(path)
    lines = []
    for file in _files(path):
        try:
            status = file.stat()
        except OSError:
            continue
        lines.append(f"{os.path.relpath(file, path.parent)}\0{status.st_size}\0{status.st_mtime_ns}\n")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()[:32] if lines else ""


def size_of(path: str | os.PathLike[str]) -> int | None:
    """Bytes of a scene, of a file, or of all files in a folder; None where there is none."""
    sizes = []
    for file in _files(Path(path)):
        try:
            sizes.append(file.stat().st_size)
        except OSError:
            continue
    return sum(sizes) if sizes else None


def scene_size(path: str | os.PathLike[str]) -> int | None:
    """Bytes of a scene's files; None where it is none."""
    try:
        return sum(file.stat().st_size for file in scene_files(path))
    except (LeansplatError, OSError):
        return None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        if all((path / name).is_file() for name in _RUN):
            yield from (path / name for name in _RUN)
            return
        for folder, _, names in os.walk(path):
            yield from (Path(folder) / name for name in names if not name.startswith(_OURS))
        return
    try:
        yield from scene_files(path)
    except (LeansplatError, OSError):
        yield path
