"""`Progress`: how anything that takes long tells its caller how far it is.

One meaning everywhere: so much of so much is done. The command line shows it as a bar (`progress_bar`); in a script any
function of three arguments will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Called now and then while the work goes on, and once more when all of it is done.

    A piece of work that has several parts counts each of them from its beginning: `done` is then less than before.

    Example:
        >>> def show(done, total, values):
        ...     print(f"{done} of {total}, loss {values.get('loss', 0):.3f}")
        >>> train(capture, progress=show)  # doctest: +SKIP
    """

    def __call__(self, done: int, total: int, values: Mapping[str, float], /) -> None:
        """`done` of `total` steps, cameras, files or bytes are behind; `values` are numbers to show beside it, by name.

        Training gives "loss" and "gaussians"; where there is nothing to tell besides, it is empty.
        """


@runtime_checkable
class StagedProgress(Progress, Protocol):
    """A `Progress` that wants to know by name which piece of work begins, where there are several."""

    def stage(self, name: str) -> None:
        """What is counted from here on, in a few words, such as "rendering the scene"."""


def at_stage(progress: Progress | None, name: str) -> Progress | None:
    """The same progress, told what begins where it wants to know."""
    if isinstance(progress, StagedProgress):
        progress.stage(name)
    return progress
