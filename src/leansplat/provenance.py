"""`trained_with`: what a scene's folder tells of the photos it was trained on, for whatever is done with it afterwards.

A run knows background and downscale from its config.json, an output folder of 3DGS from its `cfg_args`; a scene file in
such a folder counts as the folder. On another background a scene looks wrong wherever it is not opaque.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leansplat.errors import InputError

Color = tuple[float, float, float]

BACKGROUNDS: Mapping[str, Color] = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
"""Colours that have a name."""

_LARGEST_CONFIG = 1 << 20
_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class TrainedWith:
    """What is known of a scene's training.

    Args:
        source: the file that tells, None where there is none.
        background: (r, g, b) in [0, 1]; None where it is not told.
        downscale: the photos had 1/downscale of their size; None where it is not told.
    """

    source: Path | None = None
    background: Color | None = None
    downscale: int | None = None


def trained_with(scene: str | os.PathLike[str]) -> TrainedWith:
    """What the folder `scene`, or the folder of the file `scene`, tells of its training."""
    scene = Path(scene)
    folders = [scene] if scene.is_dir() else [scene.parent]
    if re.fullmatch(r"iteration_\d+", scene.parent.name) and scene.parent.parent.name == "point_cloud":
        folders.append(scene.parent.parent.parent)
    for folder in folders:
        for name, read in (("config.json", _from_run), ("cfg_args", _from_3dgs)):
            if (folder / name).is_file():
                found = read(folder / name)
                if found is not None:
                    return found
    return TrainedWith()


def warn_of_another_background(known: TrainedWith, background: Color) -> None:
    """Say it where a scene is to be looked at on another background than it was trained on."""
    if known.background is not None and known.background != background:
        _log.warning(
            "%s says that the scene was trained on a %s background, not on %s; its edges and gaps will look wrong",
            known.source,
            color_name(known.background),
            color_name(background),
        )


def color_name(color: Color) -> str:
    """ "white", or "(0.5, 0.5, 0.5)" for a colour without a name."""
    names = [name for name, value in BACKGROUNDS.items() if value == color]
    return names[0] if names else "({:g}, {:g}, {:g})".format(*color)


def _from_run(file: Path) -> TrainedWith | None:
    """None where the file is not a run's; other tools have a config.json, too."""
    try:
        with open(file, "rb") as handle:
            config = json.loads(handle.read(_LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s cannot be read (%s), so background and downscale of the training are not known", file, error)
        return None
    if not isinstance(config, Mapping) or not isinstance(config.get("settings"), Mapping):
        return None
    settings = config["settings"]
    background, downscale = settings.get("background"), settings.get("downscale")
    color = None
    if isinstance(background, str) and background in BACKGROUNDS:
        color = BACKGROUNDS[background]
    elif isinstance(background, list) and len(background) == 3 and all(map(_is_share, background)):
        color = (float(background[0]), float(background[1]), float(background[2]))
    elif background is not None:
        _not_understood(file, "background", background)
    if downscale is not None and (type(downscale) is not int or downscale < 1):
        _not_understood(file, "downscale", downscale)
        downscale = None
    return TrainedWith(file, color, downscale)


def _from_3dgs(file: Path) -> TrainedWith | None:
    from leansplat.formats.inria_folder import read_cfg_args  # here, so that `BACKGROUNDS` do not wait for PyTorch

    try:
        settings = read_cfg_args(file)
    except InputError as error:
        _log.warning("%s", error)
        return None
    # -1, the default, takes photos as they are up to 1600 pixels across; any number but these is a width.
    folder = re.fullmatch(r"images_(\d{1,2})", str(settings.get("images")))
    resolution = settings.get("resolution") if settings.get("resolution") in (1, 2, 4, 8) else None
    downscale = int(folder[1] if folder else 1) * (resolution or 1) if folder or resolution else None
    return TrainedWith(file, BACKGROUNDS["white" if settings.get("white_background") else "black"], downscale or None)


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def _not_understood(file: Path, name: str, value: object) -> None:
    _log.warning("%s has the %s %r, which is not understood; say which one to use", file, name, value)
