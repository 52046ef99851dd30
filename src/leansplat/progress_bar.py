"""`ProgressBar`: tells a person how far a long job is, on standard error, and nobody else.

On a terminal it is one line that moves, with rate and time left; in a log file or a pipe it is a line now and then,
since a bar would fill the file with its own redrawing. Standard output stays free for results.

Work that counts nothing, such as loading, compiling or measuring, is a stage with a name. A thread of its own says that
name when nothing else has been said for a while, so that nothing is silent for more than five seconds, whatever it is.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 4.0
_SECONDS_TO_A_NAME = 2.0
"""What takes less is not worth a line."""
_TICK = 1.0


class ProgressBar:
    """A `Progress` that draws; use it in a `with` block, which removes what it drew at the end.

    Args:
        label: what is going on, such as "train".
        stream: where to draw; standard error by default.
        of_bytes: whether the steps are bytes, which are shown as MB and MB per second.
        quiet: whether it says nothing at all.

    Example:
        >>> with ProgressBar("train") as progress:            # doctest: +SKIP
        ...     train(capture, progress=progress)
    """

    def __init__(
        self, label: str, stream: TextIO | None = None, *, of_bytes: bool = False, quiet: bool = False
    ) -> None:
        self._work = self._label = label
        self._of_bytes = of_bytes
        self._quiet = quiet
        self._start: tuple[float, int] | None = None  # time and steps at the first call
        self._stream = sys.stderr if stream is None else stream
        self._bar: tqdm | None = None
        self._last_line = self._stage_began = time.monotonic()
        self._named = False  # whether a line has said what is going on
        self._unsaid: tuple[float, int, int, Mapping[str, float]] | None = None  # what was told since the last line
        self._drawing = threading.RLock()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> ProgressBar:
        if not self._quiet:
            self._ticker = threading.Thread(target=self._keep_ticking, daemon=True)
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        self._close()

    def stage(self, name: str) -> None:
        """As `leansplat.progress.StagedProgress`: what goes on from here on is called by this name, too.

        An empty name is the work itself.
        """
        with self._drawing:
            self._close()
            self._label, self._start = f"{self._work}, {name}" if name else self._work, None
            self._stage_began, self._named, self._unsaid = time.monotonic(), False, None
            if not self._quiet and self._stream.isatty():
                self._bar = tqdm(desc=self._label, file=self._stream, leave=False, bar_format="{desc}: {elapsed}")

    def __call__(self, done: int, total: int, values: Mapping[str, float], /) -> None:
        """As `leansplat.progress.Progress`."""
        if self._quiet:
            return
        with self._drawing:
            now = time.monotonic()
            self._start = self._start or (now, done)
            if self._stream.isatty():
                self._draw(done, total, {name: _short(value) for name, value in values.items()})
                return
            self._unsaid = now, done, total, values
            if done >= total or now - self._last_line >= _SECONDS_BETWEEN_LINES:
                self._say_what_was_told(*self._unsaid)

    def tick(self) -> None:
        """Say what is going on, where nothing has been said for a while; called every second by a thread."""
        with self._drawing:
            if self._stream.isatty():
                if self._bar is not None:
                    self._bar.refresh()
                return
            now = time.monotonic()
            passed = now - self._stage_began
            if now - self._last_line < (_SECONDS_BETWEEN_LINES if self._named else _SECONDS_TO_A_NAME):
                return
            if self._unsaid is not None:
                self._say_what_was_told(*self._unsaid)
            elif passed >= _SECONDS_TO_A_NAME:
                self._say(f"{self._label}: {passed:,.0f} s so far" if self._named else self._label)

    def _keep_ticking(self) -> None:
        while not self._over.wait(_TICK):
            self.tick()

    def _say(self, line: str) -> None:
        self._last_line, self._named, self._unsaid = time.monotonic(), True, None
        print(line, file=self._stream, flush=True)

    def _say_what_was_told(self, now: float, done: int, total: int, values: Mapping[str, float]) -> None:
        notes = "".join(f", {name} {_short(value)}" for name, value in values.items())
        self._say(f"{self._label}: {self._state(now, done, total)}{notes}")

    def _state(self, now: float, done: int, total: int) -> str:
        """How much is done, how fast, and how much time is left."""
        assert self._start is not None
        begin, already = self._start
        rate = (done - already) / max(now - begin, 1e-3)
        left = f", {_duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        if self._of_bytes:
            return f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {rate / 1e6:,.1f} MB/s{left}"
        return f"{done} of {total}" + (f", {rate:.3g} a second{left}" if rate > 0 and now > begin else "")

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


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
