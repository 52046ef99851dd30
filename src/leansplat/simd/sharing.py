"""Getting a fair share of a machine that others use too: with fewer threads while those have to wait for each other.

A kernel is done when its slowest thread is. Where another program takes one core for a while, the thread that runs
there holds up all others, several times a step; half as many threads, each with a core of its own, then take less
time. Whether it is so is not known beforehand, so it is tried: when threads got clearly less of the processor than
there are cores for them, a few steps run on half of them, and whichever was quicker goes on. Results are the same bits
either way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from leansplat.simd.threads import thread_count, working_threads

_WINDOW_SECONDS, _WINDOW_STEPS = 0.15, 4
"""Steps are judged together for at least so long."""
_CROWDED = 0.75
"""Threads wait for each other, or for a core, where they get less than this of the processor."""
_STAY = 20
"""Windows between two tries of what was slower."""


class FairShare:
    """Chooses, step by step, whether all threads or half of them work; for one loop of steps."""

    def __init__(self) -> None:
        self.fewer = False
        """Whether half of the threads work on the next step."""
        self._trying = False
        self._windows_left = 2  # the first window may have kernels to compile
        self._pace = 0.0  # seconds a step in the window before a try
        self._start_window()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Surrounds a step: sets the threads for it, and learns from how long it took."""
        threads = thread_count()
        working = max(1, threads // 2) if self.fewer else threads
        wall, processor = time.perf_counter(), time.process_time()
        with working_threads(working):
            yield
        self.learn(time.perf_counter() - wall, time.process_time() - processor, working, threads)

    def learn(self, wall: float, processor: float, working: int, threads: int) -> None:
        """Take note of a step.

        Args:
            wall: seconds it took.
            processor: seconds of processor time it took, over all threads.
            working: threads that worked on it.
            threads: those there are.
        """
        if threads == 1:
            return
        self._steps += 1
        self._wall += wall
        self._processor += processor
        if self._steps < _WINDOW_STEPS or self._wall < _WINDOW_SECONDS:
            return
        pace, crowded = self._wall / self._steps, self._processor < _CROWDED * working * self._wall
        self._windows_left -= 1
        if self._trying:
            self._trying = False
            if pace > self._pace:
                self.fewer = not self.fewer
            self._windows_left = _STAY
        elif self._windows_left <= 0 and (self.fewer or crowded):
            self._trying, self._pace = True, pace
            self.fewer = not self.fewer
        self._start_window()

    def _start_window(self) -> None:
        self._steps, self._wall, self._processor = 0, 0.0, 0.0
