"""`shared`: how many Gaussians each block shall have, so that they are exactly as many as were asked for.

Blocks share in proportion to their Gaussians that can be drawn at all: what is too faint for that goes everywhere
before anything that shows. Fractions go to the blocks that they were largest for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leansplat.errors import InputError


def shared(count: int, given: Sequence[int], drawable: Sequence[int]) -> tuple[int, ...]:
    """Gaussians of each of B blocks, at least one and no more than it has, `count` together.

    Args:
        count: at most as many as there are.
        given: Gaussians of each block, at least one.
        drawable: those of them that can be drawn.

    Raises:
        InputError: there are more blocks than Gaussians to share.
    """
    if count < len(given):
        raise InputError(
            f"{count:,} Gaussian{'' if count == 1 else 's'} cannot be shared among {len(given):,} blocks; make fewer "
            "blocks, or keep more"
        )
    whole, seen = np.array(given), np.clip(drawable, 1, None)
    if count >= seen.sum():
        return tuple((seen + _portions(count - int(seen.sum()), whole - seen)).tolist())
    return tuple((1 + _portions(count - len(seen), seen - 1)).tolist())


def _portions(count: int, weights: np.ndarray) -> np.ndarray:
    """`count` in whole portions by weights (B,) int, whose sum is at least that; none is above its weight."""
    total = int(weights.sum())
    if total == 0:
        return np.zeros_like(weights)
    portions = np.array([count * weight // total for weight in weights.tolist()])
    rests = np.array([count * weight % total for weight in weights.tolist()], dtype=object)
    most = sorted(range(len(rests)), key=lambda index: -rests[index])
    portions[most[: count - int(portions.sum())]] += 1
    return portions
