"""What the scene file formats have in common: how one describes itself, and how each opens files and reports bad rows.

A format is a value, not a subclass: the registry in `leansplat.formats` asks it whether it recognises a file's first
bytes, and calls its `read` and `write`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from torch import Tensor

from leansplat.errors import SceneFileError
from leansplat.gaussians import Gaussians

HEAD_SIZE = 4096
"""Bytes from the start of a file that `Format.recognises` is given (fewer when the file is shorter)."""

_log = logging.getLogger("leansplat")


class Reader(Protocol):
    def __call__(self, path: Path, *, drop_nonfinite: bool) -> Gaussians: ...


class Writer(Protocol):
    def __call__(self, gaussians: Gaussians, path: Path, *, overwrite: bool) -> None: ...


class Recogniser(Protocol):
    def __call__(self, head: bytes) -> bool: ...


@dataclass(frozen=True)
class Format:
    """One scene file format.

    Args:
        name: what people call it.
        suffixes: file name endings with their dot, in lower case; the first is the usual one.
        recognises: whether a file that starts with these bytes is of this format; always false where a format has
            no magic bytes, which is then picked by suffix alone.
        read, write: as `leansplat.formats.read` and `write`, for this format.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Recogniser
    read: Reader
    write: Writer


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A scene file open for reading.

    Raises:
        SceneFileError: there is no such file, it is a folder or a device, or the system refuses to open or read it.
    """
    if not path.exists():
        raise SceneFileError(f"{path} does not exist; check the name.")
    if path.is_dir():
        raise SceneFileError(f"{path} is a folder; name a scene file in it.")
    if not path.is_file():  # opening a pipe would wait for its writer
        raise SceneFileError(f"{path} is not a regular file; copy the scene to one.")
    try:
        with open(path, "rb") as handle:
            yield handle
    except OSError as error:
        raise SceneFileError(f"{path} cannot be read ({error.strerror}); check the disk and your rights.") from error


def report_nonfinite(gaussians: Gaussians, finite: Tensor, path: Path, *, drop: bool) -> Gaussians:
    """Log how many Gaussians of a file hold NaN or infinite parameters, and remove them if asked to.

    Args:
        finite: (N,) bool on the CPU, as `Gaussians.finite` gives it.
    """
    bad = len(gaussians) - int(np.count_nonzero(finite.numpy()))
    if bad == 0:
        return gaussians
    fate = "they were dropped" if drop else "they were kept, drop_nonfinite=True removes them"
    _log.warning("%s: %d of %d Gaussians have NaN or infinite parameters; %s", path, bad, len(gaussians), fate)
    return gaussians[finite] if drop else gaussians
