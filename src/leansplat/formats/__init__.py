"""Scene files: `read` one into `Gaussians`, `write` one from them; `read_arrays` needs no PyTorch.

Each format is a module, described in `known`; this registry picks one, for reading by the file's first bytes and then
by its suffix, for writing by the suffix alone. To add a format, write its module, describe it and put it in `FORMATS`;
where two recognise the same bytes or suffix, the more particular one comes first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leansplat.arrays import WORLD, AnyScene, GaussianArrays
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import inria_folder
from leansplat.formats.format import (
    HEAD_SIZE,
    Format,
    Written,
    opened,
    report_padding,
    warn_of_nonfinite,
    warn_of_padding,
    warn_of_rotations,
)
from leansplat.formats.known import (
    C3DGS_NPZ,
    COMPRESSED_PLY,
    GLTF,
    GSPLAT_CHECKPOINT,
    INRIA_CHECKPOINT,
    NERFSTUDIO_CHECKPOINT,
    PLY,
    SOG,
    SPLAT,
    SPZ,
    STREAMED_SOG,
)
from leansplat.formats.options import LevelOptions as LevelOptions
from leansplat.formats.options import SogOptions as SogOptions
from leansplat.formats.options import SpzOptions as SpzOptions
from leansplat.origin import described, settled, warn_of_steps
from leansplat.summary import Summary, Tally, summarize

if TYPE_CHECKING:
    from leansplat.gaussians import Gaussians

FORMATS: list[Format] = [
    COMPRESSED_PLY,
    PLY,
    SPZ,
    SPLAT,
    GLTF,
    GSPLAT_CHECKPOINT,
    NERFSTUDIO_CHECKPOINT,
    INRIA_CHECKPOINT,
    STREAMED_SOG,
    SOG,
    C3DGS_NPZ,
]
"""Every format leansplat knows, in the order they are tried; a script can append one of its own."""

RUN_SCENE = "scene.ply"
"""The scene in a run folder."""

_log = logging.getLogger("leansplat")


def read(
    path: str | os.PathLike[str], *, drop_nonfinite: bool = False, drop_empty: bool = False, level: int = 0
) -> Gaussians:
    """Read a scene file of any known format, or the scene of a folder, into tensors on the CPU; see `read_arrays`."""
    from leansplat.gaussians import Gaussians

    arrays = read_arrays(path, drop_nonfinite=drop_nonfinite, drop_empty=drop_empty, level=level)
    return Gaussians.from_arrays(arrays)


def read_arrays(
    path: str | os.PathLike[str], *, drop_nonfinite: bool = False, drop_empty: bool = False, level: int = 0
) -> GaussianArrays:
    """Read a scene file of any known format, or the scene of a folder.

    Gaussians with NaN or infinite parameters are counted in one warning of the `leansplat` logger, rows that only fill
    a file up in another. Infinities that mean something (see `GaussianArrays.finite_equivalent`) become finite. A scene
    too far from zero for float32 is held relative to an origin; where the file has it in float32, a warning says how
    coarsely.

    Args:
        path: a scene file, or a folder as `scene_path` takes it.
        drop_nonfinite: remove Gaussians with NaN or infinite parameters instead of keeping them.
        drop_empty: remove rows that hold no Gaussian (see `GaussianArrays.padding`) instead of keeping them.
        level: of detail, in a lod-meta.json; 0 is the finest.

    Raises:
        SceneFileError: there is no such file, its format is unknown, it is damaged, or it has no such level.
    """
    path = scene_path(path)
    found = _format_in(path)
    if found is STREAMED_SOG:
        from leansplat.formats import streamed_sog

        gaussians = streamed_sog.read(path, drop_nonfinite=drop_nonfinite, level=level)
    elif level == 0:
        gaussians = found.read(path, drop_nonfinite=drop_nonfinite)
    else:
        raise SceneFileError(f"{path} has no levels of detail; leave --level (level={level}) out.")
    return settled(report_padding(gaussians, path, drop=drop_empty), path)


def read_parts(path: str | os.PathLike[str]) -> Iterator[GaussianArrays]:
    """The scene of a file or folder a few rows at a time, in order, for what need not hold it.

    The first part may be empty. A file that only makes sense as a whole is one part. Positions are as the file has
    them: a scene that `read_arrays` would hold relative to an origin because it is far out has none here.

    Raises:
        SceneFileError: as `read_arrays` does, at once or on the way.
    """
    path = scene_path(path)
    parts = _format_in(path).stream(path)
    return iter([read_arrays(path)]) if parts is None else parts


def summarize_file(path: str | os.PathLike[str]) -> Summary:
    """What the scene of a file or folder holds, see `leansplat.summary`; read a few rows at a time where it can be.

    Warns as `read` does.

    Raises:
        SceneFileError: as `read` does.
    """
    path = scene_path(path)
    size = scene_bytes(path)
    parts = _format_in(path).stream(path)
    if parts is None:
        return summarize(read_arrays(path), file_size=size)
    tally = Tally()
    for part in parts:
        tally.add(part)
    summary = tally.summary(file_size=size)
    warn_of_nonfinite(summary.nonfinite, summary.gaussians, path, drop=False)
    warn_of_padding(summary.padding, summary.gaussians, path, drop=False)
    warn_of_rotations(summary.without_rotation, summary.gaussians, path)
    origin = tally.coarse_around()
    if origin is not None:
        warn_of_steps(origin, path)
    return summary


def write(
    scene: AnyScene,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    options: object | None = None,
) -> int:
    """Write a scene in the format that the suffix of `path` names; the file appears whole or not at all.

    Warnings of the `leansplat` logger say what the scene has and the format cannot say, what the file leaves out, and
    what shows of its rounding (see `fidelity`).

    Args:
        path: the file.
        overwrite: whether a file already there may be replaced.
        options: what can be chosen of the format, such as `SpzOptions(version=4)`; the usual ones by default.

    Returns:
        How many Gaussians the file has. That is not the scene's number where strays were left out, or invisible ones
        added (see `reach`, `chunks`).

    Raises:
        SceneFileError: the suffix is of no known format, or the format cannot hold this scene.
        InputError: a file is there already and `overwrite` is false, or its folder does not exist, or `options` are of
            another format.
    """
    path = Path(path)
    chosen = format_taking(path, options)
    gaussians = scene.arrays().finite_equivalent()
    given = {} if options is None else {"options": options}
    written: Written | None = chosen.write(gaussians, path, overwrite=overwrite, **given)
    say_losses(gaussians, path)
    if written is None:
        broken = len(gaussians) - int(gaussians.finite().sum())
        if broken:
            _log.warning("%s: %d of %d Gaussians are NaN or infinite; nothing draws them", path, broken, len(gaussians))
        return len(gaussians)
    from leansplat.formats import fidelity

    fidelity.report(gaussians, written, path)
    return len(written.order)


def format_taking(path: str | os.PathLike[str], options: object | None) -> Format:
    """The format that the suffix of `path` names.

    Raises:
        SceneFileError: the suffix is of no known format.
        InputError: it is of another format than `options` are.
    """
    chosen = format_of(path)
    if options is not None and type(options) is not chosen.options:
        owner = next((known.name for known in FORMATS if known.options is type(options)), type(options).__name__)
        raise InputError(f"{path} would be {chosen.name}; leave the options of {owner} out or choose another suffix")
    return chosen


def write_levels(
    scenes: Sequence[AnyScene],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    options: LevelOptions | None = None,
) -> Path:
    """Write levels of detail as a folder with a lod-meta.json, which viewers stream; it appears whole or not at all.

    Each Gaussian is in the leaf of space that its centre is in, whatever its place in a finer level is. Warnings of the
    `leansplat` logger say what `write` would say of each SOG scene in it.

    Args:
        scenes: the same scene at one size or more, the finest first, each of fewer Gaussians than the one before.
        folder: a name that is free, or with `overwrite` that of such a folder.
        options: how space is cut up, and of SOG; the usual ones by default.

    Returns:
        The lod-meta.json, whose levels `read(path, level=...)` reads.

    Raises:
        InputError: there is no level, or one that is not smaller than the one before; or the folder is something else.
        SceneFileError: a parameter is NaN or infinite.
    """
    from leansplat.formats import levels

    path = levels.write(scenes, Path(folder), overwrite=overwrite, options=options or LevelOptions())
    say_losses(scenes[0], path)
    return path


def say_losses(gaussians: AnyScene, path: Path) -> None:
    """Warn of what a file just written does not have of its scene, or not where every program would look for it."""
    written = format_of(path)
    lost = written.loses(gaussians)
    if lost:
        _log.warning("%s: %s cannot hold %s; this is lost", path, written.name, " or ".join(lost))
    if written.notes_origin and gaussians.origin != WORLD:
        _log.warning(
            "%s: positions are relative to %s, as viewers hold them in float32; leansplat reads them back in place",
            *(path, described(gaussians.origin)),
        )


def scene_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """All files that a scene is made of: one for most formats, a meta.json and its images, a .gltf and its buffers.

    Args:
        path: as `read` takes it; the file it stands for comes first.

    Raises:
        SceneFileError: as `read` does, though less of the files is looked at.
    """
    path = scene_path(path)
    return _format_in(path).files(path)


def scene_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes on disk of all `scene_files`; raises as that does."""
    total = 0
    for file in scene_files(path):
        with opened(file) as handle:
            total += os.fstat(handle.fileno()).st_size
    return total


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that the suffix of `path` names, the longest such suffix.

    Raises:
        SceneFileError: the suffix is of no known format.
    """
    candidates = _with_suffix(Path(path))
    if not candidates:
        raise SceneFileError(f"{path} does not end in the suffix of a known format; known are {_known()}.")
    return candidates[0]


def scene_path(path: str | os.PathLike[str]) -> Path:
    """The scene file that `path` stands for: itself, or in a folder its `scene.ply` (a run) or 3DGS's last point cloud.

    Raises:
        SceneFileError: `path` is a folder without a scene.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / RUN_SCENE).exists():
        return path / RUN_SCENE
    found = inria_folder.point_cloud(path)
    if found is None:
        raise SceneFileError(
            f"{path} is a folder without a {RUN_SCENE} or point_cloud; give a scene file, a finished run folder or an "
            "output folder of 3DGS."
        )
    return found


def _format_in(path: Path) -> Format:
    """The format of a file by its content, and by its suffix where that leaves a choice or says nothing."""
    with opened(path) as handle:
        head = handle.read(HEAD_SIZE)
    by_suffix = _with_suffix(path)
    # Several formats may share magic bytes (gzip, zip); the suffix then decides, but never against the content. Those
    # of the suffix are asked first, for most modules are then never imported.
    for asked in ([known for known in FORMATS if known in by_suffix], FORMATS):
        for known in asked:
            if known.recognises(head):
                return known
    if by_suffix:
        return by_suffix[0]
    raise SceneFileError(f"{path} is not a scene file of a known format; known are {_known()}.")


def _with_suffix(path: Path) -> list[Format]:
    """Formats with a suffix that `path` ends in, the longest suffix first ('.compressed.ply' before '.ply')."""
    name = path.name.lower()
    found = [(len(suffix), known) for known in FORMATS for suffix in known.suffixes if name.endswith(suffix)]
    return [known for _, known in sorted(found, key=lambda pair: -pair[0])]


def _known() -> str:
    return ", ".join(f"{known.name} ({', '.join(known.suffixes)})" for known in FORMATS)
