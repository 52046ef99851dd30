"""`write`: several sizes of one scene as a folder from which viewers stream what they need (`lod-meta.json`).

All levels share one tree: space is halved where half of the Gaussians are on either side, until a leaf is small enough
to be switched from one level to another by itself. Neighbouring leaves of a level fill a SOG scene of its own in a
folder `LEVEL_NUMBER`, each leaf a range of its rows, so what is fetched is never much more than what is seen. One such
scene is in memory at a time. `streamed_sog` reads what is written here and describes the layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from leansplat.activation import opacity_of, scale_of, unit
from leansplat.arrays import AnyScene, GaussianArrays, blocks
from leansplat.errors import InputError
from leansplat.files import replacing, replacing_folder
from leansplat.formats import fidelity, sog
from leansplat.formats.format import Written, refuse_nonfinite
from leansplat.formats.options import LevelOptions, SogOptions
from leansplat.formats.sog.files import META
from leansplat.strays import distances

NAME = "lod-meta.json"

_LEAVES_ALONG = 4
"""Leaves along the radius of a scene: whoever stands in it then has near ones and far ones, whatever its units are."""


_USUAL = LevelOptions()


class _Leaf:
    """A part of space that is shown at one level or another.

    Args:
        rows: (M,) int64, Gaussians of all levels in it, numbered through from the finest level on.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.lods: dict[str, dict[str, int]] = {}
        self.lowest, self.highest = np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, level: int, file: int, offset: int, lowest: np.ndarray, highest: np.ndarray) -> None:
        """Rows of a file, from `offset` on, and the boxes (n, 3) around each of the n."""
        self.lods[str(level)] = {"file": file, "offset": offset, "count": len(lowest)}
        self.lowest = np.minimum(self.lowest, lowest.min(axis=0))
        self.highest = np.maximum(self.highest, highest.max(axis=0))


_Tree: TypeAlias = "_Leaf | tuple[_Tree, _Tree]"


