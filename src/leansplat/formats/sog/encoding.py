"""What a SOG file can say of Gaussians, as integers: `encode` rounds a scene to them, `decode` gives their floats.

This is kept apart from images and files, because fine-tuning trains through the rounding and writes no file. Every
attribute decodes by looking its bytes up in a table of `Codebooks`, except positions (16 bits between the scene's ends,
of a logarithm that spends precision near the origin) and rotations (three of four components; section 3 of PlayCanvas's
specification of version 2). Kernels are imported where a scene is encoded, so that decoding does not wait for Numba.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leansplat.activation import logit_of, opacity_of, unit
from leansplat.arrays import WORLD, AnyScene, GaussianArrays, Origin, blocks, unfilled
from leansplat.formats import reach
from leansplat.formats.sog.codebooks import Codebooks, fit, palette_labels

_STEPS = 65535

_COMPONENTS = (np.arange(256) / 255 * 2 - 1) / np.sqrt(2)
"""What the byte of a rotation's component stands for: -sqrt(1/2) to sqrt(1/2), the most that a smaller one can be."""

_LOGITS = logit_of(np.arange(256) / 255).astype(np.float32)

OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""The three components of a quaternion (w, x, y, z) that are stored when the largest is number k."""


@dataclass(frozen=True)
class Encoded:
    """A scene of N Gaussians as a SOG file holds it, in the file's order.

    Args:
        positions: (N, 3) uint16, steps from `lowest` to `highest`.
        lowest, highest: (3,) float64, ends of sign(x) log(1 + |x|) over positions.
        rotations: (N, 3) uint8, the components that are not the largest, in the order w, x, y, z.
        largest: (N,) uint8, which component is the largest, 0 to 3; it counts as positive.
        scales, sh0: (N, 3) uint8, entries of their codebooks.
        opacities: (N,) uint8, 255 times the opacity.
        labels: (N,) uint16, entries of the palette.
        codebooks: what the entries stand for.
        antialiased, comments, origin: as in `Gaussians`.
        order: (N,) int64, row i holds Gaussian order[i] of the scene that was encoded, which may have more.
    """

    positions: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    rotations: np.ndarray
    largest: np.ndarray
    scales: np.ndarray
    sh0: np.ndarray
    opacities: np.ndarray
    labels: np.ndarray
    codebooks: Codebooks
    antialiased: bool
    order: np.ndarray
    comments: tuple[str, ...] = ()
    origin: Origin = WORLD


def encode(
    gaussians: AnyScene,
    codebooks: Codebooks | None = None,
    *,
    labels: np.ndarray | None = None,
    order: np.ndarray | None = None,
    rotation_step: int = 1,
    palette_size: int | None = None,
    seed: int = 0,
) -> Encoded:
    """Round a scene to what a file can say.

    Args:
        gaussians: finite, N of them.
        codebooks: tables to use; those of `fit` by default.
        labels: (N,) uint16, each Gaussian's entry of the palette, whatever its `shN`; the nearest by default.
        order: (M,) int64, Gaussians in the order of the file; as by `arranged` by default.
        rotation_step: of the 255 steps of a rotation's components, how many make one; more compress better.
        palette_size, seed: as `fit` takes them.
    """
    from leansplat.clustering import nearest_codes

    gaussians = gaussians.arrays()
    if codebooks is None:
        codebooks = fit(gaussians, palette_size=palette_size, seed=seed)
    order = arranged(gaussians)[1] if order is None else order
    count = len(order)
    lowest, highest = _ends(gaussians.means if count == len(gaussians) else gaussians.means[order])
    span = np.where(highest > lowest, highest - lowest, 1)
    positions = np.empty((count, 3), np.uint16)
    rotations = np.empty((count, 3), np.uint8)
    largest = np.empty(count, np.uint8)
    scales = np.empty((count, 3), np.uint8)
    sh0 = np.empty((count, 3), np.uint8)
    opacities = np.empty(count, np.uint8)
    for part in blocks(count):
        rows = order[part]
        positions[part] = np.rint((_logarithm(gaussians.means[rows]) - lowest) / span * _STEPS)
        rotations[part], largest[part] = _three_smallest(unit(gaussians.quats[rows]), rotation_step)
        scales[part] = nearest_codes(gaussians.scales[rows], codebooks.scales)
        sh0[part] = nearest_codes(gaussians.sh0[rows, 0], codebooks.sh0)
        opacities[part] = np.rint(255 * opacity_of(gaussians.opacities[rows]))
    return Encoded(
        positions, lowest, highest, rotations, largest, scales, sh0, opacities,
        labels=(palette_labels(gaussians.shN, codebooks) if labels is None else labels)[order],
        codebooks=codebooks, antialiased=gaussians.antialiased, order=order, comments=gaussians.comments,
        origin=gaussians.origin,
    )  # fmt: skip


def decode(encoded: Encoded, rows: np.ndarray | None = None) -> GaussianArrays:
    """The scene that a reader of the file gets: float32 arrays in the file's order; or only some of its rows."""
    if rows is not None:
        images = ("positions", "rotations", "largest", "scales", "sh0", "opacities", "labels")
        encoded = replace(encoded, **{name: getattr(encoded, name)[rows] for name in images})
    books = encoded.codebooks
    count = len(encoded.positions)
    said = {"antialiased": encoded.antialiased, "comments": encoded.comments, "origin": encoded.origin}
    scene = unfilled(count, books.palette.shape[1], **said)
    palette = books.palette_values()
    for part in blocks(count):
        logarithms = encoded.lowest + (encoded.highest - encoded.lowest) * (encoded.positions[part] / _STEPS)
        scene.means[part] = np.sign(logarithms) * np.expm1(np.abs(logarithms))
        scene.quats[part] = _from_three(encoded.rotations[part], encoded.largest[part])
        scene.scales[part] = books.scales.take(encoded.scales[part])
        scene.opacities[part] = _LOGITS.take(encoded.opacities[part])
        scene.sh0[part, 0] = books.sh0.take(encoded.sh0[part])
        scene.shN[part] = palette.take(encoded.labels[part], axis=0)
    return scene


