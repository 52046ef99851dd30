"""Engines: what holds a scene, renders it, and takes training steps on it. `engine.py` says what each of them can do.

An engine is a module with an `ENGINE`, by name in `ENGINES`, and imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.engines.engine import Engine

ENGINES = {
    "cpu": "leansplat.engines.cpu.engine",
    "torch": "leansplat.engines.torch.engine",
    "gsplat": "leansplat.engines.torch.gsplat",
}
"""Modules of the engines by the engines' names."""

DEVICES = {"cpu": "cpu", "cuda": "gsplat"}
"""The engine that works on each kind of device, in the words of `--device`."""


def named(name: str) -> Engine:
    """The engine of a name in `ENGINES`, ready to work here.

    Raises:
        InputError: there is none of that name, or something that it needs is not there.
    """
    found = known(name)
    found.check()
    return found


def known(name: str) -> Engine:
    """The engine of a name in `ENGINES`, which reads what it has written even where it cannot work.

    Raises:
        InputError: there is none of that name.
    """
    if name not in ENGINES:
        raise InputError(f"there is no engine {name!r}; give one of {', '.join(ENGINES)}")
    found: Engine = import_module(ENGINES[name]).ENGINE
    return found if _around is None else _around(found)


_around: Callable[[Engine], Engine] | None = None


@contextmanager
def surrounded(by: Callable[[Engine], Engine]) -> Iterator[None]:
    """Let engines, during this block, be what `by` makes of each of them; see `leansplat.processes`."""
    global _around
    before, _around = _around, by
    try:
        yield
    finally:
        _around = before
