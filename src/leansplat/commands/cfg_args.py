"""A word of warning where a command's options differ from those that an output folder of 3DGS was trained with."""

from __future__ import annotations

import logging
import re
from pathlib import Path

_log = logging.getLogger("leansplat")


def warn_of_other_settings(scene: Path, background: str, downscale: int | None = None) -> None:
    """Compare options with the `cfg_args` of the folder `scene`, or beside the file `scene`, if there is one.

    Args:
        background: "black" or "white".
        downscale: of the photos that are loaded, None where none are.
    """
    from leansplat.errors import InputError
    from leansplat.formats.inria_folder import read_cfg_args

    file = (scene if scene.is_dir() else scene.parent) / "cfg_args"
    if not file.is_file():
        return
    try:
        settings = read_cfg_args(file)
    except InputError as error:
        _log.warning("%s", error)
        return
    trained_on = "white" if settings.get("white_background") else "black"
    if background != trained_on:
        _log.warning("%s: trained on a %s background; pass --background %s", file, trained_on, trained_on)
    # -1, the default, takes photos as they are up to 1600 pixels across; any number but these is a width.
    folder = re.fullmatch(r"images_(\d{1,2})", str(settings.get("images")))
    resolution = settings.get("resolution") if settings.get("resolution") in (1, 2, 4, 8) else None
    if downscale is not None and (folder or resolution):
        trained_at = int(folder[1] if folder else 1) * (resolution or 1)
        if downscale != trained_at:
            _log.warning("%s: trained on photos at 1/%d; pass --downscale %d", file, trained_at, trained_at)
