"""How much memory it takes to shrink a scene, so that it is said beforehand where there may be too little.

The scene is there as given and as trained, with the moments of Adam, and twice more while a file is made of it; besides
there are the views, and what is kept to be used again, which grows up to a limit. The numbers below are round ones
above what was measured with a million Gaussians and with five (benchmarks/results/shrink_million.json,
shrink_5_million.json).
"""

from __future__ import annotations

import logging

from leansplat.memory import available_memory

FIXED, EACH = 500_000_000, 4_000
"""Bytes that a scene takes at all, and for each Gaussian, at most."""

_FIXED_OF_LARGE, _EACH_OF_LARGE = 2_500_000_000, 1_800
"""The same, where that is less: of some 900,000 Gaussians or more."""

_OF_A_BLOCK = 0.7
"""Share of what is free that a block may take; it has as many Gaussians again in its margin at most."""
_log = logging.getLogger("leansplat")


def memory_for(count: int) -> int:
    """Bytes that shrinking so many Gaussians may take."""
    return min(FIXED + EACH * count, _FIXED_OF_LARGE + _EACH_OF_LARGE * count)


def say_if_short(count: int) -> None:
    """Warn where the memory that is free may be too little for so many Gaussians, and say what takes less."""
    free, needed = available_memory(), memory_for(count)
    if free is None or needed <= free:
        return
    fitting = max(10_000, int((_OF_A_BLOCK * free - FIXED) / (2 * EACH)))
    digits = 10 ** (len(str(fitting)) - 1)
    _log.warning(
        "shrinking %s Gaussians may take %.1f GB of memory, and %.1f GB are free; if it does not come through, cut "
        "the scene into blocks: --blocks %dk",
        f"{count:,}",
        needed / 1e9,
        free / 1e9,
        fitting // digits * digits // 1000,
    )
