"""`of_address`: the scenes, captures or runs that lie below an address, by the names of what lies there alone.

A folder in storage is listed once, whole, and never opened: what a scene is, is told by suffixes and by the files that
each kind of folder must have. From the same list come the sizes, and what says later whether something has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from leansplat.batch.asked import Asked, name_of
from leansplat.errors import InputError
from leansplat.formats import FORMATS, RUN_SCENE
from leansplat.storage import (
    Listed,
    fetch,
    files_under,
    identity,
    is_address,
    joined,
    last_name,
    scratch_folder,
)

_POINTS = {"points3d.ply", "sparse_pc.ply"}
"""Files in captures that hold points, as COLMAP and nerfstudio call them."""
_TRANSFORMS = re.compile(r"transforms(_train)?\.json")
_COLMAP = re.compile(r"(sparse(/0)?|colmap/sparse/0)/cameras\.(bin|txt)")
_POINT_CLOUD = re.compile(r"point_cloud/iteration_\d+/point_cloud\.ply")


def of_address(address: str, takes: str, output: str) -> Iterator[Asked]:
    """What an address on a command line stands for, in the order of names.

    Args:
        takes: "scene", "capture" or "run".
        output: the folder or address of the batch, which is not looked into.

    Raises:
        InputError: nothing of this kind is there, or it cannot be looked at.
        AwayError: the storage could not be reached.
    """
    listed = files_under(address)
    if [file.address for file in listed] == [address.rstrip("/")]:
        yield from _of_file(listed[0])
        return
    if is_address(output):
        listed = [file for file in listed if not file.address.startswith(f"{output.rstrip('/')}/")]
    found = False
    for place, files in _places(listed, takes):
        found = True
        source = joined(address, place) if place else address.rstrip("/")
        around = str(PurePosixPath(place).parent) if PurePosixPath(place).name in _CONTENTS else place
        name = name_of(around if around not in ("", ".") else last_name(address))
        yield Asked(name, source, source, version=identity(files), bytes=sum(file.bytes for file in files))
    if not found:
        raise InputError(f"{address} holds no {takes}, nor do the folders in it; check the address")


def _of_file(file: Listed) -> Iterator[Asked]:
    from leansplat.batch.manifest import read_manifest

    if not file.name.lower().endswith(".jsonl"):
        yield Asked(name_of(file.name), file.address, file.address, version=identity([file]), bytes=file.bytes)
        return
    with scratch_folder() as folder:
        yield from read_manifest(fetch(file.address, folder / file.name, [file]), file.address)


_CONTENTS = ("lod-meta.json", "meta.json")
"""Names of scenes that are called by their folder."""


def _places(listed: list[Listed], takes: str) -> Iterator[tuple[str, list[Listed]]]:
    """Each thing of a kind in a list: its name below the folder that was listed, and the files that it is made of."""
    folders = _folders(listed, takes)
    found = {folder: [file for file in listed if _is_in(file, folder)] for folder in folders}
    if takes == "scene":
        for file in listed:
            if not any(_is_in(file, folder) for folder in folders) and _is_scene_file(file.name):
                found[file.name] = [file]
    yield from sorted(found.items())


def _folders(listed: list[Listed], takes: str) -> list[str]:
    """The outermost folders that are each a whole; "" for the one that was listed."""
    names = {file.name for file in listed}
    found = set()
    for name in names:
        for around in ("", *(str(parent) for parent in reversed(PurePosixPath(name).parents) if str(parent) != ".")):
            if _is_whole(name[len(around) :].lstrip("/"), around, names, takes):
                found.add(around)
                break
    return sorted(found)


def _is_whole(below: str, folder: str, names: set[str], takes: str) -> bool:
    """Whether a file makes the folder that it lies below a capture, a scene or a run."""

    def has(name: str) -> bool:
        return (f"{folder}/{name}" if folder else name) in names

    if takes == "capture":
        return bool(_TRANSFORMS.fullmatch(below) or _COLMAP.fullmatch(below))
    if below == RUN_SCENE and has("config.json"):
        return True
    return takes == "scene" and bool(_POINT_CLOUD.fullmatch(below))


def _is_in(file: Listed, folder: str) -> bool:
    return not folder or file.name.startswith(f"{folder}/")


def _is_scene_file(name: str) -> bool:
    last = PurePosixPath(name).name.lower()
    if last in _CONTENTS:
        return True
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes if suffix.startswith(".")]
    return last not in _POINTS and not last.endswith(".json") and any(last.endswith(suffix) for suffix in suffixes)
