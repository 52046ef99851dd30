"""`download`: brings scenes of the catalogue to a folder, where `leansplat.load_capture` opens them.

Everything is planned before the first file is written: which files a scene needs, which are there already, whether
they fit on the disk. A file that is there and right by size and CRC-32 is kept, so a download that was stopped is
continued by asking for it again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any, Protocol

from leansplat.datasets.archive import Archive
from leansplat.datasets.catalogue import Scene
from leansplat.datasets.single_files import SingleFiles
from leansplat.errors import InputError
from leansplat.progress import Progress


class Member(Protocol):
    """A file of a scene, wherever it is to be had."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def is_at(self, path: Path) -> bool: ...


@dataclass(frozen=True)
class Fetched:
    """A scene on this disk.

    Args:
        scene: which.
        folder: the capture.
        files: how many files it has.
        bytes: their size.
        new: how many of these bytes were fetched now.
    """

    scene: Scene
    folder: Path
    files: int
    bytes: int
    new: int


@dataclass(frozen=True)
class _Plan:
    scene: Scene
    folder: Path
    members: Sequence[Member]
    missing: list[tuple[Any, Path]]

    def result(self) -> Fetched:
        return Fetched(self.scene, self.folder, len(self.members), _bytes(self.members), self.missing_bytes)

    @property
    def missing_bytes(self) -> int:
        return _bytes([member for member, _ in self.missing])


def download(
    scenes: Sequence[Scene],
    folder: str | os.PathLike[str],
    *,
    full: bool = False,
    overwrite: bool = False,
    archives: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Fetch scenes, each into the folder of its name in `folder`: its cameras and its photos at the size papers use.

    Files that are there already are kept if their size and CRC-32 are right.

    Args:
        full: fetch everything the archive has of a scene, such as the photos at full size.
        overwrite: replace files that differ from the archive's; otherwise they are an error.
        archives: a folder with archives fetched by other means, under the publishers' file names; an archive that is
            not in it is read over the network.
        progress: told of the bytes that are there and the bytes of all scenes.

    Raises:
        InputError: a folder cannot be used, a file that differs is in the way, or the disk has too little space.
        LeansplatError: an archive cannot be read, is damaged, or holds something that it should not.

    Example:
        >>> download([find("garden")], "data")            # doctest: +SKIP
        >>> capture = leansplat.load_capture("data/garden", downscale=4)            # doctest: +SKIP
    """
    folder = Path(folder)
    if archives is not None and not Path(archives).is_dir():
        raise InputError(f"{archives} is not a folder; give the one that holds the archives.")
    with ExitStack() as stack:
        opened: dict[str, Archive | SingleFiles] = {}
        for scene in scenes:
            if scene.archive not in opened:
                source = opened[scene.archive] = _open(scene, None if archives is None else Path(archives))
                stack.callback(source.close)
        plans = [_plan(scene, opened[scene.archive], folder / scene.name, full, overwrite) for scene in scenes]
        _check_space(folder, sum(plan.missing_bytes for plan in plans))
        _make_folders({path.parent for plan in plans for _, path in plan.missing})

        total = sum(_bytes(plan.members) for plan in plans)
        done = total - sum(plan.missing_bytes for plan in plans)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total, {})

        advance(0)
        for url, archive in opened.items():
            archive.extract([target for plan in plans if plan.scene.archive == url for target in plan.missing], advance)
    return [plan.result() for plan in plans]


def _open(scene: Scene, archives: Path | None) -> Archive | SingleFiles:
    return SingleFiles(scene.archive, scene.files) if scene.files else Archive(scene.archive, archives)


def _plan(scene: Scene, archive: Archive | SingleFiles, folder: Path, full: bool, overwrite: bool) -> _Plan:
    members: Sequence[Member] = archive.members(scene.folder, None if full else scene.needed)
    missing = [(member, folder / member.name) for member in members if not member.is_at(folder / member.name)]
    for member, path in missing:
        if path.exists() and not overwrite:
            raise InputError(
                f"{path} is not the file {scene.folder}/{member.name} of {archive.place}; pass --overwrite "
                "(overwrite=True) to replace it or choose another folder."
            )
    return _Plan(scene, folder, members, missing)


def _bytes(members: Sequence[Member]) -> int:
    return sum(member.size for member in members)


def _make_folders(folders: set[Path]) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be created ({error.strerror}); choose another folder.") from error


def _check_space(folder: Path, needed: int) -> None:
    free = disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free
    if needed > free:
        raise InputError(
            f"{folder} needs {needed / 1e6:,.1f} MB and has {free / 1e6:,.1f} MB free; free some space or choose "
            "another disk."
        )
