"""`Record`: how a file came about, in a JSON file beside it, as a run folder tells of a run.

    garden.sog.json      beside garden.sog
    web/record.json      in the folder web of a ladder

What a command worked on in between (stages of trimming, training through the rounding of a file) is in it with its log,
so that nothing else has to be kept.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.cameras import Camera
from leansplat.errors import RunError
from leansplat.files import write_json
from leansplat.invocation import invocation
from leansplat.near_plane import NEAR
from leansplat.runs import open_run, package_versions
from leansplat.simd.threads import thread_count

FORMAT = "leansplat-record-1"
"""Name and version of what the entries mean."""

IN_FOLDER = "record.json"
_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class Work:
    """A piece of work on the way to a file, in a run folder of its own.

    Args:
        name: of its folder.
        command: what it was: "train", "trim" or "compress".
        events: its log.
    """

    name: str
    command: str
    events: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "command": self.command, "events": list(self.events)}


def works_in(folder: Path, names: Sequence[str] | None = None) -> tuple[Work, ...]:
    """What was done in the run folders in a folder, or in those of some names, in the order in which it began."""
    configs = sorted(folder.glob("*/config.json"), key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    runs = [open_run(path.parent) for path in configs if names is None or path.parent.name in names]
    return tuple(Work(run.folder.name, run.config["command"], tuple(run.events())) for run in runs)


def record_path(output: str | os.PathLike[str]) -> Path:
    """Where the record of a file, or of the folder of a ladder, is."""
    output = Path(output)
    return output / IN_FOLDER if output.is_dir() else output.with_name(f"{output.name}.json")


def write_record(
    output: str | os.PathLike[str],
    command: str,
    result: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    works: Sequence[Work] = (),
    cameras: Mapping[str, Camera] | None = None,
) -> None:
    """Write how a file, or the folder of a ladder, came about.

    What else is at that place is left alone, with a warning.

    Args:
        command: what made it: "train", "compress", "shrink".
        result: what the command prints with `--json`.
        settings: what decided it, as JSON: where the capture is, background and downscale.
        inputs: SHA-256 of each input by its role.
        works: what was done on the way.
        cameras: by name, those of views held back that judged the result, where they are not those of photos.
    """
    path = record_path(output)
    if path.exists() and not _is_record(path):
        _log.warning("%s is something else and stays, so how %s came about is not recorded", path, output)
        return
    content = {
        "format": FORMAT,
        "command": command,
        "settings": dict(settings),
        "threads": thread_count(),
        "versions": package_versions(),
        "inputs": dict(inputs or {}),
        **invocation(),
        "result": dict(result),
        "works": [work.to_json() for work in works],
        "cameras": {name: camera_json(camera) for name, camera in (cameras or {}).items()},
    }
    write_json(path, content, overwrite=True)


def read_record(output: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of a file or of the folder of a ladder.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = record_path(output)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{output} has no record of how it came about ({path.name}); make it again to have one"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore the file or make {output} again") from error
    kinds = {
        "command": str,
        "settings": dict,
        "versions": dict,
        "inputs": dict,
        "result": dict,
        "works": list,
        "cameras": dict,
    }
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path} is not a record of this version; make {output} again")
    for name, kind in kinds.items():
        if type(content.get(name)) is not kind:
            raise RunError(f"{path} has no valid entry {name!r}; restore the file or make {output} again")
    return content


def works_of(record: Mapping[str, Any]) -> tuple[Work, ...]:
    """The pieces of work in a record.

    Raises:
        RunError: one is damaged.
    """
    try:
        return tuple(Work(work["name"], work["command"], tuple(work["events"])) for work in record["works"])
    except (KeyError, TypeError) as error:
        raise RunError(f"a record has a piece of work without {error}; make the file again") from error


def cameras_of(record: Mapping[str, Any]) -> dict[str, Camera]:
    """The cameras in a record, by name.

    Raises:
        RunError: one is damaged.
    """
    try:
        return {name: read_camera(value) for name, value in record["cameras"].items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"a record has a camera that is none ({error}); make the file again") from error


def read_camera(value: Mapping[str, Any]) -> Camera:
    """The camera that `camera_json` made a value of; KeyError, TypeError, ValueError or RuntimeError for any other."""
    return Camera(value["world_to_camera"], value["K"], value["width"], value["height"], value.get("near", NEAR))


def camera_json(camera: Camera) -> dict[str, Any]:
    """A camera as JSON can hold it."""
    return {
        "width": camera.width,
        "height": camera.height,
        "K": camera.K.tolist(),
        "world_to_camera": camera.world_to_camera.tolist(),
        "near": camera.near,
    }


def _is_record(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT
