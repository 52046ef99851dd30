"""`Timetable`: what fits into the minutes that shrinking may take, how far to merge and how many steps to train.

How long merging takes is known only afterwards. So it comes first, by what views show for half of the time that is left
and by geometry alone from then on, and steps are timed on what it came to.

What came of it is kept in the folder of the work, a file for each stage on the way. A work that was interrupted goes on
with that, since its checkpoints are of so many steps and of a scene that was merged like that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

from leansplat.configs import Config
from leansplat.errors import InputError, RunError
from leansplat.files import write_json
from leansplat.shrinking.descent import Descent, Stage
from leansplat.shrinking.pace import steps_within

_SHARE_OF_MERGING = 0.5
"""Of the time that is left, in which views judge what is merged."""

_AFTER_A_ROUND = 2.0
"""What a round of merging takes with what comes after the last one, in times of the round before."""


@dataclass(frozen=True)
class Fitted(Config):
    """What fitted into the time on the way from one stage to the next.

    Args:
        count: Gaussians at the end.
        steps: training steps.
        trimming: for each time that Gaussians were merged first, the steps of trimming there seemed to be time for.
        rounds: likewise, the rounds of merging that views judged.
    """

    count: int
    steps: int
    trimming: tuple[int, ...] = ()
    rounds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.trimming) != len(self.rounds):
            raise InputError(f"{len(self.trimming)} times of merging have {len(self.rounds)} numbers of rounds")


class Timetable:
    """Fits the work on each of several files into its share of some minutes.

    Args:
        descent: goes down; its folder keeps what was fitted.
        minutes: for all files, since `began`, as `time.perf_counter` gives it.
        files: that are to be made in all.
        for_encoding: says how many of some steps go through the rounding of a file.
    """

    def __init__(
        self, descent: Descent, minutes: float, began: float, files: int, for_encoding: Callable[[int], int]
    ) -> None:
        self._descent, self._for_encoding = descent, for_encoding
        self._end, self._files = began + 60 * minutes, files
        self._stages = 0

    def begun(
        self, above: Stage, count: int, made: int, afterwards: float = 0.0, *, merges: bool = True
    ) -> tuple[Stage, int]:
        """The stage to go down from to `count` Gaussians, merged already where it is to be, and the steps to train.

        Args:
            made: files that there are already.
            afterwards: seconds that other work on this file takes when the steps are made.
            merges: whether Gaussians may be merged first.

        Raises:
            RunError: what an interrupted work has left cannot be read.
        """
        self._stages += 1
        path = self._descent.folder / f"timetable-{self._stages:02}.json"
        known = _read(path) if self._descent.resume and path.exists() else None
        if known is not None and known.count == count:
            return self._merged_again(above, known), known.steps
        above, fitted = self._fitted(above, count, made, afterwards, merges=merges)
        self._descent.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, fitted.to_json(), overwrite=True)
        return above, fitted.steps

    def _merged_again(self, above: Stage, known: Fitted) -> Stage:
        for trimming, rounds in zip(known.trimming, known.rounds, strict=True):
            so_many = partial(next, repeat(True, rounds), False)
            above = self._descent.merged_first(above, known.count, trimming, so_many)
        return above

    def _fitted(self, above: Stage, count: int, made: int, afterwards: float, *, merges: bool) -> tuple[Stage, Fitted]:
        now = time.perf_counter()
        left = max(0.0, max(0.0, self._end - now) / max(1, self._files - made) - afterwards)
        end, until = now + left, now + _SHARE_OF_MERGING * left
        trimming: list[int] = []
        rounds: list[int] = []
        more = len(above.gaussians) + 1
        while merges and len(above.gaussians) < more:
            more, steps = len(above.gaussians), self._steps(above, count, end)
            in_time = _RoundsUntil(until)
            trimming.append(steps - self._for_encoding(steps))
            above = self._descent.merged_first(above, count, trimming[-1], in_time)
            rounds.append(in_time.made)
        return above, Fitted(count, self._steps(above, count, end), tuple(trimming), tuple(rounds))

    def _steps(self, above: Stage, count: int, end: float) -> int:
        return steps_within(
            end - time.perf_counter(),
            above.gaussians,
            count,
            self._descent.teacher,
            self._for_encoding(100) / 100,
            trims=above.before is not None or count < len(above.gaussians),
            engine=self._descent.engine,
        )


def overtime(minutes: float | None, seconds: float) -> tuple[str, ...]:
    """What there is to say of work that took so many seconds where it was to take some minutes."""
    if minutes is None or seconds <= 60 * minutes:
        return ()
    return (
        f"it took {seconds / 60:.2g} minutes, though {minutes:g} were asked for; "
        "looking around, encoding and measuring take as long as the scene asks",
    )


class _RoundsUntil:
    """Says before each round of merging whether there is time for it; `made` counts those that there was."""

    def __init__(self, until: float) -> None:
        self._until, self._last = until, time.perf_counter()
        self.made = 0

    def __call__(self) -> bool:
        now = time.perf_counter()
        fits = now + _AFTER_A_ROUND * (now - self._last) <= self._until
        self._last = now
        self.made += fits
        return fits


def _read(path: Path) -> Fitted:
    try:
        return Fitted.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, InputError) as error:
        raise RunError(f"{path} cannot be read ({error}); start again with --overwrite") from error
