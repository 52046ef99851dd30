"""`SlicedScene`: a scene in a folder, block by block, so that what works on one reads it and what is near it, no more.

    cut.json         which scene it was, where its blocks are, and how many Gaussians each has
    cut/0000.ply     Gaussians of a block as they were, in the order of the file they come from
    made/0000.ply    what became of them (`work`), beside it 0000.json

The scene's file is read twice, a few rows at a time: once for all centres, which decide where it is cut, and once to
hand its rows out. `cut.json` is written last, so where it is, the cut is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leansplat.activation import opacity_of
from leansplat.arrays import GaussianArrays, Origin, concatenate
from leansplat.blocks.cutting import cut, distances_to
from leansplat.blocks.number import Blocks
from leansplat.configs import Config
from leansplat.errors import InputError, RunError
from leansplat.files import write_json
from leansplat.formats import ply, read_parts, scene_files
from leansplat.formats.levels import ChunkTree
from leansplat.formats.ply_rows import RowLayout
from leansplat.origin import origin_of_scene
from leansplat.progress import Progress

_FACTS = "cut.json"
_FORMAT = 1
"""Version of what lies in the folder."""

_BATCH = 1 << 18
"""Rows that are handed out together."""

_FAINTEST = 1 / 255
"""Nothing is drawn of a Gaussian of less opacity."""

_REACH = 0.1
"""Of the longest side of a block, how far around it its margin reaches."""

_MOST_MARGIN = 1.0
"""Gaussians of a margin at most, as a share of those of its block."""

_PROBES, _PROBE = 64, 1 << 16
"""Places of a file that tell whether it is the same, and bytes looked at in each."""


@dataclass(frozen=True)
class Facts(Config):
    """What `cut.json` says.

    Args:
        version: of the layout of the folder.
        scene: digest of the file, see `digest_of`.
        asked: how the scene was to be cut.
        counts: Gaussians of each block.
        drawable: those of them that can be drawn at all.
        boxes: lowest and highest corner of where most of each block is, one after the other; relative to the origin.
        bounds: the same of all of it.
        tree: how space was halved: a number of a block, or a list of two parts.
        origin: where in the world the zero of positions lies.
        nonfinite: Gaussians with numbers that are not finite.
    """

    version: int
    scene: str
    asked: Blocks
    counts: tuple[int, ...]
    drawable: tuple[int, ...]
    boxes: tuple[float, ...]
    bounds: tuple[float, ...]
    tree: object
    origin: tuple[float, float, float]
    nonfinite: int


@dataclass(frozen=True)
class Margin:
    """What is near a block and belongs to its neighbours.

    Args:
        gaussians: nearest first as far as there was a choice, else in the order of the blocks.
        reach: how far around the block it goes.
    """

    gaussians: GaussianArrays
    reach: float


class SlicedScene:
    """A scene that was cut into a folder.

    Args:
        folder: which `slice_scene` filled.

    Raises:
        RunError: it is not such a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / _FACTS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self.facts = Facts.from_json(content)
        except FileNotFoundError as error:
            raise RunError(f"{folder} holds no scene in blocks (it has no {_FACTS}); check the path") from error
        except (OSError, ValueError, InputError) as error:
            raise RunError(f"{path} cannot be read ({error}); start again with --overwrite") from error
        if self.facts.version != _FORMAT:
            raise RunError(f"{path} is of another version of leansplat; start again with --overwrite")

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.facts.counts)

    @property
    def count(self) -> int:
        """Gaussians of the scene."""
        return sum(self.facts.counts)

    @property
    def origin(self) -> Origin:
        x, y, z = self.facts.origin
        return x, y, z

    @property
    def boxes(self) -> np.ndarray:
        """(B, 2, 3) where most of each block is, relative to the origin."""
        return np.array(self.facts.boxes).reshape(-1, 2, 3)

    @property
    def tree(self) -> ChunkTree:
        return _tuples(self.facts.tree)

    def cut_path(self, number: int) -> Path:
        return self.folder / "cut" / f"{number:04}.ply"

    def made_path(self, number: int) -> Path:
        return self.folder / "made" / f"{number:04}.ply"

    def given(self, number: int) -> GaussianArrays:
        """A block as it was."""
        return replace(ply.read(self.cut_path(number)), origin=self.origin)

    def made(self, number: int) -> GaussianArrays:
        """What became of a block."""
        return replace(ply.read(self.made_path(number)), origin=self.origin)

    def margin(self, number: int) -> Margin:
        """What was near a block: within a tenth of its longest side, but never more than the block has itself."""
        low, high = self.boxes[number]
        reach, most = _REACH * float((high - low).max()), int(_MOST_MARGIN * self.facts.counts[number])
        near, distances = self._near(number, reach, [self.cut_path(other) for other in range(self.blocks)], most)
        return Margin(near, reach if len(near) < most else float(distances.max()))

    def margin_made(self, number: int, reach: float) -> GaussianArrays:
        """What is near a block when all are made."""
        return self._near(number, reach, [self.made_path(other) for other in range(self.blocks)], None)[0]

    def _near(
        self, number: int, reach: float, paths: list[Path], most: int | None
    ) -> tuple[GaussianArrays, np.ndarray]:
        """Gaussians of other blocks within `reach` of one, the nearest `most`, without extras; and how far they are."""
        box = self.boxes[number]
        bounds = np.array(self.facts.bounds).reshape(-1, 2, 3)
        found: list[GaussianArrays] = []
        far: list[np.ndarray] = []
        held = 0
        for other, path in enumerate(paths):
            low, high = bounds[other]
            if other == number or not ((low <= box[1] + reach) & (high >= box[0] - reach)).all():
                continue
            for part in read_parts(path):
                distances = distances_to(box, part.means.astype(np.float64))
                rows = np.flatnonzero(distances <= reach)
                found.append(replace(part[rows], extras={}))
                far.append(distances[rows])
                held += len(rows)
                if most is not None and held > 2 * most:
                    found, far, held = *_nearest(found, far, most), most
        if not found:
            found, far = [replace(ply.read(paths[number])[:0], extras={})], [np.zeros(0)]
        if most is not None and held > most:
            found, far = _nearest(found, far, most)
        return replace(concatenate(found), origin=self.origin), np.concatenate(far)


