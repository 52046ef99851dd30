"""`ProgressBar`: tells a person how far a long job is, on standard error, and nobody else.

On a terminal it is a bar that moves; in a log file or a pipe it is a line now and then, since a bar would fill the file
with its own redrawing. Standard output stays free for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES, _LIVELY = 20.0, 4.0


class ProgressBar:
    """A `Progress` that draws; use it in a `with` block, which removes what it drew at the end.

    Args:
        label: what is going on, such as "train".
        stream: where to draw; standard error by default.
        of_bytes: whether the steps are bytes, which are shown as MB and MB per second.
        lively: whether a log file gets a line for the beginning of each stage, and one every four seconds.

    Example:
        >>> with ProgressBar("train") as progress:            # doctest: +SKIP
        ...     train(capture, progress=progress)
    """

    def __init__(
        self, label: str, stream: TextIO | None = None, *, of_bytes: bool = False, lively: bool = False
    ) -> None:
        self._work = self._label = label
        self._of_bytes = of_bytes
        self._lively = lively
        self._start: tuple[float, int] | None = None  # time and steps at the first call
        self._stream = sys.stderr if stream is None else stream
        self._bar: tqdm | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def stage(self, name: str) -> None:
        """As `leansplat.progress.StagedProgress`: what is drawn from here on is called by this name, too."""
        self._close()
        self._label, self._start = f"{self._work}, {name}", None
        if self._lively:
            self._last_line = time.monotonic()
            print(self._label, file=self._stream, flush=True)

    def __call__(self, done: int, total: int, values: Mapping[str, float], /) -> None:
        """As `leansplat.progress.Progress`."""
        now = time.monotonic()
        self._start = self._start or (now, done)
        shown = {name: _short(value) for name, value in values.items()}
        if self._stream.isatty():
            self._draw(done, total, shown)
        elif done >= total or now - self._last_line >= (_LIVELY if self._lively else _SECONDS_BETWEEN_LINES):
            self._last_line = now
            notes = "".join(f", {name} {value}" for name, value in shown.items())
            state = f"{done} of {total}"
            if self._of_bytes:
                begin, already = self._start
                rate = (done - already) / max(now - begin, 1e-3)
                state = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {rate / 1e6:,.1f} MB/s"
            print(f"{self._label}: {state}{notes}", file=self._stream, flush=True)

    def _draw(self, done: int, total: int, shown: Mapping[str, str]) -> None:
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            self._close()
            unit = {"unit": "B", "unit_scale": True} if self._of_bytes else {}
            self._bar = tqdm(total=total, desc=self._label, file=self._stream, leave=False, initial=done, **unit)
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _short(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
