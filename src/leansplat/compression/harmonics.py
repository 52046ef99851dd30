"""Spherical harmonics where they pay: as few bytes as a given loss on the photos allows.

Most of a file is harmonics, and few Gaussians show theirs. How much the images change with a Gaussian's colour says
which: a palette is clustered with these weights, or each Gaussian's coefficients are rounded to steps inversely
proportional to the root of its weight, for which the squared error in the images is least for the bits (Gersho and Gray
1992, section 8.3). How small a palette, how wide the steps: that is found by rendering some training views.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from leansplat import engines
from leansplat.captures.capture import Capture
from leansplat.engines.sensitivity import Sensitivity
from leansplat.errors import InputError
from leansplat.formats import sog, spz
from leansplat.formats.options import USUAL_SH_BITS
from leansplat.gaussians import Gaussians
from leansplat.scoring import view_scores

_VIEWS = 8
_LEAST_WEIGHT = 0.05
FINER = 0.5
"""Octaves from one size, or width of steps, that is tried to the next."""

WIDEST_STEPS = 8
"""Octaves of widths of steps in a byte."""

_AFFORDABLE = 1.5
_STEPS_FOR_IT = 5000

Loss = Callable[[Gaussians], float]
"""What a scene loses against the one it was made from, in dB."""


def color_weights(found: Sensitivity) -> np.ndarray:
    """(N,) float32: how much the training images change with each Gaussian's colour, in units of the mean.

    Plus 0.05, since other views may show what these do not.
    """
    weights = found.colors[:, :3].mean(dim=1).numpy().astype(np.float64)
    return (_LEAST_WEIGHT + weights / max(weights.mean(), np.finfo(np.float64).tiny)).astype(np.float32)


def loss_on_photos(gaussians: Gaussians, capture: Capture, engine: str = "cpu") -> Loss:
    """By how much the PSNR of at most eight training views, spread evenly, falls from that of `gaussians`."""
    count = min(_VIEWS, len(capture.train))
    views = [capture.train[number * len(capture.train) // count] for number in range(count)]

    def mean_psnr(scene: Gaussians) -> float:
        scores = view_scores(engines.named(engine).renderer(scene), views, capture.background)
        return statistics.fmean(score.psnr for score in scores)

    before = mean_psnr(gaussians)
    return lambda scene: before - mean_psnr(scene)


def check_loss(name: str, most: float | None) -> None:
    """Refuse what a codec's option of this name cannot be, in dB; None is for it to decide.

    Raises:
        InputError: it is not a finite number, or negative.
    """
    if most is not None and not (math.isfinite(most) and most >= 0):
        raise InputError(f"setting {name} is {most}; give a finite number that is not negative")


def affordable_loss(steps: int) -> float:
    """What coarser harmonics may cost before so many steps of fine-tuning win it back, in dB: as measured, 1.5 for
    5,000, and hardly anything for a few hundred (benchmarks/short_tuning.py)."""
    return _AFFORDABLE * min(1.0, steps / _STEPS_FOR_IT)


def palette_sizes(count: int) -> list[int]:
    """Entries of palettes for a number of Gaussians, from the smallest to the usual, half an octave apart."""
    sizes, usual, size = [], sog.usual_palette_size(count), float(sog.SMALLEST_PALETTE)
    while size < usual:
        sizes.append(int(size))
        size *= 2**FINER
    return [*sizes, usual]


def smallest_palette(
    gaussians: Gaussians, weights: np.ndarray, loss: Loss, most: float | None, *, steps: int = 0, seed: int = 0
) -> int:
    """Entries of the smallest SOG palette that loses no more than `most` dB; as many as is usual if each loses more.

    Args:
        weights: (N,) as `color_weights` gives them.
        loss: of a scene against `gaussians`.
        most: None for what the usual palette loses and `affordable_loss(steps)`.
        seed: as `formats.sog.fit` takes it.
    """
    shN = gaussians.shN.numpy()

    def lost(size: int) -> float:
        books = sog.fit(gaussians, palette_size=size, weights=weights, seed=seed)
        shared = torch.from_numpy(books.palette_values()[sog.palette_labels(shN, books)])
        return loss(replace(gaussians, shN=shared))

    sizes = palette_sizes(len(gaussians))
    if not shN.size or len(sizes) == 1:
        return sizes[-1]
    if most is None:
        most = max(lost(sizes[-1]), 0) + affordable_loss(steps)
    return sizes[_first(len(sizes) - 1, lambda at: lost(sizes[at]) <= most)]


def coarsest_steps(
    gaussians: Gaussians, weights: np.ndarray, loss: Loss, most: float | None, *, steps: int = 0
) -> np.ndarray:
    """(N, 1, 1) the widest steps of an SPZ file's bytes that lose no more than `most` dB; the finest if each lose more.

    Args:
        weights: (N,) as `color_weights` gives them.
        loss: of a scene against `gaussians`.
        most: None for what the usual bits lose and `affordable_loss(steps)`.
    """
    shN = gaussians.shN.numpy()

    def lost(widths: np.ndarray) -> float:
        return loss(replace(gaussians, shN=torch.from_numpy(spz.sh_values(spz.sh_codes(shN, widths)))))

    octaves = np.arange(WIDEST_STEPS, -np.log2(weights.max() / weights.min()) / 2, -FINER)
    if not shN.size:
        return np.ones((len(weights), 1, 1), np.float32)
    if most is None:
        most = max(lost(spz.widths_of_bits(USUAL_SH_BITS, shN.shape[1])), 0) + affordable_loss(steps)
    at = _first(len(octaves), lambda at: lost(steps_of(weights, octaves[at])) <= most)
    return steps_of(weights, octaves[at]) if at < len(octaves) else np.ones((len(weights), 1, 1), np.float32)


def _first(count: int, holds: Callable[[int], bool]) -> int:
    """The first of so many numbers from which on something holds; `count` where it holds of none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def steps_of(weights: np.ndarray, octaves: float) -> np.ndarray:
    """(N, 1, 1) float32 steps for an SPZ file's bytes, 1 to 256, wider for what shows less.

    Args:
        weights: (N,) as `color_weights` gives them.
        octaves: of the steps of the Gaussian that shows most, up to 8; below 0 it has the finest, and so have others.
    """
    wider = np.log2(weights.max() / weights)[:, None, None] / 2
    return np.exp2(np.clip(np.rint(octaves + wider), 0, WIDEST_STEPS)).astype(np.float32)
