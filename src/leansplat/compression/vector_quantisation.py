"""Importance-weighted vector quantisation: vectors become indices into a table, where important ones stay as they are.

k-means in batches whose centres are exponential moving averages, as Niedermayr et al. 2024, section 4.1: a step assigns
a random batch to the nearest centres; each keeps a running sum of importance and of importance times vector, both
fading by `decay`, and is their quotient. Vectors more important than a bound get rows of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leansplat.clustering import add_up, kmeans, nearest
from leansplat.compression.config import TableConfig
from leansplat.progress import Progress

Floats = NDArray[np.float32]

_STARVED = 1e-3
"""A centre with less than this share of the mean centre's importance moves to where the error is."""


@dataclass(frozen=True)
class Table:
    """Vectors as rows of a table.

    Args:
        centres: (K, D) float32, the shared rows, which come first.
        own: (M,) int64, the vectors that have rows of their own, in this order after the centres.
        indices: (N,) int64, the row of each vector.
    """

    centres: Tensor
    own: Tensor
    indices: Tensor

    def rows(self, vectors: Tensor) -> Tensor:
        """(K + M, ...) the table, whose own rows are those of `vectors` (N, ...)."""
        return torch.cat([self.centres.reshape(-1, *vectors.shape[1:]), vectors[self.own]])


def vector_quantise(
    vectors: Tensor,
    importance: Tensor,
    config: TableConfig,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> Table:
    """Make a table of vectors.

    Args:
        vectors: (N, D) float32; importance: (N,) at least 0.
        progress: told after each step; "loss" is the batch's mean of importance, divided by the mean importance, times
            squared error.
    """
    is_own = importance > config.keep_above
    shared = (~is_own).nonzero()[:, 0]
    if len(shared) <= config.size:  # a table with a row each is no larger than one with centres
        is_own, shared = torch.ones_like(is_own), shared[:0]
    own = is_own.nonzero()[:, 0]
    points = vectors[shared].numpy()
    random = np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=generator)))
    centres = points[:0]
    indices = torch.empty(len(vectors), dtype=torch.int64)
    if len(shared):
        centres = _centres(points, _weights(importance[shared]), config, random, progress)
        indices[shared] = torch.from_numpy(nearest(points, centres)).to(torch.int64)
    indices[own] = torch.arange(len(centres), len(centres) + len(own))
    return Table(torch.from_numpy(centres), own, indices)


def _weights(importance: Tensor) -> Floats:
    """Importances with a mean of about 1 and all above 0, so that centres are defined wherever there are vectors."""
    weights = importance.numpy().astype(np.float32)
    mean = weights.mean() if weights.any() else np.float32(1)
    return np.asarray(weights / mean + np.float32(1e-6), np.float32)


def _centres(
    points: Floats,
    weights: Floats,
    config: TableConfig,
    random: np.random.Generator,
    progress: Progress | None,
) -> Floats:
    """(K, D) centres of points (N, D)."""
    centres, _ = kmeans(points, config.size, weights=weights, rounds=0, seed=int(random.integers(2**31)))
    weight_sum, vector_sum = np.zeros(len(centres)), np.zeros(centres.shape)
    for step in range(1, config.steps + 1):
        batch, batch_weights = points, weights
        if len(points) > config.batch:
            rows = random.integers(len(points), size=config.batch)
            batch, batch_weights = points[rows], weights[rows]
        labels = nearest(batch, centres)
        weight_sum *= config.decay
        vector_sum *= config.decay
        errors = batch_weights * np.square(batch - centres[labels]).sum(axis=1)
        add_up(batch, batch_weights, labels, vector_sum, weight_sum)
        if progress is not None:
            progress(step, config.steps, {"loss": float(errors.mean()), "gaussians": len(points)})
        used = weight_sum > 0
        centres[used] = vector_sum[used] / weight_sum[used, None]
        starved = np.flatnonzero(weight_sum < _STARVED * weight_sum.mean())
        if len(starved) and step < config.steps:
            # Exponential clocks: the first to ring are a sample without repeats, with chances as the errors.
            far = np.argsort(random.exponential(size=len(batch)) / np.maximum(errors, 1e-30))[: len(starved)]
            centres[starved[: len(far)]] = batch[far]
            weight_sum[starved] = 0
            vector_sum[starved] = 0
    return centres
