"""The process that `--view` starts beside a run: it serves the page until the run's process ends, however it ends.

It learns of that end from its standard input, which the run holds open and which the system closes for one that was
killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SECONDS_TO_END = 5.0


@contextmanager
def watched(folder: Path, *, stoppable: bool = True, title: str = "") -> Iterator[None]:
    """Let the run in a folder be watched during this block; the address is printed on standard error, and opened.

    Args:
        folder: of a run, or of the runs that a work keeps; it may be made later.
        stoppable: whether the run can be gone on with, so that the page has a button to stop it.
        title: what the page is called; by default, as the folder.
    """
    arguments = [sys.executable, "-m", __name__, os.fspath(folder), str(int(stoppable)), title]
    apart = {"start_new_session": True} if os.name != "nt" else {}
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **apart)  # type: ignore[call-overload]
    try:
        yield
    finally:
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(folder: Path, *, stoppable: bool, title: str) -> None:
    """Serve the page of a run until standard input ends."""
    from leansplat.watching.serving import Watching

    if hasattr(os, "nice"):
        os.nice(10)  # the run goes first
    with Watching(folder, stoppable=stoppable, title=title, attached=True) as watching:
        print(f"watch it: {watching.address}", file=sys.stderr, flush=True)
        webbrowser.open(watching.address)
        while sys.stdin.read(1):
            pass


if __name__ == "__main__":
    serve(Path(sys.argv[1]), stoppable=sys.argv[2] == "1", title=sys.argv[3])
