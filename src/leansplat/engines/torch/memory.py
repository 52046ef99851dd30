"""`memory_of`: when a card has no memory left, one sentence that says what would fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from leansplat.cameras import Camera
from leansplat.errors import LeansplatError

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_ROOM = 0.9
"""The share of a card that is counted on; the rest is for the desktop and for the gaps between tensors."""


@contextmanager
def memory_of(count: int, camera: Camera, *, trained: bool = False) -> Iterator[None]:
    """A block that draws `count` Gaussians in a view, with gradients if the scene is `trained`.

    Raises:
        LeansplatError: the device has not enough memory for it.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak, total = _held_and_total()
        fits = what_fits(count, peak + _asked_for(str(error)), total)
        size = f" on a card of {total / 2**30:.1f} GiB" if total else ""
        advice = f"about {fits:,} Gaussians would fit, or" if fits else "use"
        kept = "; what a run has kept in its last checkpoint stands" if trained else ""
        raise LeansplatError(
            f"there is not enough memory for {count:,} Gaussians at {camera.width}x{camera.height}{size}; "
            f"{advice} smaller photos (--downscale){kept}"
        ) from error


def what_fits(count: int, needed: int, total: int) -> int:
    """How many Gaussians fit where `count` need some bytes of a total, in two digits; 0 where nothing is known.

    What is needed grows with their number: parameters, moments, gradients, and the pairs of Gaussian and tile.
    """
    if needed <= 0 or total <= 0:
        return 0
    fits = int(count * min(1.0, _ROOM * total / needed))
    step = 10 ** max(0, len(str(fits)) - 2)
    return fits // step * step


def _held_and_total() -> tuple[int, int]:
    """Bytes that tensors took on the card at most, and that it has; zeros where there is none."""
    if not torch.cuda.is_available():
        return 0, 0
    return torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory


def _asked_for(message: str) -> int:
    """Bytes of the tensor for which there was no room, as PyTorch says it; 0 where it says nothing."""
    found = re.search(r"allocate ([\d.]+) (KiB|MiB|GiB)", message)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0
