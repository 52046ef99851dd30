"""A Ray cluster of two nodes on this machine, of one thread each, whose workers and nodes can be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.patience import PATIENCE


class TwoNodes:
    """The cluster, and what can be done to it."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self._second = self._cluster.add_node(num_cpus=1)
        self._cluster.wait_for_nodes(timeout=PATIENCE)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_worker(self, task: str) -> bool:
        """Kill the process of Ray that works on a task; False where none does."""
        found = worker_of(task)
        if found is not None:
            os.kill(found, signal.SIGKILL)
        return found is not None

    def kill_second_node(self) -> None:
        """Kill what makes the second node one, as if its machine had gone."""
        os.kill(self._second.all_processes["raylet"][0].process.pid, signal.SIGKILL)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """The cluster, without a word to anyone outside."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DEDUP_LOGS", "0")
        cluster = TwoNodes()
        try:
            yield cluster
        finally:
            cluster.close()


def worker_of(task: str) -> int | None:
    """The process of Ray that works on a task of ours just now."""
    return next(processes(lambda line: line.strip() == f"ray::leansplat {task}"), None)


def processes(wanted: Callable[[str], bool]) -> Iterator[int]:
    """Processes of this machine by their command lines."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if wanted(path.read_bytes().replace(b"\0", b" ").decode(errors="replace")):
                yield int(path.parent.name)


def until(true: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait for something.

    Raises:
        AssertionError: it did not come about in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not come about"
        time.sleep(0.1)
