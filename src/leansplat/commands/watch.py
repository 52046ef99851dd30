"""`leansplat watch`, and `seen`, which does the same for a run that this process is about to do."""

from __future__ import annotations

import logging
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer
from leansplat.commands.options import Flag, Json
from leansplat.temporary_folders import temporary_folder

_log = logging.getLogger("leansplat")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Watch a run that goes on, of this process or of another one: curves, the newest scene, a button that stops it.

    The page is served on this machine only, to whoever has its address, until Ctrl-C, which the run does not notice.
    `--view` of train, trim and shrink opens the same page.

    Example: leansplat watch runs/garden
    """

    folder: Annotated[
        Positional[Path],
        arg(metavar="RUN", help="Run folder of train, trim or compress, or the folder of --run of a shrinking."),
    ]
    no_open: Flag = False
    """Print the address and open no browser."""
    port: Annotated[int, arg(metavar="N", help_behavior_hint="(default: one that is free)")] = 0
    """Port to serve on."""
    json: Json = False

    def run(self) -> Answer:
        import json

        from leansplat.errors import RunError
        from leansplat.watching import Watching

        if not self.folder.is_dir():
            raise RunError(f"{self.folder} is not a run folder; name one where a run is going on")
        with Watching(self.folder, self.port) as watching, suppress(KeyboardInterrupt):  # which is how it ends
            values = {"address": watching.address, "run": str(self.folder)}
            print(json.dumps(values) if self.json else f"{watching.address}  (Ctrl-C ends it)", flush=True)
            if not self.no_open and not webbrowser.open(watching.address):
                _log.warning("no browser could be opened; open the address in one")
            forever = threading.Event()
            while not forever.wait(1):  # without a time, Windows would not hear of Ctrl-C
                pass
        return Answer("", values, said=True)


@contextmanager
def seen(wanted: bool, folder: Path | None, title: str = "") -> Iterator[Path | None]:
    """Let what is done in this block be watched, where that is wanted.

    Args:
        folder: where the run is kept; None for one that keeps nothing, for which there is then a temporary one, without
            a button to stop it, as nothing could go on from there.
        title: what the page is called; by default, as the folder.

    Yields:
        Where to keep the run: `folder`, or the temporary one.
    """
    if not wanted:
        yield folder
        return
    from leansplat.watching.companion import watched

    if folder is not None:
        with watched(folder, title=title):
            yield folder
        return
    with temporary_folder() as temporary, watched(temporary, stoppable=False, title=title):
        yield temporary
