"""Codebooks of single numbers: 256 values that stand for millions, with the least squared error.

In one dimension k-means has an optimum that dynamic programming finds: clusters are intervals, and the best way to cut
the sorted numbers into k intervals extends the best way to cut fewer of them into k - 1 (Wang and Song 2011). Cuts are
tried at a few thousand places of the sorted numbers, spread both by rank and by value, so that neither a dense middle
nor far outliers go without.
"""

from __future__ import annotations

import numba
import numpy as np

_PLACES = 2048
"""Cuts by rank, and as many by value."""

_CELLS = 4096
"""Of the grid that looks values up."""


def scalar_codebook(
    values: np.ndarray, size: int = 256, weights: np.ndarray | None = None, tolerance: float = 0.0
) -> np.ndarray:
    """The `size` numbers with the least (weighted) squared distance to the nearest of them, summed over `values`.

    With no more than `size` different values, these are the codebook. Otherwise it is optimal among cuts at 4,096
    places. The same on any number of threads.

    Args:
        values: (N,) finite numbers that float32 can hold.
        weights: (N,) not negative, what each value counts; 1 by default.
        tolerance: mean squared error that is allowed. If numbers at even steps reach it, they are the codebook: codes
            from it take fewer bytes when they are compressed than those from any other with the same error (Gish and
            Pierce 1968).

    Returns:
        (size,) float32, ascending; the last repeated where there are fewer, 0 where there are none.
    """
    values = values.astype(np.float32, copy=False)
    if weights is None:
        ordered, mass = np.sort(values), None
    else:
        order = np.argsort(values, kind="stable")
        order = order[weights[order] > 0]
        ordered, mass = values[order], weights[order].astype(np.float64)
    if len(ordered) == 0:
        return np.zeros(size, np.float32)
    starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)  # of equal values
    if len(starts) > size:
        even = _even_cuts(ordered, size, tolerance)
        starts = _cuts(ordered, starts) if even is None else even
    sums, masses = _bins(ordered, mass, starts)
    if len(starts) > size:
        ends = _best_cuts(np.append(0, np.cumsum(masses)), np.append(0, np.cumsum(sums)), size)
        first = np.append(0, ends[:-1])
        sums, masses = np.add.reduceat(sums, first), np.add.reduceat(masses, first)
    codes = _middle(ordered) + sums / masses
    return np.append(codes, np.full(size - len(codes), codes[-1])).astype(np.float32)


def nearest_codes(values: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The index of the nearest entry of an ascending codebook of at most 256, as uint8 in the shape of `values`."""
    between = (codebook[1:].astype(np.float64) + codebook[:-1]) / 2
    codes = np.zeros(values.shape, np.uint8)
    if len(between) and codes.size:
        # A grid says about where in the codebook a value is, which a few steps from there make exact.
        edges = np.linspace(between[0], between[-1], _CELLS + 1)
        starts = np.searchsorted(between, np.append(between[0], edges[:-1]))  # of the cell before, to be safe
        _nearest_codes(np.ascontiguousarray(values).reshape(-1), between, starts, codes.reshape(-1))
    return codes


@numba.njit(nogil=True, cache=True, parallel=True)
def _nearest_codes(values, between, starts, codes):  # type: ignore[no-untyped-def]
    lowest, highest = between[0], between[-1]
    cells = starts.size - 1
    per_unit = cells / (highest - lowest) if highest > lowest else 0.0
    for row in numba.prange(values.size):
        value = np.float64(values[row])
        if value > highest:
            codes[row] = between.size
        elif value > lowest:
            code = starts[min(int((value - lowest) * per_unit), cells - 1)]
            while between[code] < value:
                code += 1
            codes[row] = code


def _even_cuts(ordered: np.ndarray, size: int, tolerance: float) -> np.ndarray | None:
    """The first place of each occupied step of the width that gives an error of `tolerance`; None if they are too many.

    A step that is spread evenly over has its width squared over 12.
    """
    width = np.sqrt(12 * tolerance)
    if width == 0:
        return None
    steps = np.rint(ordered / width)  # a step is centred at zero
    cuts = np.append(0, np.flatnonzero(steps[1:] != steps[:-1]) + 1)
    return cuts if len(cuts) <= size else None


def _middle(ordered: np.ndarray) -> float:
    """Sums around it cancel less than around zero."""
    return float(ordered[len(ordered) // 2])


def _bins(ordered: np.ndarray, mass: np.ndarray | None, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sum around the middle, and weight, of the values from each start to the next."""
    if mass is None:
        masses = np.diff(np.append(starts, len(ordered))).astype(np.float64)
        return np.add.reduceat(ordered, starts, dtype=np.float64) - _middle(ordered) * masses, masses
    return np.add.reduceat(mass * (ordered - _middle(ordered)), starts), np.add.reduceat(mass, starts)


def _cuts(ordered: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Some of `starts`, where values change: as many spread by rank as by value."""
    if len(starts) <= 2 * _PLACES:
        return starts
    by_rank = starts[np.linspace(0, len(starts) - 1, _PLACES).astype(np.int64)]
    grid = np.linspace(ordered[0], ordered[-1], _PLACES, dtype=np.float64)
    return np.union1d(by_rank, np.searchsorted(ordered, grid))


@numba.njit(nogil=True, cache=True)
def _best_cuts(mass, sums, size):  # type: ignore[no-untyped-def]
    """The ends of `size` intervals of bins that minimise the squared error around their means.

    That error is the sum of squares, which is fixed, minus S^2 / W of each interval; so the sum of S^2 / W is
    maximised. The best last cut never moves back when the end moves on, so each half of the ends needs only look on its
    side of the middle's cut.

    Args:
        mass, sums: (bins + 1,) cumulated weights, and weights times values.

    Returns:
        (size,) int64, the last being the number of bins.
    """
    bins = mass.size - 1
    before = np.zeros(bins + 1)
    for end in range(1, bins + 1):
        before[end] = sums[end] * sums[end] / mass[end]
    cut = np.zeros((size, bins + 1), np.int32)
    stack = np.empty((64, 4), np.int64)
    for layer in range(1, size):
        now = np.full(bins + 1, -np.inf)
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = layer + 1, bins, layer, bins - 1
        depth = 1
        while depth:
            depth -= 1
            first, last, low, high = stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3]
            if first > last:
                continue
            end = (first + last) // 2
            best = low
            for at in range(low, min(high, end - 1) + 1):
                weight = mass[end] - mass[at]
                total = sums[end] - sums[at]
                value = before[at] + total * total / weight
                if value > now[end]:
                    now[end] = value
                    best = at
            cut[layer, end] = best
            stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = first, end - 1, low, best
            stack[depth + 1, 0], stack[depth + 1, 1], stack[depth + 1, 2], stack[depth + 1, 3] = (
                end + 1, last, best, high,
            )  # fmt: skip
            depth += 2
        before = now
    ends = np.empty(size, np.int64)
    end = bins
    for layer in range(size - 1, -1, -1):
        ends[layer] = end
        end = cut[layer, end]
    return ends
