"""What a worker of Ray does: `do_task` from JSON to JSON. It imports nothing of Ray before it is in one."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

from leansplat.batch.piece import run_piece
from leansplat.batch.tasks import FAILED, Outcome, Task
from leansplat.files import clear_abandoned
from leansplat.storage import Cache, scratch_root


def do_task(task: str, version: str, folder: str, probe: str) -> str:
    """Run a task to its end on this node.

    Args:
        task: as JSON.
        version: of leansplat where the task comes from, which must be that of this node.
        folder: that paths of the task are relative to.
        probe: a file that is there where paths mean the same as for whoever sent the task; empty without paths.

    Returns:
        the outcome as JSON.
    """
    where = _where()
    if version != version_here():
        sentence = f"node {where} has leansplat {version_here()}, and this is {version}; install the same on all nodes"
        return json.dumps(asdict(Outcome(FAILED, sentence=sentence, where=where)))
    if probe and not sees(probe):
        sentence = (
            f"{Path(probe).parent} is another folder on node {where}; use a disk that all nodes share, or addresses"
        )
        return json.dumps(asdict(Outcome(FAILED, sentence=sentence, where=where)))
    if probe:
        os.chdir(folder)
    return json.dumps(asdict(replace(run_piece(Task.from_json(json.loads(task))), where=where)))


def version_here() -> str:
    """The version of leansplat in this place, empty for one that was not installed."""
    try:
        return version_of("leansplat")
    except PackageNotFoundError:
        return ""


def sees(path: str) -> bool:
    """Whether a file is there on this node."""
    return Path(path).exists()


def clean_node() -> None:
    """Delete what was fetched for others, and what pieces of work that were killed have left."""
    Cache().clear()
    clear_abandoned(scratch_root())


def _where() -> str:
    """The name of this machine and of its node in the cluster, of which a machine may have several."""
    import ray

    return f"{platform.node()} {ray.get_runtime_context().get_node_id()[:8]}"
