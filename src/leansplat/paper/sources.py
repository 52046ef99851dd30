"""`Source`: where a capture of a sweep comes from, as it is written on the command line and in the plan.

fox=photos/fox@4          the photos in photos/fox at a quarter of their size, called fox
chair=photos/chair@white  on a white background
photos/garden             called garden; a scene of the paper's datasets, so at the size the paper has
synthetic                 the built-in capture
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leansplat.configs import Config
from leansplat.datasets import DATASETS, PAPER
from leansplat.errors import InputError
from leansplat.provenance import BACKGROUNDS

if TYPE_CHECKING:
    from leansplat.captures import Capture

_BUILT_IN = "synthetic"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_OPTION = re.compile(r"(.+)@([1-9][0-9]*|black|white)")


@dataclass(frozen=True)
class Source(Config):
    """A capture and how to load it.

    Args:
        name: what the sweep calls it: letters, digits, "_" and "-".
        folder: the folder of the photos, as it was given; "synthetic" is the built-in capture.
        downscale: photos are used at 1/downscale of their size.
        background: "black" or "white", behind photos with transparency.
    """

    name: str
    folder: str
    downscale: int = 1
    background: str = "black"

    def __str__(self) -> str:
        return f"{self.folder}@{self.downscale}@{self.background}"


def parse_source(text: str) -> Source:
    """The source that a word of the command line describes: [NAME=]FOLDER[@N][@white].

    Without @N, a scene of the paper's datasets is used at the size the paper has, any other at full size.

    Raises:
        InputError: it has no usable name, or there is no such folder.
    """
    given, folder = text.split("=", 1) if "=" in text else ("", text)
    options = {}
    while match := _OPTION.fullmatch(folder):
        folder, value = match.groups()
        options["background" if value in BACKGROUNDS else "downscale"] = value
    name = given or Path(folder).name
    if not _NAME.fullmatch(name):
        raise InputError(
            f"capture {text!r} needs a name of letters, digits, _ and -; write NAME=FOLDER, such as fox=photos/fox@4"
        )
    if folder != _BUILT_IN and not (folder and Path(folder).exists()):
        raise InputError(f"{folder or text} does not exist; give captures as NAME=FOLDER@N, such as fox=photos/fox@4")
    downscale = int(options["downscale"]) if "downscale" in options else _published_downscale(name)
    return Source(name, folder, downscale, options.get("background", "black"))


def _published_downscale(name: str) -> int:
    """The downscale papers use a scene with; 1 for one they do not have."""
    known = {scene.name: scene for name in PAPER for scene in DATASETS[name].scenes}
    return known[name].downscale if name in known else 1


def load_source(source: Source) -> Capture:
    """Load the capture.

    Raises:
        CaptureError: see `leansplat.captures.load`.
    """
    from leansplat.captures import load, synthetic_capture

    if source.folder == _BUILT_IN:
        return synthetic_capture()
    return load(source.folder, downscale=source.downscale, background=BACKGROUNDS[source.background])
