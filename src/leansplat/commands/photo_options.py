"""Background and downscale that a command uses: its options, else what the scene was trained with, else black and 1.

What is taken from the training is said in a line, what contradicts it is warned of.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.provenance import BACKGROUNDS, TrainedWith, color_name, trained_with, warn_of_another_background

_LARGEST_DOWNSCALE = 1000
_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class PhotoOptions:
    """How photos are loaded and scenes are looked at.

    Args:
        background: (r, g, b) in [0, 1].
        downscale: photos are used at 1/downscale of their size.
    """

    background: tuple[float, float, float]
    downscale: int

    def to_json(self) -> dict[str, Any]:
        """To record in a run."""
        names = [name for name, color in BACKGROUNDS.items() if color == self.background]
        return {"downscale": self.downscale, "background": names[0] if names else list(self.background)}


def photo_options(
    scene: Path | None, background: str | None, downscale: int | None, *, photos: bool = True, warn: bool = True
) -> PhotoOptions:
    """What to use with a scene, or in a run that goes on.

    Args:
        scene: a scene file or folder; None for a scene that is not there yet.
        background, downscale: the options, None where they are not given.
        photos: whether photos are loaded; else the downscale does not matter.
        warn: whether to warn of another background than that of training, which some of the library does by itself.

    Raises:
        InputError: the downscale makes no sense.
    """
    if downscale is not None and not 1 <= downscale <= _LARGEST_DOWNSCALE:
        raise InputError(f"--downscale is {downscale}; give 1 to {_LARGEST_DOWNSCALE}")
    known = TrainedWith() if scene is None else trained_with(scene)
    taken = []
    color = BACKGROUNDS["black" if background is None else background]
    if background is None and known.background is not None:
        color = known.background
        taken += [f"background {color_name(color)}"] if color != BACKGROUNDS["black"] else []
    elif warn:
        warn_of_another_background(known, color)
    size = 1 if downscale is None else downscale
    if known.downscale is not None and photos:
        if downscale is None:
            size = known.downscale
            taken += [f"downscale {size}"] if size != 1 else []
        elif downscale != known.downscale:
            _log.warning(
                "%s says that the scene was trained on photos at 1/%d of their size, not at 1/%d",
                known.source,
                known.downscale,
                size,
            )
    if taken:
        _log.warning(
            "%s says that the scene was trained with %s, which is used here too", known.source, " and ".join(taken)
        )
    return PhotoOptions(color, size)