def write(levels: Sequence[AnyScene], folder: Path, *, overwrite: bool = False, options: LevelOptions = _USUAL) -> Path:
    """Write levels of detail as a folder; arguments, result and errors as for `leansplat.formats.write_levels`."""
    scenes = [level.arrays().finite_equivalent() for level in levels]
    _check(scenes, folder)
    scenes = [scene.relative_to(scenes[0].origin) for scene in scenes]
    extent = options.chunk_extent or distances(scenes[0]).extent / _LEAVES_ALONG
    means = np.concatenate([scene.means for scene in scenes])
    tree = _cut(means, np.arange(len(means)), extent, options)
    leaves = list(_leaves(tree))
    filenames: list[str] = []
    counts = [0] * len(scenes)
    with replacing_folder(folder, owned_by=NAME, overwrite=overwrite) as temporary:
        first = 0
        for level, scene in enumerate(scenes):
            for number, group in enumerate(_groups(leaves, first, first + len(scene), options.chunk_gaussians)):
                name = f"{level}_{number}"
                part = scene[np.concatenate([rows - first for _, rows in group])]
                belongs = np.repeat(np.arange(len(group)), [len(rows) for _, rows in group])
                (temporary / name).mkdir()
                encoded = _write_part(part, belongs, temporary / name / META, folder / name / META, options.sog)
                lowest, highest = _boxes(sog.decode(encoded))
                ends = np.bincount(belongs[encoded.order], minlength=len(group)).cumsum()
                for (leaf, _), start, end in zip(group, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                    if end > start:
                        leaf.add(level, len(filenames), start, lowest[start:end], highest[start:end])
                filenames.append(f"{name}/{META}")
                counts[level] += len(encoded.order)
            first += len(scene)
        content = {
            "version": 1,
            "asset": {
                "generator": "leansplat",
                "chunkGaussians": options.chunk_gaussians,
                "chunkExtent": extent,
                "chunkMinGaussians": options.chunk_min_gaussians,
            },
            "count": sum(counts),
            "counts": counts,
            "lodLevels": len(scenes),
            "lodErrors": False,
            "filenames": filenames,
            "tree": _described(tree),
        }
        with replacing(temporary / NAME) as handle:
            handle.write(json.dumps(content, separators=(",", ":")).encode())
    return folder / NAME


def _check(scenes: Sequence[GaussianArrays], folder: Path) -> None:
    if not scenes or len(scenes[-1]) == 0:
        raise InputError(f"{folder} would have a level of detail without Gaussians; give one or more to each.")
    for number, (finer, coarser) in enumerate(pairwise(scenes), 1):
        if len(coarser) >= len(finer):
            raise InputError(
                f"{folder} would have {len(coarser):,} Gaussians at level {number} and {len(finer):,} at the finer one "
                "before it; give the finest level first, and fewer Gaussians to each further one."
            )
    for scene in scenes:
        refuse_nonfinite(scene, folder)


def _cut(means: np.ndarray, rows: np.ndarray, extent: float, options: LevelOptions) -> _Tree:
    """The tree of the centres (M, 3) in `rows`: cut in half across the longest side until leaves are small enough."""
    sides = np.ptp(means[rows], axis=0)
    long = len(rows) > options.chunk_min_gaussians and sides.max() > extent
    if len(rows) == 1 or not (long or len(rows) > options.chunk_gaussians):
        return _Leaf(rows)
    half = len(rows) // 2
    order = np.argpartition(means[rows, np.argmax(sides)], half)
    low, high = (_cut(means, rows[side], extent, options) for side in (order[:half], order[half:]))
    return low, high


def _leaves(tree: _Tree) -> Iterator[_Leaf]:
    """All leaves, neighbours after each other."""
    if isinstance(tree, _Leaf):
        yield tree
    else:
        for child in tree:
            yield from _leaves(child)


def _groups(leaves: Sequence[_Leaf], first: int, end: int, most: int) -> Iterator[list[tuple[_Leaf, np.ndarray]]]:
    """Leaves that lie together in a file, at most about `most` Gaussians; with their rows from `first` to `end`."""
    group: list[tuple[_Leaf, np.ndarray]] = []
    count = 0
    for leaf in leaves:
        rows = leaf.rows[(leaf.rows >= first) & (leaf.rows < end)]
        if len(rows) == 0:
            continue
        if group and count + len(rows) > most:
            yield group
            group, count = [], 0
        group.append((leaf, rows))
        count += len(rows)
    if group:
        yield group


def _write_part(part: GaussianArrays, belongs: np.ndarray, path: Path, shown: Path, options: SogOptions) -> sog.Encoded:
    """Write a SOG scene with leaf after leaf, each in Morton order; `belongs` (n,) says which leaf a Gaussian is in."""
    order = sog.arranged(part)[1]
    order = order[np.argsort(belongs[order], kind="stable")]
    encoded = sog.encode(part, order=order, palette_size=options.palette_size, seed=options.seed)
    sog.write_encoded(encoded, path)
    fidelity.report(part, Written(order, lambda rows: sog.decode(encoded, rows)), shown)
    return encoded


def _boxes(scene: GaussianArrays) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (N, 3) of the box around each ellipsoid in which a Gaussian's alpha is over 1/255."""
    lowest, highest = np.empty((len(scene), 3)), np.empty((len(scene), 3))
    for part in blocks(len(scene)):
        w, x, y, z = unit(scene.quats[part]).T
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        deviations = scale_of(scene.scales[part])
        along_axes = np.sqrt(np.einsum("ijn,nj->ni", rotation**2, deviations**2))
        reach = np.sqrt(2 * np.log(np.maximum(255 * opacity_of(scene.opacities[part]), 1)))[:, None]
        lowest[part] = scene.means[part] - reach * along_axes
        highest[part] = scene.means[part] + reach * along_axes
    return lowest, highest


def _described(tree: _Tree) -> dict[str, Any]:
    """A tree as lod-meta.json has it; parts of which nothing was written are left out."""
    if isinstance(tree, _Leaf):
        bound = {"min": tree.lowest.tolist(), "max": tree.highest.tolist()}
        return {"bound": bound, "lods": tree.lods} if tree.lods else {}
    children = [child for child in map(_described, tree) if child]
    if len(children) < 2:
        return children[0] if children else {}
    low, high = ([child["bound"][end] for child in children] for end in ("min", "max"))
    bound = {"min": list(map(min, *low)), "max": list(map(max, *high))}
    return {"bound": bound, "children": children}
