"""What became of all blocks as one scene: in a file of any kind, or as chunks that viewers stream.

A .ply and a lod-meta.json are written block after block. For other kinds of file, whose tables are of the whole scene,
what became of it is held in memory; it was made small before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from leansplat import formats
from leansplat.arrays import WORLD, GaussianArrays, concatenate
from leansplat.blocks.sliced import SlicedScene
from leansplat.blocks.work import worth_path
from leansplat.compression.codecs import Codec
from leansplat.files import replacing
from leansplat.formats import levels
from leansplat.formats.ply_rows import RowLayout
from leansplat.gaussians import Gaussians
from leansplat.shrinking.fitting import LEAST_SHARE, grades_of
from leansplat.shrinking.sized import WithinSize
from leansplat.unsaid import unsaid


def is_streamed(path: Path) -> bool:
    """Whether a path asks for chunks to stream."""
    return path.name.lower() == levels.NAME


def join(scene: SlicedScene, path: Path, codec: Codec | None, *, overwrite: bool = False) -> None:
    """Write what became of the blocks of a scene.

    Args:
        codec: the kind of file; None for a lod-meta.json, whose folder is made.

    Raises:
        InputError, SceneFileError: the file cannot be written, or cannot hold the scene.
    """
    if codec is None:
        folder = levels.write_chunks(_parts(scene), scene.tree, path.parent, overwrite=overwrite)
        formats.say_losses(scene.made(0), folder)
    elif codec.suffix == ".ply":
        _write_ply(scene, path, overwrite)
    else:
        codec.write(_whole(scene), path, overwrite=overwrite)


def join_within(
    scene: SlicedScene, path: Path, codec: Codec, fineness: float, size: int, *, overwrite: bool = False
) -> int:
    """Write them as a file of at most `size` bytes, without the least worthy where these are too many.

    Where all of them take less, they are said more finely.

    Args:
        codec: the kind of file.
        fineness: in [0, 1], of its grades from coarse to fine, where to begin.

    Returns:
        How many Gaussians the file has.

    Raises:
        InputError: no file is as small, or it cannot be written.
    """
    whole = _whole(scene)
    worth = torch.from_numpy(
        np.concatenate([np.load(worth_path(scene.folder, number)) for number in range(scene.blocks)])
    )
    grades = grades_of(codec, whole)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        for grade, degree in grades[round(fineness * (len(grades) - 1)) :]:
            quantiser = WithinSize(grade.quantiser(0), size, worth)
            latents = quantiser.begin(whole.with_sh_degree(degree))
            quantiser.write(latents, trial, overwrite=True)
            if trial.stat().st_size >= LEAST_SHARE * size:
                break
        with replacing(path, overwrite=overwrite) as handle:
            handle.write(trial.read_bytes())
        with unsaid():
            return len(formats.read_arrays(trial))


def _parts(scene: SlicedScene) -> Iterator[GaussianArrays]:
    return (scene.made(number) for number in range(scene.blocks))


def _whole(scene: SlicedScene) -> Gaussians:
    return Gaussians.from_arrays(concatenate(list(_parts(scene))))


def _write_ply(scene: SlicedScene, path: Path, overwrite: bool) -> None:
    layout = RowLayout.of(scene.made(0), path)
    if scene.origin != WORLD:
        layout = replace(layout, doubles=any(RowLayout.of(part, path).doubles for part in _parts(scene)))
    count = sum(len(part) for part in _parts(scene)) if scene.blocks else 0
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(layout.header(count))
        for part in _parts(scene):
            for rows in layout.rows(part):
                handle.write(rows)
