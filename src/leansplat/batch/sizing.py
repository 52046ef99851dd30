"""`workers_for`: how many scenes are worked on at once on this machine, by its cores and by the memory that is free.

What a command takes is estimated from its largest input: so much for the program, so much for each Gaussian (see
`commands.COMMANDS`), and the photos of a capture as they lie in memory. A worker has its equal share of the cores.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from leansplat.batch.commands import Batchable
from leansplat.batch.fingerprints import size_of
from leansplat.errors import InputError
from leansplat.memory import available_memory

_BYTES_PER_GAUSSIAN = {".ply": 200, ".compressed.ply": 55, ".splat": 32, ".pth": 700, ".ckpt": 700, ".pt": 230}
"""Of files by their suffix, rather too few; those of others are small."""
_OF_OTHERS = 12
_PHOTOS_IN_MEMORY = 12
"""Times as much as in their files, which are JPEG."""
_KEPT_FREE = 0.8
"""Share of the free memory that is counted on."""
_MOST = 512


@dataclass(frozen=True)
class Workers:
    """How the work is shared out.

    Args:
        count: tasks at once.
        threads: of each.
        memory: bytes that a task is thought to take.
        told: all of it in a line.
    """

    count: int
    threads: int
    memory: int
    told: str


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_of(known: Batchable, source: str, capture: str | None, downscale: int) -> int:
    """Bytes that a command is thought to take for a scene and its capture."""
    fixed, each = known.memory
    photos = capture if known.takes != "capture" else source
    gaussians = 0 if known.takes == "capture" else _gaussians(source)
    loaded = 0 if photos is None else (size_of(photos) or 0) * _PHOTOS_IN_MEMORY // max(1, downscale) ** 2
    return fixed + each * gaussians + loaded


def workers_for(needed: int, *, tasks: int, workers: int | None, threads: int | None, card: bool = False) -> Workers:
    """The workers of a batch.

    Args:
        needed: bytes that its largest task is thought to take; 0 where nobody knows.
        tasks: how many there are.
        workers, threads: what was asked for; None where nothing was.
        card: whether every task works on a graphics card.

    Raises:
        InputError: the number of workers is out of range.
    """
    check_workers(workers)
    here, free = cores(), available_memory()
    count = workers
    if count is None:
        fitting = here if not needed or free is None else max(1, int(_KEPT_FREE * free) // needed)
        count = 1 if card else max(1, min(here // (threads or 1), fitting, max(1, tasks)))
    each = threads or max(1, here // count)
    facts = [f"{here} core{'' if here == 1 else 's'}"]
    facts += [] if free is None else [f"{free / 1e9:.1f} GB of memory free"]
    facts += [f"about {needed / 1e9:.1f} GB for the largest"] if needed else []
    told = f"{count} worker{'' if count == 1 else 's'} with {each} thread{'' if each == 1 else 's'} each"
    return Workers(count, each, needed, f"{told} ({', '.join(facts)})")


def check_workers(workers: int | None) -> None:
    """Refuse a number of workers that is out of range.

    Raises:
        InputError: it is.
    """
    if workers is not None and not 1 <= workers <= _MOST:
        raise InputError(f"--workers is {workers}; give 1 to {_MOST}")


def _gaussians(source: str) -> int:
    name = source.lower()
    suffix = max((known for known in _BYTES_PER_GAUSSIAN if name.endswith(known)), key=len, default="")
    if not suffix and Path(source).is_dir():
        suffix = ".ply"
    return (size_of(source) or 0) // _BYTES_PER_GAUSSIAN.get(suffix, _OF_OTHERS)
