"""What torchrun tells a process of itself, in variables of its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from leansplat.errors import InputError

_NAMES = {"rank": "RANK", "count": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_count": "LOCAL_WORLD_SIZE"}
"""Variables by what they say."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that torchrun started.

    Args:
        rank: its number, from 0; count: how many there are, at least 2.
        local_rank, local_count: the same on its machine.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int

    @property
    def leads(self) -> bool:
        return self.rank == 0


def place() -> Place | None:
    """That of this process; None where it works alone.

    Raises:
        InputError: the variables say nothing that can be.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    try:
        found = Place(**{entry: int(os.environ[name]) for entry, name in _NAMES.items()})
        if not (0 <= found.rank < found.count and 0 <= found.local_rank < found.local_count <= found.count):
            raise ValueError
    except (KeyError, ValueError):
        said = ", ".join(f"{name}={os.environ.get(name)}" for name in _NAMES.values())
        raise InputError(
            f"the environment speaks of several processes and does not say which this is ({said}); start them with "
            "torchrun, or unset WORLD_SIZE"
        ) from None
    return found


def work_alone() -> None:
    """Forget what torchrun has told: neither this process nor any that it starts is one of several from now on."""
    for name in _NAMES.values():
        os.environ.pop(name, None)


def threads_of(place: Place) -> int:
    """Threads for a process: its share of the machine's cores, whatever torchrun sets for OpenMP."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // place.local_count)


def check_shared(batch: int) -> None:
    """Refuse a batch whose views cannot be shared out evenly.

    Raises:
        InputError: it is no multiple of the number of processes.
    """
    here = place()
    if here is not None and batch % here.count:
        raise InputError(
            f"a batch of {batch} views cannot be shared by {here.count} processes; give a --batch that is a multiple "
            f"of {here.count}, or start another number of processes"
        )
