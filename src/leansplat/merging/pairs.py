"""Which Gaussians could become one, and which do: neighbours in space, the cheapest first, each in one pair only."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from leansplat.merging.moments import compiled
from leansplat.simd.threads import thread_count

NEIGHBOURS = 8
"""Nearest ones that a Gaussian could be merged with."""

_EVENNESS = 0.5
"""Power of the usual cost around that costs are divided by."""

_SMOOTHINGS = 3
"""How many neighbours of neighbours make up what is around."""

_BLOCK = 1 << 17


def neighbours(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) and (E,) int32, pairs of neighbours among centres (N, 3), each pair once, the lower index first.

    Two are neighbours where one is among the `NEIGHBOURS` nearest of the other.
    """
    count = min(NEIGHBOURS + 1, len(centres))
    tree = cKDTree(centres, balanced_tree=False)
    nearest = np.empty((len(centres), count), np.int32)
    for start in range(0, len(centres), _BLOCK):
        part = slice(start, start + _BLOCK)
        _, found = tree.query(centres[part], k=count, workers=thread_count())
        nearest[part] = found.reshape(-1, count)
    first, second = np.empty(nearest.size, np.int32), np.empty(nearest.size, np.int32)
    edges = _once(nearest, first, second)
    return first[:edges].copy(), second[:edges].copy()


@compiled
def _once(nearest, first, second):  # type: ignore[no-untyped-def]
    """Write each pair of `nearest` (N, K) once, the lower index first; how many there are."""
    edges = 0
    for row in range(nearest.shape[0]):
        for near in nearest[row]:
            if near == row:
                continue
            mutual = False
            for back in nearest[near]:
                mutual = mutual or back == row
            if row < near or not mutual:
                first[edges], second[edges] = min(row, near), max(row, near)
                edges += 1
    return edges


def evened(costs: np.ndarray, first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Costs (E,) of pairs among `count` Gaussians, each over the root of what is usual around it.

    The least sum of all costs would leave nothing of what is small and far from where it is guessed to be seen from,
    and the same rate everywhere would ignore costs; this is half way between the two.
    """
    degree = np.bincount(first, minlength=count) + np.bincount(second, minlength=count)
    total = np.bincount(first, costs, count) + np.bincount(second, costs, count)
    usual = np.log(total / np.maximum(degree, 1) + np.finfo(np.float32).tiny)
    for _ in range(_SMOOTHINGS):
        around = np.bincount(first, usual[second], count) + np.bincount(second, usual[first], count)
        usual = (usual + around) / (1 + degree)
    return (costs * np.exp(-_EVENNESS * (usual[first] + usual[second]) / 2)).astype(np.float32)


@compiled
def disjoint(order, first, second, most, taken):  # type: ignore[no-untyped-def]
    """The first pairs in an order of which no two share a Gaussian; a pair of one with itself stands for it alone.

    Args:
        order: (E,) int64, into first and second (E,).
        most: how many, at most.
        taken: (N,) bool, Gaussians that may not be in any; those that are become true.

    Returns:
        (M,) int64, the pairs.
    """
    chosen = np.empty(min(most, order.size), np.int64)
    count = 0
    for pair in order:
        if count == chosen.size:
            break
        i, j = first[pair], second[pair]
        if not taken[i] and not taken[j]:
            taken[i] = True
            taken[j] = True
            chosen[count] = pair
            count += 1
    return chosen[:count]
