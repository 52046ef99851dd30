"""`cut`: space in blocks of as many Gaussians each, however unevenly these lie.

Space is halved across the longest side of where most centres are, at a plane with as many blocks on either side as
there are Gaussians for, until every part is one block (a k-d tree, Bentley 1975). Nothing but the centres decides, and
of equal ones the order in the file, so the same scene is cut alike everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leansplat.formats.levels import ChunkTree

_SAMPLE = 1 << 18
"""Centres that say where most are; of more, every so manyth is asked."""

_OUTSKIRTS = 1.0
"""Percent of the centres on either side of an axis that do not count for where most are."""


@dataclass(frozen=True)
class Cut:
    """Where N Gaussians belong.

    Args:
        labels: (N,) int32, the block of each, numbered so that neighbours follow each other.
        boxes: (B, 2, 3) float64, lowest and highest corner of where most of each block's centres are.
        tree: how space was halved.
    """

    labels: np.ndarray
    boxes: np.ndarray
    tree: ChunkTree


def cut(means: np.ndarray, blocks: int) -> Cut:
    """Cut a scene of N Gaussians into blocks of N / `blocks`, up to one more or less.

    Args:
        means: (N, 3) centres. Those that are not finite count as in the middle.
        blocks: 1 to N.
    """
    broken = ~np.isfinite(means).all(axis=1)
    if broken.any():
        middle = np.median(means[~broken], axis=0) if not broken.all() else np.zeros(3)
        means = np.where(broken[:, None], middle.astype(means.dtype), means)
    labels = np.zeros(len(means), np.int32)
    boxes = np.zeros((blocks, 2, 3))

    def halve(rows: np.ndarray, first: int, count: int) -> ChunkTree:
        box = _box(means, rows)
        if count == 1:
            labels[rows] = first
            boxes[first] = box
            return first
        low = count // 2
        values = means[rows, int(np.argmax(box[1] - box[0]))]
        below = _lowest(values, len(rows) * low // count)
        return halve(rows[below], first, low), halve(rows[~below], first + low, count - low)

    tree = halve(np.arange(len(means), dtype=np.int32 if len(means) < 2**31 else np.int64), 0, blocks)
    return Cut(labels, boxes, tree)


def distances_to(box: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(N,) how far centres (N, 3) lie outside of a box (2, 3), along the axis where that is most; 0 inside it.

    NaN for those that are not finite.
    """
    return np.maximum(box[0] - means, means - box[1]).max(axis=1).clip(min=0)


def _box(means: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(2, 3) lowest and highest corner of where most of some centres are."""
    some = means[rows[:: -(-len(rows) // _SAMPLE)]]
    return np.percentile(some.astype(np.float64), [_OUTSKIRTS, 100 - _OUTSKIRTS], axis=0)


def _lowest(values: np.ndarray, count: int) -> np.ndarray:
    """(n,) bool: the `count` lowest of some values, of equal ones the first."""
    if count == 0:
        return np.zeros(len(values), bool)
    limit = np.partition(values, count - 1)[count - 1]
    chosen = values < limit
    equal = np.flatnonzero(values == limit)
    chosen[equal[: count - int(chosen.sum())]] = True
    return chosen