def arranged(gaussians: AnyScene) -> tuple[GaussianArrays, np.ndarray]:
    """A scene and the order in which a file holds its Gaussians, (M,) int64: Morton order, of all but strays that would
    coarsen the positions of the others.
    ."""

    def errors(means: np.ndarray) -> np.ndarray:
        lowest, highest = _ends(means)
        return np.linalg.norm((highest - lowest) / _STEPS / 2 * (1 + np.abs(means)), axis=1)

    return gaussians.arrays(), reach.file_order(gaussians.arrays(), errors)


def _ends(means: np.ndarray) -> np.ndarray:
    """(2, 3) logarithms of the lowest and the highest of centres (n, 3)."""
    return _logarithm(np.stack([means.min(axis=0), means.max(axis=0)]) if len(means) else np.zeros((2, 3)))


def _logarithm(positions: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|) in float64."""
    positions = positions.astype(np.float64)
    return np.sign(positions) * np.log1p(np.abs(positions))


def _three_smallest(quats: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Components (n, 3) uint8 of unit quaternions (n, 4), and which one is missing (n,)."""
    largest = np.argmax(np.abs(quats), axis=1)
    rows = np.arange(len(quats))
    positive = quats * np.where(quats[rows, largest] < 0, -1, 1)[:, None]
    others = positive[rows[:, None], OTHERS[largest]]
    codes = np.rint((others * np.sqrt(2) + 1) / 2 * 255 / step) * step
    return np.clip(codes, 0, 255).astype(np.uint8), largest.astype(np.uint8)


def _from_three(components: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Unit quaternions (n, 4) float64 from what `_three_smallest` gives."""
    rows = np.arange(len(components))
    others = _COMPONENTS.take(components)
    quats = np.empty((len(components), 4))
    quats[rows[:, None], OTHERS[largest]] = others
    quats[rows, largest] = np.sqrt(np.maximum(0, 1 - np.square(others).sum(axis=1)))
    return quats
