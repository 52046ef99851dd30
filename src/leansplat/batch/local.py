"""`LocalExecutor`: tasks in processes of this machine, so many at once.

Every worker is a thread that waits for the process of its task; what takes time, memory and may crash is in there.
"""

from __future__ import annotations

import queue
import subprocess
import threading
from types import TracebackType

from leansplat.batch.piece import run_piece, stop
from leansplat.batch.tasks import Outcome, Task

_LISTENING = 0.5
"""Seconds after which one that waits looks up, for Windows, where nothing else would let Ctrl-C through."""


class LocalExecutor:
    """An `Executor` that runs each task in a process here.

    Args:
        workers: tasks at once.
        told: how they work, in a line.
    """

    def __init__(self, workers: int, told: str = "") -> None:
        self.slots = workers
        self.told = told
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Task, Outcome] | BaseException] = queue.SimpleQueue()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._changing, self._stopped = threading.Lock(), False
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def start(self, task: Task) -> None:
        self._tasks.put(task)

    def finished(self) -> tuple[Task, Outcome]:
        while True:
            try:
                ended = self._ended.get(timeout=_LISTENING)
            except queue.Empty:
                continue
            if isinstance(ended, BaseException):
                raise ended
            return ended

    def __enter__(self) -> LocalExecutor:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        with self._changing:
            self._stopped = True
            for process in self._running:
                stop(process)
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None and not self._stopped:
            started: list[subprocess.Popen[bytes]] = []

            def began(process: subprocess.Popen[bytes], started: list[subprocess.Popen[bytes]] = started) -> None:
                with self._changing:
                    started.append(process)
                    self._running.add(process)
                    if self._stopped:
                        stop(process)

            try:
                self._ended.put((task, run_piece(task, began=began)))
            except BaseException as error:  # a mistake of ours, for whoever waits
                self._ended.put(error)
            finally:
                with self._changing:
                    self._running.difference_update(started)
