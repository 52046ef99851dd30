"""Finding the photos that a capture's files name, where folders or letters are not quite what the files say.

A name is tried as it is written, then with backslashes as slashes and in any case or Unicode form, then with another
extension, then all of this again without its first folder, without its second, and so on, for another machine's paths.
The first step that finds a file decides: one alone, which no other name means, is taken and said; several are refused.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from leansplat.errors import CaptureError

_PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")
_LEFT_OUT = ("", ".png", ".jpg", ".jpeg", ".JPG", ".PNG")  # transforms files may leave these suffixes out
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_OTHER_BYTES = re.compile("[\udc80-\udcff]")  # how Python spells bytes that are not UTF-8; taken as Latin-1
_DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")


@dataclass(frozen=True)
class Located:
    """Where photos are.

    Args:
        folder: the folder that their files were found in, or the first of those searched.
        files: the file of each listed name that has one.
        renamed: those of the listed names whose file is called otherwise.
        instead_of: the first of those searched, where another has the photos.
    """

    folder: Path
    files: Mapping[str, Path]
    renamed: tuple[str, ...] = ()
    instead_of: Path | None = None

    def warnings(self, source: Path) -> list[str]:
        """What was taken for what, in sentences, if anything was."""
        said = []
        if self.instead_of is not None:
            said.append(
                f"{self.instead_of} has none of the photos that {source} lists; those in {self.folder} are used."
            )
        if self.renamed:
            first = min(self.renamed)
            said.append(
                f"{source} lists {len(self.renamed)} photos by names that their files do not have (first: {first}, "
                f"taken to be {self.files[first]})."
            )
        return said


def locate(source: Path, names: Sequence[str], places: Sequence[Path], *, anywhere: bool = False) -> Located:
    """Find photos by name in the first of several folders, or in the one other that has any where the first has none.

    Args:
        source: the file that lists the names, for messages.
        places: folders that names may start from.
        anywhere: whether a name as it is written may lead out of the first folder or leave its suffix out, as in
            transforms files.

    Raises:
        CaptureError: a name could mean several files, several names one file, or several folders hold such photos.
    """
    first, *others = dict.fromkeys(places)
    located = _locate_in(first, source, names, anywhere)
    if located.files:
        return located
    holders = [found for found in (_locate_in(place, source, names, False) for place in others) if found.files]
    if len(holders) > 1:
        raise CaptureError(
            f"{first} has none of the photos that {source} lists, but both {holders[0].folder} and {holders[1].folder} "
            f"have some; move the right ones to {first}."
        )
    return replace(holders[0], instead_of=first) if holders else located


def whereabouts(path: Path) -> str:
    """Where a photo is not, and what is nearest to its name there: the end of a sentence that says it is missing."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    there = sorted(_Folder(folder).names)
    wanted = (path.name, path.relative_to(folder).parts[0])
    nearest = next((near for name in wanted for near in difflib.get_close_matches(name, there, n=1)), None)
    return f"in {folder}, " + ("where no name is near" if nearest is None else f"where the nearest name is {nearest}")


def as_written(folder: Path, name: str) -> Path | None:
    """The file that a name means as it is written, wherever that leads; its suffix may be left out."""
    plain = os.path.normpath(folder / name)
    return next((Path(plain + suffix) for suffix in _LEFT_OUT if os.path.isfile(plain + suffix)), None)


def find_file(source: Path, place: Path, name: str) -> Path | None:
    """The one file below a place that a name of any spelling can mean, with the name's own suffix.

    Raises:
        CaptureError: it can mean several.
    """
    return _Disk(place).search(source, name, any_suffix=False)


def called(folder: Path, name: str) -> list[Path]:
    """What in a folder is called so, or else what differs from it in case only."""
    return [folder / found for found in _Folder(folder).like(name)]


def shown(name: PurePath | str) -> str:
    """A name with forward slashes that can be written anywhere: bytes that are not UTF-8 are spelt out."""
    return (name if isinstance(name, str) else name.as_posix()).encode("utf-8", "backslashreplace").decode()


def name_parts(name: str) -> list[str]:
    """Folders and file of a name, without a drive, a root, and steps that lead nowhere or up."""
    parts = _DRIVE.sub("", name).replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..")]


def listed_photos(listed: Iterable[str], names: Mapping[str, str]) -> frozenset[str]:
    """What photos are called here that a list of training or test photos means; what it means is kept if unknown.

    Args:
        names: what each photo is called here, by the name that the capture's file gives it.
    """
    exact = {**{name: name for name in names.values()}, **names}
    alike: dict[str, set[str]] = {}
    for key, name in exact.items():
        alike.setdefault(fold("/".join(name_parts(key))), set()).add(name)

    def meant(entry: str) -> str:
        similar = alike.get(fold("/".join(name_parts(entry))), set())
        return exact.get(entry) or (min(similar) if len(similar) == 1 else entry)

    return frozenset(map(meant, listed))


