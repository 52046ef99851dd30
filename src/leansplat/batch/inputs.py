"""`asked_for`: what a batch is about, from what stands on its command line: folders, patterns, files and manifests.

Each scene gets the name that its output will have. A scene in a folder is called by its way from there without its
suffix, so that outputs lie as inputs do.
"""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from leansplat.batch.asked import Asked, name_of
from leansplat.errors import InputError
from leansplat.formats import FORMATS, RUN_SCENE
from leansplat.formats.inria_folder import point_cloud

_CONFIG, _RECORD, _LEVELS, _META = "config.json", "record.json", "lod-meta.json", "meta.json"
_POINTS = {"points3d.ply", "sparse_pc.ply"}
"""Files in captures that hold points, as COLMAP and nerfstudio call them."""
_log = logging.getLogger("leansplat")


def asked_for(inputs: Sequence[str], takes: str, output: str) -> list[Asked]:
    """The scenes that the words of a command line name, in the order of their names within each word.

    Args:
        inputs: folders, which are searched through, patterns such as "scenes/*.ply", files, and manifests (.jsonl);
            folders, files and manifests may lie at addresses.
        takes: "scene", "capture" or "run": what is looked for in folders.
        output: the folder of the batch, which is not looked into.

    Raises:
        InputError: one of them is nothing of this kind, or a manifest has a mistake.
    """
    return [asked for word in inputs for asked in _of_word(word, takes, output)]


def _of_word(word: str, takes: str, output: str) -> Iterator[Asked]:
    from leansplat.batch.manifest import read_manifest
    from leansplat.batch.stored_inputs import of_address
    from leansplat.storage import is_address

    if is_address(word):
        yield from of_address(word, takes, output)
        return
    path = Path(word)
    if path.is_dir():
        yield from _of_folder(path, takes, output)
    elif path.is_file() and path.suffix.lower() == ".jsonl":
        yield from read_manifest(path)
    elif path.exists():
        yield Asked(name_of(path.name), word, word)
    elif glob.has_magic(word):
        yield from _of_pattern(word, takes)
    else:
        raise InputError(f"{word} does not exist; give a folder of scenes, a scene, a pattern or a manifest (.jsonl)")


def _of_pattern(pattern: str, takes: str) -> Iterator[Asked]:
    start = pattern[: next(index for index, letter in enumerate(pattern) if letter in "*?[")]
    base = Path(os.path.dirname(start) or ".")
    found = sorted(Path(path) for path in glob.glob(pattern, recursive=True))
    recognised = _RECOGNISED[takes]
    matching = [path for path in found if not path.is_dir() or recognised(path)]
    if not matching:
        raise InputError(f"{pattern} matches no {takes}; check its folder and its stars")
    for path in matching:
        yield Asked(name_of(os.path.relpath(path, base)), str(path), str(path))


def _of_folder(folder: Path, takes: str, output: str) -> Iterator[Asked]:
    recognised = _RECOGNISED[takes]
    if recognised(folder):
        yield Asked(name_of(folder.resolve().name), str(folder), str(folder))
        return
    found = False
    for path in _walk(folder, recognised, takes, {os.path.realpath(output), os.path.realpath(folder)}):
        found = True
        name = path.parent if path.name in (_LEVELS, _META) else path
        yield Asked(name_of(os.path.relpath(name, folder)), str(path), str(path))
    if not found:
        raise InputError(f"{folder} holds no {takes}, nor do the folders in it; check the path")


def _walk(folder: Path, recognised: Callable[[Path], bool], takes: str, seen: set[str]) -> Iterator[Path]:
    """Scenes in a folder and below it, in the order of their names.

    Args:
        seen: folders that are not to be entered, such as those that have been: links may go round in circles.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); check its rights") from error
    if takes != "capture" and (folder / _LEVELS).is_file():
        if takes == "scene":
            yield folder / _LEVELS
        return  # the scenes below are its parts
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            if recognised(path):
                yield path
            elif takes != "capture" and (path / _CONFIG).is_file():
                _log.warning("%s is a run without a scene yet; it is left out", path)
            else:
                yield from _walk(path, recognised, takes, seen)
        elif takes != "capture" and _is_scene_file(path) and (takes == "scene" or _has_record(path)):
            yield path


def _is_scene_file(path: Path) -> bool:
    name = path.name.lower()
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]
    if name.endswith(".json"):
        return name == _META and _is_sog_meta(path)
    return name not in _POINTS and any(name.endswith(suffix) for suffix in suffixes)


def _is_sog_meta(path: Path) -> bool:
    try:
        return path.stat().st_size < 1 << 20 and "means" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _is_scene_folder(path: Path) -> bool:
    if (path / _CONFIG).is_file():
        return (path / RUN_SCENE).is_file()
    return (path / "point_cloud").is_dir() and point_cloud(path) is not None


def _has_record(path: Path) -> bool:
    return path.with_name(f"{path.name}.json").is_file()


def _is_run(path: Path) -> bool:
    return ((path / _CONFIG).is_file() and (path / RUN_SCENE).is_file()) or (path / _RECORD).is_file()


def _is_capture(path: Path) -> bool:
    from leansplat.captures import is_capture

    return is_capture(path)


_RECOGNISED: dict[str, Callable[[Path], bool]] = {
    "scene": _is_scene_folder,
    "capture": _is_capture,
    "run": _is_run,
}
"""Whether a folder as a whole is what a command takes."""
