"""The order of Gaussians in a compressed PLY, whose every 256 share the ranges of their positions.

Morton order makes chunks small, but one far Gaussian in a chunk leaves its 255 neighbours steps as coarse as it is far.
Where that would show, far ones come after near ones, and chunks are closed where a near one would otherwise share with
a far one. A closed chunk is filled up with invisible copies of its last Gaussian, since the layout has no shorter ones.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from leansplat.arrays import AnyScene, GaussianArrays, concatenate
from leansplat.formats.visibility import weights, widths
from leansplat.ordering import morton_order
from leansplat.strays import Distances, distances

CHUNK = 256
"""Gaussians that share ranges."""

AXES = (11, 10, 11)
"""Bits of a position within its chunk's range."""

_SHELL = 8.0
"""Each shell of far Gaussians is so many times as wide as the one within; the innermost in extents of the scene."""

_ROUNDS = 8
_CLOSED = 16
"""Chunks that may be closed early, and one more for every 32 there are."""

_MUCH = 0.1
"""Of a chunk's weight: with less harm it is as good as any."""

_LITTLE = 0.1
"""Of a chunk's harm, what may remain when it is cut: smaller chunks always help a little."""

_INVISIBLE = -17.0
"""A logit that every number of bits rounds to nothing."""


def arranged(gaussians: AnyScene) -> tuple[GaussianArrays, np.ndarray]:
    """A finite scene of N as its file is to hold it, and the order of its rows in the file, (M,) int64.

    Rows from N on are invisible ones that fill chunks. Usually there are none, and the order is Morton order.
    """
    gaussians = gaussians.arrays()
    order = morton_order(gaussians.means)
    crowd = _Crowd(gaussians)
    usual = crowd.harm(order, [])
    if not usual.any():
        return gaussians, order
    measured = distances(gaussians)
    crowd.forget(measured.strays())
    better = _from_the_middle_out(gaussians, measured)
    cuts: list[int] = []
    for _ in range(_ROUNDS):
        found = crowd.cuts(better, cuts, _CLOSED + len(order) // CHUNK // 32 - len(cuts))
        if not found:
            break
        cuts = sorted({*cuts, *found})
    if crowd.harm(better, cuts).sum() < crowd.harm(order, []).sum():
        return _filled(gaussians, better, cuts)
    return gaussians, order


class _Crowd:
    """The Gaussians of a scene as far as they can harm each other: by sharing ranges.

    One is harmed where rounding may move it by more than half of its width; a chunk where that is much of its weight.
    """

    def __init__(self, gaussians: GaussianArrays) -> None:
        self._means = gaussians.means.astype(np.float64)
        self._widths = widths(gaussians.scales)
        self._weights = weights(gaussians)

    def forget(self, rows: np.ndarray) -> None:
        """Let Gaussians (N,) bool be harmed."""
        self._weights = np.where(rows, 0, self._weights)

    def harm(self, order: np.ndarray, cuts: list[int]) -> np.ndarray:
        """The weight that is harmed in each chunk of an order that is cut at some places; 0 where it is little."""
        if len(order) == 0:
            return np.zeros(0)
        starts = _starts(cuts, len(order))
        means, shares = self._means[order], self._weights[order]
        ranges = np.maximum.reduceat(means, starts) - np.minimum.reduceat(means, starts)
        diagonals = np.repeat(_diagonals(ranges), np.diff(np.append(starts, len(order))))
        harm = np.add.reduceat(np.where(diagonals > self._widths[order], shares, 0), starts)
        return np.where(harm > _MUCH * np.add.reduceat(shares, starts), harm, 0)

    def cuts(self, order: np.ndarray, cuts: list[int], most: int) -> list[int]:
        """Further places to cut an order at, in those of its chunks where that helps, the most harmed first."""
        harm = self.harm(order, cuts)
        ends = np.append(_starts(cuts, len(order)), len(order))
        worst = np.argsort(-harm, kind="stable")[: max(most, 0)]
        places = [(int(ends[k]), self._best_cut(order[ends[k] : ends[k + 1]])) for k in worst if harm[k] > 0]
        return [start + cut for start, cut in places if cut]

    def _best_cut(self, rows: np.ndarray) -> int:
        """Where to cut a chunk so that hardly any weight is harmed in its two parts; 0 where there is no such place."""
        means, sizes, shares = self._means[rows], self._widths[rows], self._weights[rows]
        before, after = (
            _diagonals(np.maximum.accumulate(part) - np.minimum.accumulate(part)) for part in (means, means[::-1])
        )
        places = np.arange(1, len(rows))
        is_before = np.arange(len(rows)) < places[:, None]
        diagonals = np.where(is_before, before[places - 1][:, None], after[len(rows) - places - 1][:, None])
        harm = np.where(diagonals > sizes, shares, 0).sum(axis=1)
        uncut = shares[before[-1] > sizes].sum()
        return int(places[harm.argmin()]) if len(places) and harm.min() <= _LITTLE * uncut else 0


def _diagonals(ranges: np.ndarray) -> np.ndarray:
    """Lengths of a step's diagonal, twice what rounding moves at most, for ranges (n, 3)."""
    return np.linalg.norm(ranges / (2.0 ** np.array(AXES) - 1), axis=1)


def _from_the_middle_out(gaussians: GaussianArrays, measured: Distances) -> np.ndarray:
    """(N,) int64: shells around the middle of the scene, each in Morton order of its own."""
    reach = np.maximum(measured.of / max(_SHELL * measured.extent, np.finfo(np.float64).tiny), 1)
    shells = np.ceil(np.log(reach) / np.log(_SHELL)).astype(np.int64)
    parts = [np.flatnonzero(shells == shell) for shell in np.unique(shells)]
    return np.concatenate([rows[morton_order(gaussians.means[rows])] for rows in parts])


def _starts(cuts: list[int], count: int) -> np.ndarray:
    return np.concatenate([np.arange(start, end, CHUNK) for start, end in pairwise([0, *cuts, count])])


def _filled(gaussians: GaussianArrays, order: np.ndarray, cuts: list[int]) -> tuple[GaussianArrays, np.ndarray]:
    """The scene and its order with enough invisible Gaussians that chunks begin at the cuts."""
    pieces: list[np.ndarray] = []
    copied: list[int] = []
    for start, end in pairwise([0, *cuts, len(order)]):
        missing = -(end - start) % CHUNK if end < len(order) else 0
        pieces += [order[start:end], len(gaussians) + len(copied) + np.arange(missing)]
        copied += [int(order[end - 1])] * missing
    if not copied:
        return gaussians, order
    invisible = gaussians[copied]
    invisible.opacities[:] = _INVISIBLE
    return concatenate([gaussians, invisible]), np.concatenate(pieces)
