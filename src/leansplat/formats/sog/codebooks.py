"""What the bytes of a SOG file stand for: three codebooks of 256 numbers, and the palette of spherical harmonics.

A codebook serves all axes or colours at once. A palette entry holds a Gaussian's coefficients of degree 1 and up, each
as a byte that stands for an entry of a codebook of its own; up to 65,536 Gaussians or groups of them have one. The
palette is most of a file, so it is as good where much can be seen as bytes allow, and no finer than that: see `fit`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import AnyScene
from leansplat.formats.options import LARGEST_PALETTE

SMALLEST_PALETTE = 64
"""A row of the palette's image, which is the least it takes."""

_FINENESS = 1 / 8
"""The squared error that bytes may add to coefficients, as a part of what sharing palette entries costs ..."""

_FINEST = 1 / 1000
"""... or of their mean square, if that is more."""

_SCALE_STEP = 0.1
_SH0_STEP = 0.05
"""Steps of a codebook, in its units, that need not be finer: an error of 3 % of a size, or of 1 in 255 of a colour."""

_LEAST_IMPORTANCE = 0.1
_LARGEST_RANK = 0.99

_LARGEST_HARMONIC = 4.0
"""Coefficients above degree 0 count as at most this, so that none takes the precision of the others."""

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
        tolerance: mean squared error that `shN` may add for fewer bytes. Not part of a file.
    """

    scales: np.ndarray
    sh0: np.ndarray
    shN: np.ndarray
    palette: np.ndarray
    tolerance: float = 0.0

    def palette_values(self) -> np.ndarray:
        """(P, K - 1, 3) float32, the coefficients that the palette stands for."""
        return self.shN[self.palette]

    @classmethod
    def of(
        cls, scales: np.ndarray, sh0: np.ndarray, palette: np.ndarray, mass: np.ndarray, tolerance: float
    ) -> Codebooks:
        """Tables with the least error for some numbers; of `shN`, with no finer steps than `tolerance` asks for.

        Args:
            scales: (N, 3) logarithms and sh0: (N, 1, 3).
            palette: (P, K - 1, 3) coefficients.
            mass: (P,) what each entry counts, such as how many Gaussians use it.
        """
        from leansplat.clustering import nearest_codes, scalar_codebook

        each = np.repeat(mass, palette.shape[1] * palette.shape[2])
        shN = scalar_codebook(palette.reshape(-1), weights=each, tolerance=tolerance)
        return cls(
            scales=scalar_codebook(scales.reshape(-1), tolerance=_SCALE_STEP**2 / 12),
            sh0=scalar_codebook(sh0.reshape(-1), tolerance=_SH0_STEP**2 / 12),
            shN=shN,
            palette=nearest_codes(palette, shN),
            tolerance=tolerance,
        )


def fit(
    gaussians: AnyScene,
    *,
    palette_size: int | None = None,
    weights: np.ndarray | None = None,
    start: Codebooks | None = None,
    seed: int = 0,
) -> Codebooks:
    """Tables that a scene loses little by.

    The steps of the palette's bytes are as wide as may be: the squared error they add is an eighth of what it costs
    that Gaussians share entries, or a thousandth of the coefficients' mean square. Finer ones would double a file.
    Coefficients above degree 0 are kept within +-4.

    Args:
        gaussians: finite.
        palette_size: entries of the palette, 1 to 65,536; `usual_palette_size` by default.
        weights: (N,) float32, what errors in a Gaussian's spherical harmonics count; `importance` by default.
        start: where the palette starts from, with its size, to adapt it to a scene that has moved.
        seed: of what is drawn while the palette is found.
    """
    from leansplat.clustering import kmeans

    gaussians = gaussians.arrays()
    scales, sh0, shN = gaussians.scales, gaussians.sh0, gaussians.shN
    if shN.size == 0:
        return Codebooks.of(scales, sh0, np.zeros((1, *shN.shape[1:]), np.float32), np.ones(1), 0.0)
    rows = _in_proportion(shN.reshape(len(shN), -1))
    weights = importance(gaussians) if weights is None else weights
    if start is None:
        centres, mass = kmeans(rows, palette_size or usual_palette_size(len(rows)), weights=weights, seed=seed)
    else:
        entries = start.palette_values()
        entries = entries.reshape(len(entries), -1)
        centres, mass = kmeans(rows, len(entries), weights=weights, start=entries, rounds=1, seed=seed)
    used = mass > 0
    centres, mass = centres[used], mass[used]
    square = np.einsum("nd,nd,n->", rows, rows, weights, dtype=np.float64) / weights.sum(dtype=np.float64)
    shared = square - np.einsum("kd,kd,k->", centres, centres, mass) / mass.sum()  # each centre is its points' mean
    tolerance = max(_FINENESS * shared, _FINEST * square) / rows.shape[1]
    return Codebooks.of(scales, sh0, centres.reshape(-1, *shN.shape[1:]), mass, tolerance)


def importance(gaussians: AnyScene) -> np.ndarray:
    """(N,) float32: how much of a Gaussian can be seen, opacity times the product of its two largest deviations.

    In units of the mean, plus 0.1, so that nothing counts for nothing; the largest hundredth counts as the least of it.
    """
    gaussians = gaussians.arrays()
    sizes = np.sort(gaussians.scales, axis=1)[:, 1:].sum(axis=1, dtype=np.float64)
    seen = opacity_of(gaussians.opacities) * np.exp(sizes - sizes.max())
    seen = np.minimum(seen, np.quantile(seen, _LARGEST_RANK))
    mean = max(float(seen.mean()), np.finfo(np.float64).tiny)
    return (_LEAST_IMPORTANCE + seen / mean).astype(np.float32)


def palette_labels(shN: np.ndarray, codebooks: Codebooks) -> np.ndarray:
    """The palette entry for each Gaussian's coefficients (N, K - 1, 3), as (N,) uint16.

    It is the nearest but for a few in a hundred, which get one hardly farther.
    """
    from leansplat.clustering import candidates, nearest_candidates

    labels = np.zeros(len(shN), np.uint16)
    if shN.size == 0:
        return labels
    rows = _in_proportion(shN.reshape(len(shN), -1))
    entries = codebooks.palette_values().reshape(len(codebooks.palette), -1)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        labels[part], _ = nearest_candidates(rows[part], entries, candidates(rows[part], entries))
    return labels


def _in_proportion(rows: np.ndarray) -> np.ndarray:
    """Coefficients (N, D), none larger than `_LARGEST_HARMONIC`."""
    return rows.clip(-_LARGEST_HARMONIC, _LARGEST_HARMONIC)


def usual_palette_size(count: int) -> int:
    """Entries of the palette for a number of Gaussians: the power of two below it, and an eighth more.

    PlayCanvas's tools have that power. The eighth takes fewer bytes than wider steps save, and more than makes up for
    what these lose.
    """
    power = 1 << max(count.bit_length() - 1, 0)
    return min(LARGEST_PALETTE, max(SMALLEST_PALETTE, min(count, power + power // 8)))
