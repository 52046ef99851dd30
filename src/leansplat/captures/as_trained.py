"""`opened`: a capture for whoever is given one, or the folder of one.

A folder is loaded as the scene was trained, so far as the scene's folder tells, and what the loader has to say is
logged, since nobody else would.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians
from leansplat.provenance import BACKGROUNDS, TrainedWith, color_name, trained_with

_log = logging.getLogger("leansplat")


class Opened(NamedTuple):
    """A capture, and what a run records of where it comes from and how it was loaded; nothing of one from memory."""

    capture: Capture
    settings: Mapping[str, Any]


def opened(
    capture: Capture | str | os.PathLike[str],
    scene: Gaussians | str | os.PathLike[str] | None,
    *,
    points: bool = True,
) -> Opened:
    """The capture itself, or that in a folder, at the size and on the background that the scene was trained with.

    Args:
        capture: photos with cameras, or the folder of a capture as `leansplat.load_capture` takes it.
        scene: what the capture is to be used with. What it tells of its training decides; else photos have their full
            size, and are on black. None for a scene that is not there yet.
        points: whether to read the capture's points; with them, a run of any command records the same capture.

    Raises:
        CaptureError: see `leansplat.load_capture`.
    """
    if isinstance(capture, Capture):
        return Opened(capture, {})
    known = TrainedWith() if scene is None or isinstance(scene, Gaussians) else trained_with(scene)
    background, downscale = known.background or BACKGROUNDS["black"], known.downscale or 1
    if (background, downscale) != (BACKGROUNDS["black"], 1):
        _log.warning(
            "photos are loaded as in training, which %s says: background %s, downscale %d",
            known.source,
            color_name(background),
            downscale,
        )
    loaded = load(capture, downscale=downscale, background=background, points=points)
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    return Opened(loaded, {"capture": str(capture), "downscale": downscale})
