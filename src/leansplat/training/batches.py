"""Which training views a step with a batch sees: a matter of seed, step and the size of the batch alone.

A batch of B has B slots, and slot b draws from a fixed part of the views, those whose index is b modulo B: all of them
in random order, then all again in another. Neighbouring photos, which show nearly the same, are in different parts, so
every batch is spread over the capture. Whoever computes a slot needs the photos of its part and of no other, which is
how several processes share them; how many processes there are changes nothing about what a batch holds.

A step with one view draws in another way, from a queue in the state (`TrainingState.next_view`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from leansplat.distributed.environment import check_shared
from leansplat.errors import InputError


def check_batch(batch: int, views: int) -> None:
    """Refuse a batch that a capture has too few training views for, or that cannot be shared.

    Raises:
        InputError: a slot would be left without any, or processes cannot share it evenly.
    """
    check_shared(batch)
    if batch > views:
        raise InputError(
            f"a batch of {batch} views was asked for, but the capture has {views} to train on; give {views} or less"
        )


def views_of_batch(seed: int, number: int, batch: int, views: int) -> list[int]:
    """Indices of the training views that a batch holds, one for each slot.

    Args:
        seed: of the order.
        number: of the batch, counted from 0.
        batch: slots, 1 to `views`.
        views: training views there are.
    """
    found = []
    for slot in range(batch):
        part = len(range(slot, views, batch))
        turn, place = divmod(number, part)
        found.append(slot + batch * _order(seed, slot, turn, part)[place])
    return found


@lru_cache(maxsize=1024)
def _order(seed: int, slot: int, turn: int, part: int) -> tuple[int, ...]:
    """The order in which a slot goes through its part of the views for the `turn`-th time."""
    return tuple(np.random.default_rng([seed, slot, turn]).permutation(part).tolist())
