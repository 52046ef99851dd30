"""`write`: several sizes of one scene as a folder from which viewers stream what they need (`lod-meta.json`).

All levels share one tree: space is halved where half of the Gaussians are on either side, until a leaf is small enough
to be switched from one level to another by itself. Neighbouring leaves of a level fill a SOG scene of its own in a
folder `LEVEL_NUMBER`, each leaf a range of its rows, so what is fetched is never much more than what is seen. One such
scene is in memory at a time beside the levels, or by `write_chunks`, one chunk. `streamed_sog` reads what is written
here and describes the layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
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

ChunkTree: TypeAlias = "int | tuple[ChunkTree, ChunkTree]"
"""Parts of space by their numbers, from 0 on, or two of them that lie next to each other."""


def write(levels: Sequence[AnyScene], folder: Path, *, overwrite: bool = False, options: LevelOptions = _USUAL) -> Path:
    """Write levels of detail as a folder; arguments, result and errors as for `leansplat.formats.write_levels`."""
    scenes = [level.arrays().finite_equivalent() for level in levels]
    _check(scenes, folder)
    scenes = [scene.relative_to(scenes[0].origin) for scene in scenes]
    extent = options.chunk_extent or _extent(scenes[0])
    means = np.concatenate([scene.means for scene in scenes])
    tree = _cut(means, np.arange(len(means)), extent, options)
    leaves = list(_leaves(tree))
    with replacing_folder(folder, owned_by=NAME, overwrite=overwrite) as temporary:
        written = _Folder(temporary, folder, options, len(scenes))
        first = 0
        for level, scene in enumerate(scenes):
            written.add(level, scene, first, leaves)
            first += len(scene)
        written.finish(_described(tree), extent)
    return folder / NAME


def write_chunks(
    chunks: Iterable[AnyScene],
    tree: ChunkTree,
    folder: Path,
    *,
    overwrite: bool = False,
    options: LevelOptions = _USUAL,
) -> Path:
    """Write one level of detail a chunk at a time, for a scene that need not be in memory whole.

    Args:
        chunks: parts of space with their Gaussians, all of one origin; each becomes a SOG scene, or several if it has
            many, and is cut further into leaves.
        tree: how space was halved to these chunks, by their numbers.
        folder, overwrite, options: as for `write`; the extent of leaves is by default that of the first chunk.

    Returns:
        The lod-meta.json.

    Raises:
        InputError, SceneFileError: as `write` does.
    """
    described: list[dict[str, Any]] = []
    extent = options.chunk_extent
    with replacing_folder(folder, owned_by=NAME, overwrite=overwrite) as temporary:
        written = _Folder(temporary, folder, options, 1)
        for chunk in chunks:
            scene = chunk.arrays().finite_equivalent()
            refuse_nonfinite(scene, folder)
            extent = extent or _extent(scene)
            part = _cut(scene.means, np.arange(len(scene)), extent, options) if len(scene) else _Leaf(np.zeros(0, int))
            written.add(0, scene, 0, list(_leaves(part)))
            described.append(_described(part))
        if sum(written.counts) == 0:
            raise InputError(f"{folder} would have a level of detail without Gaussians; give one or more to each.")
        written.finish(_joined(tree, described), extent or 1.0)
    return folder / NAME


class _Folder:
    """A folder of levels while it is written.

    Args:
        path: where it is for now; shown: what it is going to be called.
        levels: how many it gets.
    """

    def __init__(self, path: Path, shown: Path, options: LevelOptions, levels: int) -> None:
        self._path, self._shown, self._options = path, shown, options
        self._filenames: list[str] = []
        self.counts = [0] * levels

    def add(self, level: int, scene: GaussianArrays, first: int, leaves: Sequence[_Leaf]) -> None:
        """Write a scene of a level, whose rows count from `first` on in leaves, and tell these where their part is."""
        for group in _groups(leaves, first, first + len(scene), self._options.chunk_gaussians):
            name = f"{level}_{sum(file.startswith(f'{level}_') for file in self._filenames)}"
            part = scene[np.concatenate([rows - first for _, rows in group])]
            belongs = np.repeat(np.arange(len(group)), [len(rows) for _, rows in group])
            (self._path / name).mkdir()
            encoded = _write_part(part, belongs, self._path / name / META, self._shown / name / META, self._options.sog)
            lowest, highest = _boxes(sog.decode(encoded))
            ends = np.bincount(belongs[encoded.order], minlength=len(group)).cumsum()
            for (leaf, _), start, end in zip(group, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                if end > start:
                    leaf.add(level, len(self._filenames), start, lowest[start:end], highest[start:end])
            self._filenames.append(f"{name}/{META}")
            self.counts[level] += len(encoded.order)

    def finish(self, tree: dict[str, Any], extent: float) -> None:
        """Write the lod-meta.json of all that was added."""
        content = {
            "version": 1,
            "asset": {
                "generator": "leansplat",
                "chunkGaussians": self._options.chunk_gaussians,
                "chunkExtent": extent,
                "chunkMinGaussians": self._options.chunk_min_gaussians,
            },
            "count": sum(self.counts),
            "counts": self.counts,
            "lodLevels": len(self.counts),
            "lodErrors": False,
            "filenames": self._filenames,
            "tree": tree,
        }
        with replacing(self._path / NAME) as handle:
            handle.write(json.dumps(content, separators=(",", ":")).encode())


def _extent(scene: GaussianArrays) -> float:
    """How long leaves of a scene usually are."""
    return distances(scene).extent / _LEAVES_ALONG


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
    return _around([_described(part) for part in tree])


def _joined(tree: ChunkTree, described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A tree of chunks as lod-meta.json has it."""
    if isinstance(tree, int):
        return described[tree]
    return _around([_joined(part, described) for part in tree])


def _around(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The node around two parts; of one in which nothing was written, the other."""
    children = [child for child in parts if child]
    if len(children) < 2:
        return children[0] if children else {}
    low, high = ([child["bound"][end] for child in children] for end in ("min", "max"))
    bound = {"min": list(map(min, *low)), "max": list(map(max, *high))}
    return {"bound": bound, "children": children}
