"""What became of a scene in a file: every writer that rounds is checked by it, and what shows is told in a sentence.

A file is compared with the scene Gaussian by Gaussian, as its reader would decode it. Steps are much finer than what is
looked for here; what goes beyond is out of a format's range, or made coarse by something that is far from the rest. A
few small or faint Gaussians are passed over.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leansplat.activation import opacity_of, unit
from leansplat.arrays import AnyScene, GaussianArrays, blocks
from leansplat.formats.format import Written
from leansplat.formats.visibility import NEGLIGIBLE, weights, widths
from leansplat.strays import FAR, describe, distances, strays

_ANGLE = 2.0
"""Degrees by which even needles may turn; no format here comes near them."""

_LARGEST_LOG = 80.0
_COLOR = 1 / 8
_OPACITY = 1 / 16
_SAMPLE = 1 << 14
_PART = 0.02
"""Share of the weight of a scene whose sizes, colours and opacities may suffer without a word."""

_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class Harm:
    """Gaussians that a file holds otherwise than the scene does in one respect.

    Args:
        what: a sentence's part with room for their number, and for the worst.
        tolerated: share of the scene's weight that needs no word.
        count: how many there are.
        weight: their share of the scene's weight, see `visibility.weights`.
        worst: the largest change.
    """

    what: str
    tolerated: float
    count: int
    weight: float
    worst: float

    def __str__(self) -> str:
        return self.what.format(count=f"{self.count:,}", worst=f"{self.worst:.2g}")


def harm(gaussians: AnyScene, written: Written) -> list[Harm]:
    """How much a file changes a scene, respect by respect: places, directions, sizes, colours and opacities.

    Spherical harmonics are compared up to the degree that the file has. Evenly spread Gaussians are looked at first,
    and where these show something all, but for strays.
    """
    gaussians = gaussians.arrays()
    rows = np.flatnonzero(written.order < len(gaussians))
    sample = _harm_in(gaussians, written, rows[:: len(rows) // _SAMPLE + 1])
    if not any(each.weight > each.tolerated / 2 for each in sample):
        return sample
    matters = ~strays(gaussians)
    return _harm_in(gaussians, written, rows[matters[written.order[rows]]])


def _harm_in(gaussians: GaussianArrays, written: Written, rows: np.ndarray) -> list[Harm]:
    """`harm` in some rows of a file, the weights being shares of these."""
    originals = written.order[rows]
    shares = weights(gaussians, originals)
    found = np.zeros((len(_RESPECTS), 3))
    for part in blocks(len(rows)):
        before, after = gaussians[originals[part]], written.decode(rows[part])
        for k, (changes, limits) in enumerate(_changes(before, after)):
            harmed = changes > limits
            found[k] += harmed.sum(), shares[part][harmed].sum(), 0
            found[k, 2] = max(found[k, 2], np.max(changes, where=harmed, initial=0))
    return [
        Harm(what, tolerated, int(count), weight, worst)
        for (what, tolerated), (count, weight, worst) in zip(_RESPECTS.items(), found, strict=True)
    ]


def report(gaussians: AnyScene, written: Written, path: Path) -> None:
    """Warn of what is not in a file, and of what is in it otherwise than in the scene, where that shows."""
    gaussians = gaussians.arrays()
    report_rows(gaussians, written.order, str(path))
    found = harm(gaussians, written)
    shown = [each for each in found if each.weight > each.tolerated]
    if shown:
        _log.warning(
            "%s: of %s Gaussians, rounding %s%s; a .ply keeps them as they are",
            path,
            f"{len(gaussians):,}",
            _listed(shown),
            _cause(gaussians) if found[0] in shown else "",
        )


def _cause(gaussians: GaussianArrays) -> str:
    """What is so far that it makes steps coarse, though it matters too much to be left out."""
    measured = distances(gaussians)
    far = (measured.of > FAR * measured.extent) & ~measured.strays()
    return f", for the sake of {describe(gaussians, far)}" if far.any() else ""


def report_rows(gaussians: AnyScene, order: np.ndarray, name: str) -> None:
    """Warn of Gaussians that a file leaves out, and of invisible ones that it has more.

    Args:
        order: as in `Written`.
        name: of the file.
    """
    missing = np.ones(len(gaussians), bool)
    missing[order[order < len(gaussians)]] = False
    if missing.any():
        _log.warning(
            "%s: left out %s, since the format could hold them only by moving the others; a .ply holds them, and "
            "--drop-far drops what is so far and weighs so little from any format",
            name,
            describe(gaussians, missing),
        )
    added = int((order >= len(gaussians)).sum())
    if added:
        _log.warning(
            "%s: added %s invisible Gaussians, so that far ones and near ones, which would move, share no ranges%s",
            name,
            f"{added:,}",
            "; --drop-far drops those that weigh nothing" if strays(gaussians).any() else "",
        )


_RESPECTS = {
    "moves {count} by more than they are wide (the farthest by {worst})": NEGLIGIBLE,
    "turns {count} by more than they are wide at their ends (by up to {worst} degrees)": _PART,
    "makes {count} more than twice as thick or thin (up to {worst} times)": _PART,
    "changes the colour of {count} by more than an eighth of the range (by up to {worst})": _PART,
    "changes the opacity of {count} by more than a sixteenth (by up to {worst})": _PART,
}


def _changes(before: GaussianArrays, after: GaussianArrays) -> list[tuple[np.ndarray, np.ndarray | float]]:
    """What changed, (n,) each, in the order of `_RESPECTS`, and from where on that is harm."""
    logs = before.scales
    width = widths(logs)
    moved = np.linalg.norm(after.means.astype(np.float64) - before.means, axis=1)
    cosines = np.abs(np.einsum("nd,nd->n", unit(before.quats), unit(after.quats)))
    angles = 2 * np.arccos(np.minimum(cosines, 1))
    resized = np.exp(np.minimum(np.abs(after.scales - logs).max(axis=1).astype(np.float64), _LARGEST_LOG))
    # The mean square over all directions of a sum of spherical harmonics is that of its coefficients over 4 pi.
    known = after.shN.shape[1]
    square = np.square(after.sh0 - before.sh0).sum(axis=1)
    square += np.square(after.shN - before.shN[:, :known]).sum(axis=1)
    recoloured = np.sqrt(square.max(axis=1) / (4 * math.pi))
    faded = np.abs(opacity_of(after.opacities) - opacity_of(before.opacities))
    ordered = np.sort(logs, axis=1).astype(np.float64)
    across = np.rad2deg(np.exp(ordered[:, 1] - ordered[:, 2]))
    return [
        (moved, width),
        (np.rad2deg(angles), np.maximum(across, _ANGLE)),
        (resized, 2),
        (recoloured, _COLOR),
        (faded, _OPACITY),
    ]


def _listed(parts: list[Harm]) -> str:
    *first, last = map(str, parts)
    return f"{', '.join(first)} and {last}" if first else last
