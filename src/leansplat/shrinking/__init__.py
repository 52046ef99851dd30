"""`shrink`: any scene in, the file that was asked for out, with or without photos.

The names below are imported on first use, so that reading a target does not wait for PyTorch and the kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.shrinking.config import ShrinkingConfig
    from leansplat.shrinking.from_photos import FromPhotos, train_to_file
    from leansplat.shrinking.ladder import Level, parse_ladder
    from leansplat.shrinking.levels import LadderResult, shrink_ladder
    from leansplat.shrinking.shrinker import ShrinkingResult, shrink
    from leansplat.shrinking.sizes import format_bytes, parse_bytes
    from leansplat.shrinking.targets import PRESETS, Target, preset

__all__ = [
    "PRESETS",
    "FromPhotos",
    "LadderResult",
    "Level",
    "ShrinkingConfig",
    "ShrinkingResult",
    "Target",
    "format_bytes",
    "parse_bytes",
    "parse_ladder",
    "preset",
    "shrink",
    "shrink_ladder",
    "train_to_file",
]

_WHERE = {
    "PRESETS": "targets",
    "LadderResult": "levels",
    "Level": "ladder",
    "ShrinkingConfig": "config",
    "FromPhotos": "from_photos",
    "ShrinkingResult": "shrinker",
    "Target": "targets",
    "format_bytes": "sizes",
    "parse_bytes": "sizes",
    "parse_ladder": "ladder",
    "preset": "targets",
    "shrink": "shrinker",
    "shrink_ladder": "levels",
    "train_to_file": "from_photos",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat.shrinking' has no attribute {name!r}")
    return getattr(import_module(f"leansplat.shrinking.{_WHERE[name]}"), name)
