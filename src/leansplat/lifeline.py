"""A child process that ends when its parent does, however that ends.

The parent holds the other end of the child's standard input, and nobody else does. When the parent is gone the system
closes that end, and a thread of the child, which waits for just this, ends the child. It works the same everywhere and
needs no help of whoever is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress

_ASKED = "LEANSPLAT_LIFELINE"
"""Environment variable that says that the standard input is one."""


def with_lifeline(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child whose standard input is a pipe that its parent never writes to."""
    return {**environment, _ASKED: "1"}


def hold_lifeline() -> None:
    """End this process when its parent has ended, if the parent has asked for that."""
    if os.environ.pop(_ASKED, None) is not None:  # and none of the processes that this one starts
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    with suppress(OSError):
        while os.read(0, 1 << 10):
            pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with whatever it has started itself
    os._exit(1)
