"""Temporary folders for runs that nobody keeps: nothing can be gone on with from there, and whoever speaks of a run's
folder has to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_held: set[Path] = set()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted when the block ends."""
    with TemporaryDirectory(prefix="leansplat-") as name:
        folder = Path(name).resolve()
        _held.add(folder)
        try:
            yield folder
        finally:
            _held.discard(folder)


def is_temporary(folder: Path) -> bool:
    """Whether a folder is one of these, or in one."""
    place = folder.resolve()
    return any(each in _held for each in (place, *place.parents))
