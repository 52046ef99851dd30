"""What trainers write beside a checkpoint and not into it: their settings, and the frame that they trained in."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

_LARGEST_NOTES = 1 << 20
_log = logging.getLogger("leansplat")


def has_line(file: Path, setting: str, value: str) -> bool:
    """Whether a YAML file has a line `setting: value`. It is searched as text, because such files name classes to run.

    A file that is not there has no line.
    """
    try:
        with open(file, encoding="utf-8", errors="replace") as handle:
            text = handle.read(_LARGEST_NOTES)
    except OSError:
        return False
    return re.search(rf"^\s*{setting}:\s*['\"]?{value}\b", text, re.MULTILINE | re.IGNORECASE) is not None


def say_frame_of_nerfstudio(checkpoint: Path) -> None:
    """Warn where positions are not in the frame of the cameras' file, or where that is not known.

    nerfstudio moves cameras before it trains, and notes in `dataparser_transforms.json` how: first by a matrix (3, 4)
    of rotation and translation, `transform`, and then by a factor, `scale`.
    """
    for folder in checkpoint.resolve().parents[:2]:
        file = folder / "dataparser_transforms.json"
        try:
            with open(file, "rb") as handle:
                notes = json.loads(handle.read(_LARGEST_NOTES))
            scale = float(notes["scale"])
            moved = notes["transform"] != [[float(i == j) for j in range(4)] for i in range(3)] or scale != 1
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            _log.warning("%s cannot be read, so it is not known in which frame %s is", file, checkpoint)
            return
        if moved:
            _log.warning(
                "%s: positions are in the frame that nerfstudio trained in, not in that of the cameras' file: turned, "
                "moved, and then scaled by %.6g, as %s says; use it with cameras that are moved likewise",
                *(checkpoint, scale, file),
            )
        return
    _log.warning(
        "%s: nerfstudio usually moves and scales a scene, and dataparser_transforms.json, which would say how, is not "
        "beside it; check that the scene and its cameras are in one frame",
        checkpoint,
    )


def say_frame_of_gsplat(checkpoint: Path) -> None:
    """Warn that gsplat's example trainer may have moved the scene, unless its cfg.yml says that it did not."""
    if not has_line(checkpoint.resolve().parent.parent / "cfg.yml", "normalize_world_space", "false"):
        _log.warning(
            "%s: gsplat's trainer turns, moves and scales a scene unless told --no-normalize-world-space, and does not "
            "note how; check that the scene and its cameras are in one frame",
            checkpoint,
        )
