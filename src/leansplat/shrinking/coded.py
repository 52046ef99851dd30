"""The most worthy Gaussians of a scene as a kind of file codes them, to learn what a file takes and how it looks.

They are coded once, and files of fewer of them are cut from that. Never are more than a sample coded where only sizes
are compared: runs of neighbours, which compress each other as in the whole, stand for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.preparation import Prepared
from leansplat.gaussians import Gaussians
from leansplat.ordering import morton_order

CLOSE = 0.005
"""Of a size, by which a file may miss it before the count is corrected."""

_RUNS = 16
"""Runs of neighbours that a sample is made of."""


@dataclass(frozen=True)
class Coded:
    """The most worthy of a scene, or a sample of them, as a grade codes them.

    Args:
        count: how many these are.
        rows: (S,) which of the scene are in the sample.
        ranks: (S,) their ranks.
        prepared, latents: their coding.
        suffix: of their file.
    """

    count: int
    rows: np.ndarray
    ranks: np.ndarray
    prepared: Prepared
    latents: Mapping[str, Tensor]
    suffix: str

    def bytes(self, count: int) -> float:
        """What a file of `count` of them takes: of a sample, by the line through two files of it."""
        if len(self.rows) < self.count:
            return self._taken + self._slope * (count - len(self.rows))
        return self._taken if count == self.count else self._file_of(self._ranks < count)

    def decoded(self) -> tuple[np.ndarray, Gaussians]:
        """Rows of the scene, and what a reader of a file gets for them."""
        visible = self._order < len(self.rows)
        scene = decoded(self.prepared.quantiser, self.latents)[torch.from_numpy(visible)]
        return self.rows[self._order[visible]], scene

    @property
    def _order(self) -> np.ndarray:
        return self.prepared.quantiser.order

    @cached_property
    def _ranks(self) -> np.ndarray:
        """(M,) of each row of the latents; invisible ones are there to stay."""
        return np.where(self._order < len(self.ranks), self.ranks[self._order % len(self.ranks)], -1)

    @cached_property
    def _taken(self) -> int:
        return self._file_of(np.ones(len(self._order), bool))

    @cached_property
    def _slope(self) -> float:
        """Bytes that a further Gaussian takes."""
        half = len(self._order) // 2
        return (self._taken - self._file_of(np.arange(len(self._order)) < half)) / (len(self._order) - half)

    def _file_of(self, kept: np.ndarray) -> int:
        quantiser, latents = self.prepared.quantiser, self.latents
        if not kept.all():
            quantiser, latents = quantiser.select(latents, torch.from_numpy(kept))
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self.suffix}"
            quantiser.write(latents, path, overwrite=True)
            return path.stat().st_size


def decoded(quantiser: FileQuantiser, latents: Mapping[str, Tensor]) -> Gaussians:
    """The scene that a reader of the file gets, row by row that of the latents."""
    with torch.no_grad():
        return quantiser.render_parameters(latents).copied().detach()


def ranks(worth: Tensor) -> np.ndarray:
    """(N,) int64: 0 for the most worthy; of equals, for the first."""
    found: np.ndarray = np.empty(len(worth), np.int64)
    found[np.argsort(-worth.numpy(), kind="stable")] = np.arange(len(worth))
    return found


def interpolated(known: Sequence[tuple[int, float]], target: float) -> int:
    """The count whose file would take `target` bytes, by a line through the two nearest that are known. Of as many
    Gaussians, coded once with these and once with other ones, two files may take different bytes."""
    known = sorted(known, key=lambda pair: abs(pair[1] - target))[:2]
    count, taken = known[0]
    if len(known) == 1 or known[1][1] == taken or known[1][0] == count:
        return round(count * target / taken)
    slope = (known[1][1] - taken) / (known[1][0] - count)
    return round(count + (target - taken) / slope) if slope > 0 else round(count * target / taken)


def sampled(means: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """About `count` of some rows of a scene, whose centres are (N, 3): runs of neighbours from all over it."""
    order = morton_order(means)
    starts = np.linspace(0, len(rows), _RUNS, endpoint=False, dtype=np.int64)
    runs = (starts[:, None] + np.arange(count // _RUNS)).ravel()
    return np.sort(rows[order[runs]])
