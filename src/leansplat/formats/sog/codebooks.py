"""What the bytes of a SOG file stand for: three codebooks of 256 numbers, and the palette of spherical harmonics.

A codebook serves all axes or colours at once. A palette entry holds a Gaussian's coefficients of degree 1 and up, each
as a byte that stands for an entry of a codebook of its own; up to 65,536 Gaussians or groups of them have one. The
palette is most of a file, so it is as good where much can be seen as bytes allow, and no finer than that: see `fit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leansplat.clustering import candidates, kmeans, nearest_candidates, nearest_codes, scalar_codebook
from leansplat.formats.activation import opacity_of
from leansplat.gaussians import Gaussians

LARGEST_PALETTE = 65536

_SMALLEST_PALETTE = 64
"""A row of the palette's image, which is the least it takes."""

_FINENESS = 1 / 8
"""The squared error that bytes may add to coefficients, as a part of what sharing palette entries costs ..."""

_FINEST = 1 / 1000
"""... or of their mean square, if that is more."""

_LEAST_IMPORTANCE = 0.1
_LARGEST_RANK = 0.99

_CHUNK = 2**18
"""Gaussians whose entries are looked up at a time."""


@dataclass(frozen=True)
class Codebooks:
    """The tables of one file; they may serve another state of the same scene.

    Args:
        scales: (256,) float32, ascending; logarithms of standard deviations.
        sh0: (256,) float32, ascending; coefficients of degree 0.
        shN: (256,) float32, ascending; coefficients above.
        palette: (P, K - 1, 3) uint8, entries of `shN`; P is 1 to 65,536, K - 1 is 0, 3, 8 or 15.
    """

    scales: np.ndarray
    sh0: np.ndarray
    shN: np.ndarray
    palette: np.ndarray

    def palette_values(self) -> np.ndarray:
        """(P, K - 1, 3) float32, the coefficients that the palette stands for."""
        return self.shN[self.palette]

    def with_palette(self, values: np.ndarray, weights: np.ndarray | None = None, tolerance: float = 0.0) -> Codebooks:
        """With a palette for coefficients (P, K - 1, 3), in a codebook of their own.

        Args:
            weights: (P,) what each entry counts, such as how many Gaussians use it.
            tolerance: mean squared error that is allowed for fewer bytes, as `scalar_codebook` takes it.
        """
        each = None if weights is None else np.repeat(weights, values[0].size)
        codebook = scalar_codebook(values.reshape(-1), weights=each, tolerance=tolerance)
        return replace(self, shN=codebook, palette=nearest_codes(values, codebook))


def fit(
    gaussians: Gaussians,
    *,
    palette_size: int | None = None,
    weights: np.ndarray | None = None,
    start: Codebooks | None = None,
    seed: int = 0,
) -> Codebooks:
    """Tables that a scene loses little by.

    The steps of the palette's bytes are as wide as may be: the squared error they add is an eighth of what it costs
    that Gaussians share entries, or a thousandth of the coefficients' mean square. Finer ones would double a file.

    Args:
        gaussians: finite.
        palette_size: entries of the palette, 1 to 65,536; as many as Gaussians, rounded down to a power of two, by
            default.
        weights: (N,) float32, what errors in a Gaussian's spherical harmonics count; `importance` by default.
        start: where the palette starts from, with its size, to adapt it to a scene that has moved.
        seed: of what is drawn while the palette is found.
    """
    shN = gaussians.shN.detach().cpu().numpy()
    codebooks = Codebooks(
        scales=scalar_codebook(gaussians.scales.detach().cpu().numpy().reshape(-1)),
        sh0=scalar_codebook(gaussians.sh0.detach().cpu().numpy().reshape(-1)),
        shN=np.zeros(256, np.float32),
        palette=np.zeros((1, shN.shape[1], 3), np.uint8),
    )
    if shN.size == 0:
        return codebooks
    rows = shN.reshape(len(shN), -1)
    weights = importance(gaussians) if weights is None else weights
    if start is None:
        centres, mass = kmeans(rows, palette_size or _usual_size(len(rows)), weights=weights, seed=seed)
    else:
        entries = start.palette_values()
        entries = entries.reshape(len(entries), -1)
        centres, mass = kmeans(rows, len(entries), weights=weights, start=entries, rounds=1, seed=seed)
    used = mass > 0
    centres, mass = centres[used], mass[used]
    square = np.einsum("nd,nd,n->", rows, rows, weights, dtype=np.float64) / weights.sum(dtype=np.float64)
    shared = square - np.einsum("kd,kd,k->", centres, centres, mass) / mass.sum()  # each centre is its points' mean
    tolerance = max(_FINENESS * shared, _FINEST * square) / rows.shape[1]
    return codebooks.with_palette(centres.reshape(-1, *shN.shape[1:]), mass, tolerance)


def importance(gaussians: Gaussians) -> np.ndarray:
    """(N,) float32: how much of a Gaussian can be seen, opacity times the product of its two largest deviations.

    In units of the mean, plus 0.1, so that nothing counts for nothing; the largest hundredth counts as the least of it.
    """
    sizes = np.sort(gaussians.scales.detach().cpu().numpy(), axis=1)[:, 1:].sum(axis=1, dtype=np.float64)
    seen = opacity_of(gaussians.opacities.detach().cpu().numpy()) * np.exp(sizes - sizes.max())
    seen = np.minimum(seen, np.quantile(seen, _LARGEST_RANK))
    mean = max(float(seen.mean()), np.finfo(np.float64).tiny)
    return (_LEAST_IMPORTANCE + seen / mean).astype(np.float32)


def palette_labels(shN: np.ndarray, codebooks: Codebooks) -> np.ndarray:
    """The palette entry for each Gaussian's coefficients (N, K - 1, 3), as (N,) uint16.

    It is the nearest but for a few in a hundred, which get one hardly farther.
    """
    labels = np.zeros(len(shN), np.uint16)
    if shN.size == 0:
        return labels
    rows = shN.reshape(len(shN), -1)
    entries = codebooks.palette_values().reshape(len(codebooks.palette), -1)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        labels[part], _ = nearest_candidates(rows[part], entries, candidates(rows[part], entries))
    return labels


def _usual_size(count: int) -> int:
    """As PlayCanvas's tools do: the power of two below the number of Gaussians, as far as a file can hold it."""
    return min(LARGEST_PALETTE, max(_SMALLEST_PALETTE, 1 << (count.bit_length() - 1)))
