"""Codebooks of vectors: k-means for up to tens of thousands of centres in dozens of dimensions.

Centres start at points drawn by their squared distance to a coarser clustering (after Arthur and Vassilvitskii 2007),
so that they are where the error is. A round lists for every point the centres that may be nearest, which is the
expensive part, and moves the centres several times by these lists. Beyond half a million points a round sees a batch of
them, and sums over earlier batches fade by the share that a batch is of all (Sculley 2010). A centre that no point
chose moves to where the error is.
"""

from __future__ import annotations

import numba
import numpy as np

from leansplat.clustering.nearest import candidates, nearest, nearest_candidates

_BATCH = 2**19
"""Points in a round, at most."""

_MOVES = 3
"""Of the centres, in a round."""

_POINTS_A_COARSE_CENTRE = 64
_UNIFORM_SHARE = 0.05
"""Of the centres at first, which go by weight alone."""


def kmeans(
    points: np.ndarray,
    count: int,
    *,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    rounds: int = 2,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Centres with a small (weighted) sum of squared distances from points to the nearest of them.

    The same seed gives the same centres, on any number of threads.

    Args:
        points: (N, D) float32, finite, N at least 1.
        count: centres wanted, at least 1.
        weights: (N,) float32, not negative and not all zero, what each point counts; 1 by default.
        start: (count, D) float32, where the centres are at first; drawn from the points by default.
        rounds: how often candidates are listed; the centres move three times a round.
        seed: of what is drawn.

    Returns:
        (K, D) float32 centres and (K,) float64, what the points that last chose each weigh. K is `count`, unless there
        are no more different points than that and no `start`: then the centres are these points.
    """
    if weights is None:
        weights = np.ones(len(points), np.float32)
    if start is None:
        different = _different(points, weights, count)
        if different is not None:
            return different
    random = np.random.default_rng(seed)
    centres = np.array(_first_centres(points, weights, count, random) if start is None else start, np.float32)
    sums, mass = np.zeros(centres.shape), np.zeros(len(centres))
    for turn in range(rounds):
        batch, batch_weights = points, weights
        if len(points) > _BATCH:
            rows = random.choice(len(points), _BATCH, replace=False)
            batch, batch_weights = points[rows], weights[rows]
        kept = 1 - len(batch) / len(points)
        faded_sums, faded_mass = kept * sums, kept * mass
        listed = candidates(batch, centres)
        for _ in range(_MOVES):
            labels, distances = nearest_candidates(batch, centres, listed)
            sums[:], mass[:] = faded_sums, faded_mass
            add_up(batch, batch_weights, labels, sums, mass)
            chosen = mass > 0
            centres[chosen] = sums[chosen] / mass[chosen, None]
        if turn < rounds - 1 and not chosen.all():
            starved = np.flatnonzero(~chosen)
            centres[starved] = batch[_draw(batch_weights * distances, len(starved), random)]
    return centres, mass


@numba.njit(nogil=True, cache=True)
def add_up(points, weights, labels, sums, mass):  # type: ignore[no-untyped-def]
    """Add weighted points to the sums of their centres, and the weights to the masses.

    Args:
        points: (N, D); weights: (N,); labels: (N,) integers below K.
        sums: (K, D) float64 and mass: (K,) float64, added to.
    """
    for row in range(points.shape[0]):
        label = labels[row]
        weight = np.float64(weights[row])
        mass[label] += weight
        for k in range(points.shape[1]):
            sums[label, k] += weight * points[row, k]


def _first_centres(points: np.ndarray, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Points drawn by their weighted squared distance to the nearest centre of a coarser clustering."""
    some = random.permutation(len(points))[:_BATCH]
    drawn, weights = points[some], weights[some]
    coarser = int(np.sqrt(count))
    if coarser > 1:
        sample = slice(0, _POINTS_A_COARSE_CENTRE * coarser)
        coarse, _ = kmeans(drawn[sample], coarser, weights=weights[sample], seed=int(random.integers(2**31)))
    else:
        coarse = np.average(drawn, axis=0, weights=weights)[None].astype(np.float32)
    _, distances = nearest_candidates(drawn, coarse, nearest(drawn, coarse)[:, None])
    errors = weights * distances.astype(np.float64)
    uniform = _UNIFORM_SHARE * weights / weights.sum(dtype=np.float64)
    return drawn[_draw(uniform + errors / max(errors.sum(), np.finfo(np.float64).tiny), count, random)]


def _draw(shares: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Indices of `count` different rows, ascending, drawn by their shares (Efraimidis and Spirakis 2006)."""
    with np.errstate(divide="ignore"):
        keys = random.standard_exponential(len(shares)) / shares
    return np.sort(np.argpartition(keys, count - 1)[:count])


def _different(points: np.ndarray, weights: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The different points and what each weighs, if they are at most `most`."""
    odd = np.random.default_rng(0).integers(2**63, size=points.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.zeros(len(points), np.uint64)
    for column, factor in zip(points.T, odd, strict=True):
        hashes = (hashes ^ (column + np.float32(0)).view(np.uint32)) * factor  # -0 counts as 0
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) > most:
        return None
    return points[first], np.bincount(which, weights=weights)
