"""Finding the masks of photos: where a transforms file says, or in a folder `masks`, by the name of the photo.

A mask may be for one photo, as COLMAP (`masks/left/01.jpg.png`), nerfstudio (`mask_path`) and others (the photo's name
with another suffix) have it, or for all photos of a folder (`camera_mask.png`, after COLMAP's option). instant-ngp has
`dynamic_mask_01.png` beside the photo, whose meaning is the opposite. All masks that a photo has apply together.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from leansplat.captures.listing import Listing, Mask, Shot
from leansplat.captures.photo_search import find_file, fold
from leansplat.errors import CaptureError

_FOLDER = "masks"
_OF_A_FOLDER = ("camera_mask", "mask")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm")
_PHOTO_FOLDER = re.compile(r"images(_\d+)?")


def named_mask(
    source: Path, values: Mapping[str, Any], photo: Path, downscale: int, *, reduced: bool
) -> tuple[Path | None, str | None]:
    """The mask that `mask_path` of a frame names, and that name where no such file is there.

    Args:
        source: the transforms file.
        values: of the frame, over those of all frames.
        photo: that of the frame, which is no mask however the name is read.
        downscale: masks in `masks_{downscale}` are looked for too.
        reduced: whether the photo has a reduced copy; those masks go first then.

    Raises:
        CaptureError: the entry is no path, or could mean several files.
    """
    name = values.get("mask_path")
    if name is None:
        return None, None
    if not isinstance(name, str) or not name or "\0" in name:
        raise CaptureError(f"{source}: a mask_path is not the path of a file; write the file again.")
    plain = Path(os.path.normpath(source.parent / name.replace("\\", "/")))
    smaller = plain.parent.parent / f"{plain.parent.name}_{downscale}" / plain.name
    order = (smaller, plain) if reduced else (plain, smaller)
    found = next((path for path in order if path.is_file()), None) or find_file(source, source.parent, name)
    return (found, None) if found not in (None, photo) else (None, name)


def with_masks(listing: Listing, capture: Path, downscale: int) -> Listing:
    """A listing whose shots have the masks that lie in the capture's folders, besides those its files name.

    Args:
        capture: the capture's folder.
        downscale: photos that have reduced copies have their masks in `masks_{downscale}` first.
    """
    disk = _Folders(capture)
    stems = Counter(PurePosixPath(fold(shot.name)).with_suffix("").as_posix() for shot in listing.shots)
    unnamed = [shot for shot in listing.shots if not shot.masks]
    places = {shot.name: list(disk.places(shot, downscale)) for shot in unnamed}
    own = {
        shot.name: _first(place.own(name, alone=_alone(shot, stems)) for place, name in places[shot.name])
        for shot in unnamed
    }
    of_photos = frozenset(own.values())
    shared = {
        shot.name: _first(place.of_folder(name, of_photos) for place, name in places[shot.name]) for shot in unnamed
    }
    shots = []
    for shot in listing.shots:
        masks = list(shot.masks)
        if not masks:
            found = (own[shot.name], shared[shot.name] or disk.of_capture())
            masks = [Mask(path) for path in found if path is not None]
        if (dynamic := disk.dynamic(shot)) is not None:
            masks.append(Mask(dynamic, hides="white"))
        shots.append(replace(shot, masks=tuple(masks)))
    warnings = list(listing.warnings)
    if unnamed and unnamed == list(listing.shots) and not any((*own.values(), *shared.values())):
        searched = {place.folder: place for found in places.values() for place, _ in found}
        warnings += [place.useless(unnamed[0].name) for place in searched.values()]
        if not searched and (other := disk.other()) is not None:
            warnings.append(
                f"{other} may hold masks, which are not used; call it {_FOLDER}, with images named after the photos."
            )
    return replace(listing, shots=tuple(shots), warnings=tuple(warnings))


def _first(paths: Iterable[Path | None]) -> Path | None:
    return next((path for path in paths if path is not None), None)


def _alone(shot: Shot, stems: Mapping[str, int]) -> bool:
    """Whether no other photo has the name of this one up to the suffix."""
    return stems[PurePosixPath(fold(shot.name)).with_suffix("").as_posix()] == 1


@dataclass(frozen=True)
class _Place:
    """A folder of masks: the files in and below it by their folded path from it."""

    folder: Path
    files: Mapping[str, Path]

    def own(self, name: str, *, alone: bool) -> Path | None:
        """The mask of the photo called `name`; that of its name without suffix only if the photo is alone with it."""
        whole, stem = fold(name), PurePosixPath(fold(name)).with_suffix("").as_posix()
        names = [whole + suffix for suffix in _SUFFIXES] + [whole]
        if alone:
            names[1:1] = [f"{stem}.png"]
            names += [f"{stem}{middle}{suffix}" for middle in ("", ".mask", "_mask") for suffix in _SUFFIXES]
            names += [f"{stem}{suffix}.png" for suffix in _SUFFIXES]  # of the photo before it was converted
        return next((self.files[key] for key in names if key in self.files), None)

    def of_folder(self, name: str, of_photos: frozenset[Path | None]) -> Path | None:
        """The mask of all photos in the deepest folder around `name` that has one, other than those of single ones."""
        for folder in PurePosixPath(fold(name)).parents:
            for stem in _OF_A_FOLDER:
                for suffix in _SUFFIXES:
                    found = self.files.get((folder / (stem + suffix)).as_posix())
                    if found is not None and found not in of_photos:
                        return found
        return None

    def useless(self, name: str) -> str:
        """That no mask here is of any photo, of which `name` is one, in a sentence."""
        key = fold(name)
        nearest = difflib.get_close_matches(f"{key}.png", self.files, n=1, cutoff=0) or [""]
        near = f"; the nearest is {self.files[nearest[0]]}" if nearest[0] else ""
        return (
            f"{self.folder} has no image that is named after a photo, as {name}.png would be for {name}{near}; every "
            "photo counts whole."
        )


class _Folders:
    """The folders of a capture that may hold masks, each listed once."""

    def __init__(self, capture: Path) -> None:
        self._capture = capture
        self._list = cache(_list)
        self._beside = cache(_folders_of_masks)

    def places(self, shot: Shot, downscale: int) -> Iterator[tuple[_Place, str]]:
        """Where the mask of a photo may be, and what the photo is called there, the best place first."""
        for parent, name in self._parents(shot):
            for folder in self._beside(parent, downscale, shot.copy is not None):
                yield self._list(folder), name

    def _parents(self, shot: Shot) -> Iterator[tuple[Path, str]]:
        """Folders that a folder `masks` may lie in: that of the photos' folder, whatever it is called, or of any that
        is called `images`; never one around the capture, where others may be."""
        file = shot.photo or shot.copy
        assert file is not None
        top = len(PurePosixPath(shot.name).parts) - 1
        for depth, folder in enumerate(file.parents):
            around = self._capture != folder.parent and self._capture.is_relative_to(folder.parent)
            if folder == self._capture or around:
                break
            if depth == top or _PHOTO_FOLDER.fullmatch(folder.name):
                yield folder.parent, file.relative_to(folder).as_posix()
        yield self._capture, shot.name

    def of_capture(self) -> Path | None:
        """The mask of all photos that lies in the capture's own folder."""
        return next((path for suffix in _SUFFIXES if (path := self._capture / f"camera_mask{suffix}").is_file()), None)

    def other(self) -> Path | None:
        """A folder of the capture that may be one of masks by its name."""
        return next(
            (path for path in sorted(self._capture.iterdir()) if "mask" in path.name.lower() and path.is_dir()), None
        )

    def dynamic(self, shot: Shot) -> Path | None:
        """instant-ngp's mask beside a photo."""
        files = [file.with_name(f"dynamic_mask_{file.stem}.png") for file in (shot.copy, shot.photo) if file]
        return next((path for path in files if path.is_file()), None)


def _folders_of_masks(parent: Path, downscale: int, reduced: bool) -> Sequence[Path]:
    """Folders of masks in `parent`: those of the wanted size, those of the photos, then any others', larger first."""
    try:
        numbers = {
            int(match[1]): parent / match[0]
            for match in (re.fullmatch(rf"{_FOLDER}_(\d+)", name) for name in os.listdir(parent))
            if match
        }
    except OSError:
        return []
    order = [parent / _FOLDER, *(numbers[number] for number in sorted(numbers))]
    if downscale in numbers:
        order.remove(numbers[downscale])
        order.insert(0 if reduced else 1, numbers[downscale])
    return [folder for folder in order if folder.is_dir()]


def _list(folder: Path) -> _Place:
    found: dict[str, Path] = {}
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            key = fold(path.relative_to(folder).as_posix())
            if key.endswith(_SUFFIXES):
                found.setdefault(key, path)
    return _Place(folder, found)