def is_sliced(folder: Path) -> bool:
    """Whether a folder holds a scene in blocks."""
    return (folder / _FACTS).is_file()


def digest_of(scene: str | os.PathLike[str]) -> str:
    """SHA-256 of a scene's sizes and of samples from all over its files: enough to know it again, in no time."""
    digest = hashlib.sha256()
    for path in scene_files(scene):
        size = path.stat().st_size
        digest.update(str(size).encode())
        with open(path, "rb") as handle:
            for start in np.linspace(0, max(0, size - _PROBE), _PROBES, dtype=np.int64).tolist():
                handle.seek(start)
                digest.update(handle.read(_PROBE))
    return digest.hexdigest()


def slice_scene(
    scene: str | os.PathLike[str], folder: Path, asked: Blocks, progress: Progress | None = None
) -> SlicedScene:
    """Cut a scene into a folder.

    Args:
        scene: a scene file of any tool, or a run folder. A .ply is read a few rows at a time; other kinds of file are
            read whole.
        folder: an empty one.
        progress: told of rows read, of both readings.

    Raises:
        SceneFileError: the scene cannot be read.
        InputError: it has no Gaussians, or the disk has no room for it.
    """
    centres = _Centres.of(scene, progress)
    count = len(centres.means)
    if count == 0:
        raise InputError(f"{scene} has no Gaussians; there is nothing to shrink")
    made = cut(centres.means, asked.of(count))
    blocks = len(made.boxes)
    bounds = np.tile(np.array([[np.inf] * 3, [-np.inf] * 3]), (blocks, 1, 1))
    (folder / "cut").mkdir(parents=True, exist_ok=True)
    counts = np.bincount(made.labels, minlength=blocks)
    offset = 0
    layout: RowLayout | None = None
    paths = [folder / "cut" / f"{number:04}.ply" for number in range(blocks)]
    for batch in _batches(read_parts(scene)):
        batch = replace(batch.relative_to(centres.origin), origin=(0.0, 0.0, 0.0))
        if layout is None:
            layout = RowLayout.of(batch, folder / "cut")
            _check_room(folder, layout, count)
            for path, rows in zip(paths, counts.tolist(), strict=True):
                path.write_bytes(layout.header(rows))
        labels = made.labels[offset : offset + len(batch)]
        order = np.argsort(labels, kind="stable")
        numbers, starts = np.unique(labels[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            part = batch[rows]
            with open(paths[number], "ab") as handle:
                for block in layout.rows(part):
                    handle.write(block)
            finite = part.means[np.isfinite(part.means).all(axis=1)]
            if len(finite):
                bounds[number, 0] = np.minimum(bounds[number, 0], finite.min(axis=0))
                bounds[number, 1] = np.maximum(bounds[number, 1], finite.max(axis=0))
        offset += len(batch)
        if progress is not None:
            progress(count + offset, 2 * count, {})
    empty = ~np.isfinite(bounds).all(axis=(1, 2))
    bounds[empty] = made.boxes[empty]
    facts = Facts(
        version=_FORMAT,
        scene=digest_of(scene),
        asked=asked,
        counts=tuple(counts.tolist()),
        drawable=tuple(np.bincount(made.labels, centres.drawable, blocks).astype(int).tolist()),
        boxes=tuple((made.boxes - np.tile(centres.origin, 2).reshape(2, 3)).ravel().tolist()),
        bounds=tuple(bounds.ravel().tolist()),
        tree=made.tree,
        origin=centres.origin,
        nonfinite=centres.nonfinite,
    )
    write_json(folder / _FACTS, facts.to_json(), overwrite=True)
    return SlicedScene(folder)


@dataclass(frozen=True)
class _Centres:
    """What a first reading finds.

    Args:
        means: (N, 3) float32 centres as the file has them.
        drawable: (N,) bool, which could be drawn.
        origin: what positions are to be held relative to.
        nonfinite: Gaussians with numbers that are not finite.
    """

    means: np.ndarray
    drawable: np.ndarray
    origin: Origin
    nonfinite: int

    @classmethod
    def of(cls, scene: str | os.PathLike[str], progress: Progress | None) -> _Centres:
        means: list[np.ndarray] = []
        drawable: list[np.ndarray] = []
        some: list[GaussianArrays] = []
        done = nonfinite = 0
        for batch in _batches(read_parts(scene)):
            finite = batch.finite()
            means.append(batch.means + np.array(batch.origin, np.float32))
            drawable.append(finite & (opacity_of(batch.opacities) >= _FAINTEST))
            some.append(replace(batch[np.arange(0, len(batch), max(1, len(batch) // 256))], extras={}))  # no view of it
            nonfinite += len(batch) - int(finite.sum())
            done += len(batch)
            if progress is not None:
                progress(done, 2 * done, {})
        if done == 0:
            return cls(np.zeros((0, 3), np.float32), np.zeros(0, bool), (0.0, 0.0, 0.0), 0)
        sample = concatenate(some)
        origin = sample.origin
        if origin == (0.0, 0.0, 0.0):
            origin = origin_of_scene(sample.means, sample.scales)
        return cls(np.concatenate(means), np.concatenate(drawable), origin, nonfinite)


def _batches(parts: Iterator[GaussianArrays]) -> Iterator[GaussianArrays]:
    """Parts of a scene, joined until they are worth the while, and cut where they are large."""
    waiting: list[GaussianArrays] = []
    held = 0
    for part in parts:
        for start in range(0, max(len(part), 1), _BATCH):
            waiting.append(part[start : start + _BATCH].finite_equivalent())
            held += len(waiting[-1])
            if held >= _BATCH:
                yield concatenate(waiting)
                waiting, held = [], 0
    if waiting:
        yield concatenate(waiting)


def _nearest(
    found: list[GaussianArrays], far: list[np.ndarray], most: int
) -> tuple[list[GaussianArrays], list[np.ndarray]]:
    """The `most` nearest, in the order in which they were found."""
    scene, distances = concatenate(found), np.concatenate(far)
    rows = np.sort(np.argsort(distances, kind="stable")[:most])
    return [scene[rows]], [distances[rows]]


def _check_room(folder: Path, layout: RowLayout, count: int) -> None:
    """Refuse to begin where the disk has no room for the scene once more, and for what becomes of it."""
    row = 4 * (3 + 3 + 3 + 3 * layout.coefficients + 8) + sum(kind.itemsize for kind in layout.extras.values())
    needed, free = 2 * count * row, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder} has {free / 1e9:,.1f} GB of free space where blocks need {needed / 1e9:,.1f} GB; name a run "
            "folder (--run) on a larger disk"
        )


def _tuples(tree: object) -> ChunkTree:
    if isinstance(tree, list | tuple):
        low, high = tree
        return _tuples(low), _tuples(high)
    assert isinstance(tree, int)
    return tree