def fold(text: str) -> str:
    """What is left of a name when neither case nor Unicode form matters."""
    text = _OTHER_BYTES.sub(lambda byte: chr(ord(byte[0]) - 0xDC00), text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _locate_in(place: Path, source: Path, names: Sequence[str], anywhere: bool) -> Located:
    files: dict[str, Path] = {}
    taken: dict[Path, str] = {}

    def take(name: str, found: Path) -> None:
        if found in taken:
            raise CaptureError(
                f"{source} lists the photo {name} twice; remove one."
                if os.path.normpath(name) == os.path.normpath(taken[found])
                else f"{source} lists {taken[found]} and {name}, and both could only be {found}; list photos by the "
                "names of their files."
            )
        files[name] = found
        taken[found] = name

    for name in names:
        found = as_written(place, name) if anywhere else _inside(place, name)
        if found is not None:
            take(name, found)
    disk = _Disk(place, taken)
    renamed = []
    for name in names:
        if name not in files and (found := disk.search(source, name)) is not None:
            take(name, found)
            renamed.append(name)
    return Located(place, files, tuple(renamed))


def _inside(place: Path, name: str) -> Path | None:
    """The file of a name as written, unless that leads out of the folder."""
    plain = os.path.normpath(name)
    leaves = os.path.isabs(plain) or plain.split(os.sep)[0] == ".."
    return place / plain if not leaves and os.path.isfile(place / plain) else None


class _Folder:
    """The names in a folder, by what is left of them when they are folded, and when photos lose their suffix too."""

    def __init__(self, path: Path) -> None:
        try:
            self.names = frozenset(os.listdir(path))
        except OSError:  # not there, or not ours to read
            self.names = frozenset()
        self.folded: dict[str, list[str]] = {}
        self.stems: dict[str, list[str]] = {}
        for name in sorted(self.names):
            key = fold(name)
            self.folded.setdefault(key, []).append(name)
            if key.endswith(_PHOTO_SUFFIXES):
                self.stems.setdefault(key.rpartition(".")[0], []).append(name)

    def like(self, name: str) -> list[str]:
        """The name itself, else those that differ from it in case or Unicode form only."""
        return [name] if name in self.names else self.folded.get(fold(name), [])

    def with_another_suffix(self, name: str) -> list[str]:
        """Photos that are called so before their suffix, whichever it is."""
        key = fold(name)
        bare = _SUFFIX.sub("", key)
        stems = {bare} if key.endswith(_PHOTO_SUFFIXES) else {bare, key}
        return [found for stem in sorted(stems) for found in self.stems.get(stem, [])]


class _Disk:
    """The folders below a place, each listed once.

    Args:
        taken: files that other names mean exactly.
    """

    def __init__(self, place: Path, taken: Iterable[Path] = ()) -> None:
        self._place = place
        self._taken = frozenset(taken)
        self._used = {path.parent for path in self._taken}
        self._folders: dict[Path, _Folder] = {}

    def search(self, source: Path, name: str, *, any_suffix: bool = True) -> Path | None:
        """The one file that `name` can mean below the place, other than those taken.

        Raises:
            CaptureError: it can mean several.
        """
        for candidates in self._steps(name_parts(name), any_suffix):
            found = [path for path in candidates if path not in self._taken and os.path.isfile(path)]
            if len(found) > 1:
                raise CaptureError(
                    f"{source} lists {name}, which could be {found[0]} or {found[1]}; call one of them exactly so."
                )
            if found:
                return found[0]
        return None

    def _steps(self, parts: list[str], any_suffix: bool) -> Iterator[list[Path]]:
        for start in range(len(parts)):
            folders = [self._place]
            for part in parts[start:-1]:
                folders = [folder / name for folder in folders for name in self._list(folder).like(part)]
            yield [folder / name for folder in folders for name in self._list(folder).like(parts[-1])]
            if any_suffix:
                yield [
                    folder / name for folder in folders for name in self._list(folder).with_another_suffix(parts[-1])
                ]
            if start < len(parts) - 1 and not self._used.isdisjoint(folders):
                return  # other photos are in the folder that is named, so this one is missing

    def _list(self, folder: Path) -> _Folder:
        if folder not in self._folders:
            self._folders[folder] = _Folder(folder)
        return self._folders[folder]
