"""`listing_of`: what has to be fetched for an input at an address, so that a command finds it as it would here.

A scene file is looked at together with what lies beside it: cameras, what it was trained with, the images of a
meta.json. Here a command looks for those by itself; at an address somebody has to know their names beforehand.
"""

from __future__ import annotations

import re
from dataclasses import replace

from leansplat.storage import Listed, files_under, joined, last_name, listed_file, parent

_WHOLE_FOLDER = re.compile(r"meta\.json|lod-meta\.json|.*\.gltf", re.IGNORECASE)
"""Names of files that are tables of contents of the folder they are in."""
_BESIDE = ("cameras.json", "cfg_args", "config.json")
"""Files that tell of a scene in the same folder: `captures.cameras_beside`, `provenance`."""


def listing_of(address: str) -> tuple[str, list[Listed], str]:
    """What to fetch for an input.

    Returns:
        the address of the folder that the files are listed below, the files, and the name of the input among them; the
        name is empty where the input is that folder.

    Raises:
        InputError: nothing is there.
        AwayError: the storage could not be reached.
    """
    scene = listed_file(address)
    if scene is None:
        return address, files_under(address), ""
    folder, name = parent(address), last_name(address)
    if _WHOLE_FOLDER.fullmatch(name):
        return folder, files_under(folder), name
    beside = [f"{name.split('.')[0]}.cameras.json", *_BESIDE]
    parts = folder.split("/")
    if re.fullmatch(r"iteration_\d+", parts[-1]) and parts[-2] == "point_cloud":  # an output folder of 3DGS
        around, below = "/".join(parts[:-2]), "/".join(parts[-2:])
        wanted = [*_BESIDE, *(f"{below}/{other}" for other in beside)]
        return _with_those_that_exist(around, f"{below}/{name}", scene, wanted)
    return _with_those_that_exist(folder, name, scene, beside)


def _with_those_that_exist(folder: str, name: str, scene: Listed, others: list[str]) -> tuple[str, list[Listed], str]:
    found = [(other, listed_file(joined(folder, other))) for other in others if other != name]
    return folder, [replace(scene, name=name), *(replace(file, name=other) for other, file in found if file)], name
