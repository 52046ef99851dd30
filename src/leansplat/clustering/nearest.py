"""Which centre is nearest to each point: exactly, or with a shortcut for tens of thousands of centres.

The shortcut compares points and centres by their leading principal components only, which hold most of the distances
at a third of the work; the best of each of 32 groups of centres are then compared in full. What it gives is in a few of
a hundred cases not the nearest, but one hardly farther.
"""

from __future__ import annotations

import numpy as np

from leansplat.clustering.nearest_kernel import best_of_columns, nearest_of
from leansplat.clustering.tile import POINTS, WIDTH

_CHUNK = 2**16
"""Points that are looked up at a time, which bounds the memory for what is in between."""

_KEPT_VARIANCE = 0.85
_SAMPLE = 2**14


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each point by Euclidean distance, up to the rounding of float32.

    The same on any number of threads.

    Args:
        points: (N, D) float32, finite.
        centres: (K, D) float32, finite; K is at least 1.

    Returns:
        (N,) int32 indices of centres; of centres equally near, the first.
    """
    lines = _packed(centres)
    labels = np.empty(len(points), np.int32)
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        best, scores = _columns(points[part], lines)
        equal = scores == scores.max(axis=1, keepdims=True)
        labels[part] = np.where(equal, best, np.iinfo(np.int32).max).min(axis=1)
    return labels


def candidates(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For each point 32 centres, nearly always the nearest among them.

    The same on any number of threads.

    Args:
        points: (N, D) float32, finite.
        centres: (K, D) float32, finite; K is at least 1.

    Returns:
        (N, 32) int32 indices of centres; where they are K or more, there are fewer candidates.
    """
    axes = _leading_axes(centres)
    lines = _packed(_projected(centres, axes))
    found = np.empty((len(points), WIDTH), np.int32)
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        found[part], _ = _columns(_projected(points[part], axes), lines)
    return found


def nearest_candidates(
    points: np.ndarray, centres: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each point's nearest among its candidates, as (N,) int32, and the squared distances, (N,) float32."""
    labels = np.empty(len(points), np.int32)
    distances = np.empty(len(points), np.float32)
    rows, flat = (np.ascontiguousarray(each, np.float32).reshape(-1) for each in (points, centres))
    nearest_of(rows, flat, points.shape[1], candidates, labels, distances)
    return labels, distances


def _columns(points: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best centre of each column for each point, (N, WIDTH) int32, and its score."""
    count, depth = points.shape
    rows = np.zeros((-(-count // POINTS) * POINTS, depth), np.float32)
    rows[:count] = points
    best = np.empty((len(rows), WIDTH), np.int32)
    scores = np.empty((len(rows), WIDTH), np.float32)
    best_of_columns(rows.reshape(-1), depth, lines, best, scores)
    return best[:count], scores[:count]


def _packed(centres: np.ndarray) -> np.ndarray:
    """Centres (K, D) in blocks as `best_of_columns` takes them."""
    count, depth = centres.shape
    padded = np.zeros((-(-count // WIDTH) * WIDTH, depth + 1), np.float32)
    padded[:, 0] = -np.inf  # columns without a centre never win
    padded[:count, 0] = -0.5 * np.square(centres, dtype=np.float64).sum(axis=1)
    padded[:count, 1:] = centres
    return np.ascontiguousarray(padded.reshape(-1, WIDTH, depth + 1).transpose(0, 2, 1)).reshape(-1)


def _leading_axes(centres: np.ndarray) -> np.ndarray:
    """(D, d) float64: the principal axes that hold most of the variance of the centres."""
    sample = centres[:: max(1, len(centres) // _SAMPLE)].astype(np.float64)
    sample -= sample.mean(axis=0)
    variance, axes = np.linalg.eigh(np.einsum("ni,nj->ij", sample, sample))  # the library for matrix products would
    held = np.cumsum(variance[::-1])  # add up in another order on another number of threads
    return axes[:, ::-1][:, : 1 + int(np.searchsorted(held, _KEPT_VARIANCE * held[-1]))]


def _projected(rows: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return np.einsum("nd,dk->nk", rows, axes.astype(np.float32))
