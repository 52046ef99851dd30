"""`RayExecutor`: tasks on the nodes of a Ray cluster, which places them by what they take.

A task travels as JSON, an outcome comes back as JSON, and nothing else goes through Ray: scenes are where their
addresses say. Ray is told never to begin a task again by itself. A task whose worker or node died comes back as one
that died, and `scheduling` begins it again as one that goes on from its checkpoints, which Ray could not know.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from leansplat.batch.ray_work import clean_node, do_task, sees, version_here
from leansplat.batch.tasks import CHECKPOINTS, DIED, FAILED, INPUT, OUTPUT, RUN, Cost, Outcome, Task
from leansplat.errors import InputError
from leansplat.storage import is_address

_LISTENING = 0.5
"""Seconds after which one that waits looks up, so that Ctrl-C gets through."""
_COUNTED_FOR = 5.0
"""Seconds for which the resources of the cluster are taken to be what they were."""
_GRACE = 15.0
"""Seconds that tasks get to end when all is stopped."""
_PROBING = 120.0
_ANSWERING = 10.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "0"}
"""No reports to Ray's makers, and no words about that; what is said of cards stays as it is set."""

_log = logging.getLogger("leansplat")


class RayExecutor:
    """An `Executor` that runs each task as a task of Ray.

    Args:
        address: of the cluster, such as "10.0.0.1:6379"; empty for that of RAY_ADDRESS, or one on this machine.
        cost: what a task takes usually, for how many fit.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str, cost: Cost) -> None:
        self._ray = _import_ray()
        self._cost = cost
        self._own = not self._ray.is_initialized()
        if self._own:
            _connect(self._ray, address)
        self._flying: dict[Any, Task] = {}
        self._slots, self._counted = 1, -_COUNTED_FOR
        self._probe: Path | None = None
        self._unplaceable: set[Cost] = set()

    @property
    def slots(self) -> int:
        if time.monotonic() >= self._counted + _COUNTED_FOR:
            self._counted = time.monotonic()
            self._slots = max(1, sum(_fitting(node["Resources"], self._cost) for node in self._nodes()))
        return self._slots

    @property
    def told(self) -> str:
        nodes = len(self._nodes())
        threads = self._cost.threads
        return (
            f"a Ray cluster of {nodes} node{'' if nodes == 1 else 's'}, {self.slots} tasks of {threads} "
            f"thread{'' if threads == 1 else 's'} at once"
        )

    def start(self, task: Task) -> None:
        self._warn_if_unplaceable(task.cost)
        local = _paths_of(task)
        if local and self._probe is None:
            self._check_shared(Path(task.log if not is_address(task.log) else local[0]).absolute().parent)
        probe = str(self._probe) if local and self._probe is not None else ""
        options = {
            "num_cpus": task.cost.threads,
            "memory": task.cost.memory or None,
            "num_gpus": task.cost.gpus or None,
            "max_retries": 0,
            "name": f"leansplat {task.name}",
        }
        work = self._ray.remote(do_task).options(**{key: value for key, value in options.items() if value is not None})
        self._flying[work.remote(json.dumps(task.to_json()), version_here(), os.getcwd(), probe)] = task

    def finished(self) -> tuple[Task, Outcome]:
        while True:
            done, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=_LISTENING)
            if done:
                return self._flying.pop(done[0]), self._outcome(done[0])

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        try:
            for reference in self._flying:
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)
            if self._flying:
                self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=_GRACE)
            self._flying.clear()
            with suppress(Exception):
                self._on_every_node(clean_node, timeout=_GRACE)
        finally:
            if self._probe is not None:
                self._probe.unlink(missing_ok=True)
            if self._own:
                self._ray.shutdown()

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return Outcome(**json.loads(self._ray.get(reference)))
        except errors.TaskCancelledError:
            return Outcome(FAILED, sentence="it was cancelled in the cluster")
        except errors.OutOfMemoryError:
            return Outcome(DIED, sentence="its Ray worker was ended for want of memory on its node")
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
            return Outcome(DIED, sentence="its Ray worker or the node that it was on died")
        except errors.RayTaskError as error:
            first = str(error).strip().splitlines()[-1]
            return Outcome(FAILED, sentence=f"its Ray worker could not run it ({first})")
        except errors.RayError as error:
            return Outcome(DIED, sentence=f"Ray lost it ({str(error).splitlines()[0]})")

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _warn_if_unplaceable(self, cost: Cost) -> None:
        if cost in self._unplaceable or any(_fitting(node["Resources"], cost) for node in self._nodes()):
            return
        self._unplaceable.add(cost)
        _log.warning("no node of the cluster has %s; waiting for one that has", _described(cost))

    def _check_shared(self, folder: Path) -> None:
        """See that all nodes have the same files where tasks have paths.

        Raises:
            InputError: a node has not.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._probe = folder / f".leansplat-batch-{os.urandom(8).hex()}"
        self._probe.touch()
        seen = self._on_every_node(sees, str(self._probe), timeout=_PROBING)
        blind = [node for node, result in seen.items() if result is False]
        if blind:
            raise InputError(
                f"{folder} is not the same folder on node {blind[0]} of the cluster, one of {len(seen)}; use a disk "
                "that all nodes share, or give addresses such as s3://bucket/scenes"
            )

    def _on_every_node(self, function: Any, *arguments: Any, timeout: float) -> dict[str, Any]:
        """What a function returns on each node, by the name of the node; None where it did not answer in time."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = {}
        for node in self._nodes():
            there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            remote = self._ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[remote.remote(*arguments)] = f"{node['NodeManagerHostname']} {node['NodeID'][:8]}"
        done, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=timeout)
        answers = dict.fromkeys(asked.values())
        for reference in done:
            with suppress(self._ray.exceptions.RayError):
                answers[asked[reference]] = self._ray.get(reference)
        return answers


def _import_ray() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise InputError(
            f"--ray needs Ray, which cannot be imported ({error}); install it with pip install 'leansplat[ray]'"
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    asked = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _knock(asked)
        with _silent():
            ray.init(address=asked, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False)
    except Exception as error:  # whatever it is that Ray meets on the way to a cluster
        where = f"at {asked}" if asked != "auto" else "on this machine, and RAY_ADDRESS names none"
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"there is no Ray cluster {where} ({first}); start one with ray start --head, give its address, or leave "
            "--ray out"
        ) from error


def _knock(asked: str) -> None:
    """See that something answers at the address of a cluster, for which Ray itself would wait for many minutes.

    Raises:
        OSError: nothing does.
    """
    if asked == "auto":
        from ray._private.services import find_bootstrap_address

        asked = find_bootstrap_address(None) or ""
    host, _, port = asked.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERING).close()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray's words about connecting from the terminal, and later on, from standard output, those about what died.

    For the second there is no setting: the function that a thread of Ray prints them by is replaced while that begins.
    """
    worker: Any = import_module("ray._private.worker")
    logger = logging.getLogger("ray")
    before, logger.disabled = logger.disabled, True
    printing = getattr(worker, "listen_error_messages", None)
    worker.listen_error_messages = lambda *_: None
    try:
        yield
    finally:
        logger.disabled = before
        worker.listen_error_messages = printing


def _fitting(resources: dict[str, float], cost: Cost) -> int:
    """How many tasks a node with these resources can work on at once."""
    wanted = {"CPU": cost.threads, "memory": cost.memory, "GPU": cost.gpus}
    return int(min(resources.get(name, 0.0) // amount for name, amount in wanted.items() if amount))


def _described(cost: Cost) -> str:
    parts = [f"{cost.threads} CPUs" if cost.threads != 1 else "a CPU"]
    parts += [f"{cost.memory / 1e9:.1f} GB of memory"] if cost.memory else []
    parts += [f"{cost.gpus:g} GPUs"] if cost.gpus else []
    return " and ".join(parts)


def _paths_of(task: Task) -> list[str]:
    """The places of a task that are paths."""
    named = [place.address for place in task.places(OUTPUT, RUN, CHECKPOINTS, INPUT)]
    named += [task.log] + ([] if task.answer is None else [task.answer])
    return [text for text in named if not is_address(text)]
