"""How every command loads a capture: with the options they share, and telling people what the loader has to say."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture

_log = logging.getLogger("leansplat")


def load_capture(
    folder: Path, downscale: int, background: tuple[float, float, float], *, points: bool = False
) -> Capture:
    """Load a capture and log each of its warnings, such as photos that are missing.

    Raises:
        CaptureError: see `leansplat.captures.load`.
    """
    from leansplat.captures import load
    from leansplat.distributed.joining import leading

    channel = leading()
    if channel is None:
        capture = load(folder, downscale=downscale, background=background, points=points)
    else:
        from leansplat.processes.capture import load_shared

        capture = load_shared(channel, folder, downscale=downscale, background=background, points=points)
    for warning in capture.warnings:
        _log.warning("%s", warning)
    return capture
