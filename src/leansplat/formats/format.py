"""What the scene file formats have in common: how one describes itself, and how each opens files and reports bad rows.

A format is a value, not a subclass: the registry in `leansplat.formats` asks it whether it recognises a file's first
bytes, and calls its `read` and `write`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from leansplat.arrays import WORLD, AnyScene, GaussianArrays, blocks
from leansplat.errors import SceneFileError
from leansplat.origin import described

HEAD_SIZE = 4096
"""Bytes from the start of a file that `Format.recognises` is given (fewer when the file is shorter)."""

_log = logging.getLogger("leansplat")


class Reader(Protocol):
    def __call__(self, path: Path, *, drop_nonfinite: bool) -> GaussianArrays: ...


@dataclass(frozen=True)
class Written:
    """What a file has of a scene of N Gaussians that it could not hold as they were.

    Args:
        order: (M,) int64; row i of the file is Gaussian order[i], or where that is N or more, an invisible one.
        decode: of the scene that a reader of the file gets, the rows of these numbers.
    """

    order: np.ndarray
    decode: Callable[[np.ndarray], GaussianArrays]


class Writer(Protocol):
    """Takes `options` besides, of the format's own type, where a `Format` names one."""

    def __call__(self, gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> Written | None: ...


class Recogniser(Protocol):
    def __call__(self, head: bytes) -> bool: ...


class Lister(Protocol):
    def __call__(self, path: Path) -> tuple[Path, ...]: ...


class Streamer(Protocol):
    def __call__(self, path: Path) -> Iterator[GaussianArrays] | None: ...


class Losses(Protocol):
    def __call__(self, gaussians: AnyScene) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Format:
    """One scene file format.

    Args:
        name: what people call it.
        suffixes: file name endings with their dot, in lower case; the first is the usual one.
        recognises: whether a file that starts with these bytes is of this format; always false where a format has
            no magic bytes, which is then picked by suffix alone.
        read, write: as `leansplat.formats.read` and `write`, for this format. `write` returns what became of the scene,
            or None where the file holds its numbers as they were.
        options: the dataclass of what can be chosen in writing, all of it with defaults; None where there is no choice.
        loses: what a scene has that a file of this format cannot say, a few words each, such as "2 extra properties";
            not the precision of its numbers. Nothing by default.
        files: all files that the scene at a path is made of, itself first; itself alone by default.
        stream: the scene of a file a few rows at a time, in order, for what need not hold it; the first part may be
            empty. None for a file that only `read` can make sense of, which is every one by default.
        notes_origin: whether a file has a scene's positions relative to its origin, with a note of it that only
            leansplat reads.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Recogniser
    read: Reader
    write: Writer
    options: type | None = None
    loses: Losses = lambda gaussians: ()
    files: Lister = lambda path: (path,)
    stream: Streamer = lambda path: None
    notes_origin: bool = False


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A scene file open for reading.

    Raises:
        SceneFileError: there is no such file, it is a folder or a device, or the system refuses to open or read it.
    """
    try:
        if not path.exists():
            raise SceneFileError(f"{path} does not exist; check the name.")
        if path.is_dir():
            raise SceneFileError(f"{path} is a folder; name a scene file in it.")
        if not path.is_file():  # opening a pipe would wait for its writer
            raise SceneFileError(f"{path} is not a regular file; copy the scene to one.")
        with open(path, "rb") as handle:
            yield handle
    except OSError as error:
        raise SceneFileError(f"{path} cannot be read ({error.strerror}); check the disk and your rights.") from error


def row_blocks(handle: BinaryIO, kind: np.dtype, count: int, path: Path) -> Iterator[tuple[slice, np.ndarray]]:
    """The next `count` rows of a file, structured arrays of this type, a block at a time, and where they belong.

    Raises:
        SceneFileError: the file ends before.
    """
    for part in blocks(count):
        rows = np.empty(part.stop - part.start, kind)
        if handle.readinto(rows.view(np.uint8).data) != rows.nbytes:  # type: ignore[attr-defined]
            raise SceneFileError(f"{path} became shorter while it was read; try again.")
        yield part, rows


def report_nonfinite(gaussians: GaussianArrays, finite: np.ndarray, path: Path, *, drop: bool) -> GaussianArrays:
    """Log how many Gaussians of a file hold NaN or infinite parameters, and remove them if asked to.

    Infinities that have a meaning are not among them: they become finite, as in `GaussianArrays.finite_equivalent`.

    Args:
        finite: (N,) bool, as `GaussianArrays.finite` gives it.
    """
    suspects = np.flatnonzero(~finite)
    if len(suspects) == 0:
        return gaussians
    gaussians = gaussians.finite_equivalent()
    bad = suspects[~gaussians[suspects].finite()]
    if len(bad) == 0:
        return gaussians
    warn_of_nonfinite(len(bad), len(gaussians), path, drop=drop)
    if not drop:
        return gaussians
    kept = np.ones(len(gaussians), bool)
    kept[bad] = False
    return gaussians[kept]


def warn_of_nonfinite(bad: int, count: int, path: Path, *, drop: bool) -> None:
    if bad:
        fate = "they were dropped" if drop else "they were kept, drop_nonfinite=True removes them"
        _log.warning("%s: %d of %d Gaussians have NaN or infinite parameters; %s", path, bad, count, fate)


def report_padding(gaussians: GaussianArrays, path: Path, *, drop: bool) -> GaussianArrays:
    """Log how many rows of a file hold no Gaussian or no rotation, and remove the former if asked to."""
    padding = gaussians.padding()
    rows = int(padding.sum())
    warn_of_padding(rows, len(gaussians), path, drop=drop)
    if drop and rows:
        gaussians, padding = gaussians[~padding], padding[~padding]
    warn_of_rotations(int((gaussians.without_rotation() & ~padding).sum()), len(gaussians), path)
    return gaussians


def warn_of_padding(rows: int, count: int, path: Path, *, drop: bool) -> None:
    if rows:
        fate = "they were dropped" if drop else "they were kept, --drop-empty (read(drop_empty=True)) removes them"
        _log.warning(
            "%s: %d of %d rows hold no Gaussian, all of them zero or all the same, as exporters fill up files; %s",
            *(path, rows, count, fate),
        )


def warn_of_rotations(unturned: int, count: int, path: Path) -> None:
    if unturned:
        _log.warning(
            "%s: %d of %d Gaussians have a rotation of zeros, which counts as no rotation", path, unturned, count
        )


def refuse_nonfinite(gaussians: GaussianArrays, path: Path) -> None:
    """Refuse to write NaN or infinite parameters, which a format that quantises within ranges cannot hold.

    Raises:
        SceneFileError: there are such Gaussians; says how many.
    """
    bad = len(gaussians) - int(gaussians.finite().sum())
    if bad:
        raise SceneFileError(
            f"{path} cannot hold the {bad} of {len(gaussians)} Gaussians that have NaN or infinite parameters; leave "
            "them out with --drop-nonfinite (read(drop_nonfinite=True))."
        )


def losses(
    gaussians: AnyScene,
    *,
    sh_degree: int = 3,
    antialiasing: bool = True,
    comments: bool = True,
    origin: bool = True,
) -> tuple[str, ...]:
    """`Format.loses` of a format without extras: what a scene has beyond `sh_degree` and what else the format holds.

    Args:
        sh_degree: the highest degree of spherical harmonics that a file may have.
        antialiasing: whether a file can say that a scene is antialiased.
        comments: whether a file has room for comments.
        origin: whether a file can say what its positions are relative to.
    """
    lost = []
    if gaussians.sh_degree > sh_degree:
        lost.append(f"spherical harmonics above degree {sh_degree}")
    if gaussians.antialiased and not antialiasing:
        lost.append("its anti-aliasing")
    if gaussians.extras:
        lost.append(_counted(len(gaussians.extras), "extra property", "extra properties"))
    if gaussians.comments and not comments:
        lost.append(_counted(len(gaussians.comments), "comment", "comments"))
    if gaussians.origin != WORLD and not origin:
        lost.append(f"its origin {described(gaussians.origin)}, which its positions are relative to")
    return tuple(lost)


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
