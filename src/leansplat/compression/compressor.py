"""`compress`: a scene becomes a small file, trained through what that file can say.

    scene -> (drop what no view sees) -> latents of the format -> fine-tuning through its rounding -> file

The suffix chooses: `.npz` is the format of Niedermayr et al. 2024, whose tables of colours and shapes are clustered by
sensitivity; `.sog`, `.spz` and `.compressed.ply` are open formats. What counts is the file: the result is what a reader
makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.compression.config import CompressionConfig
from leansplat.compression.fine_tuning import fine_tune
from leansplat.compression.format_quantiser import SUFFIXES
from leansplat.compression.preparation import kept_degrees, prepared
from leansplat.engines.cpu.packed import MEANS
from leansplat.errors import CaptureError, InputError, SceneFileError
from leansplat.files import clear_abandoned
from leansplat.formats import c3dgs_npz
from leansplat.gaussians import WORLD, Gaussians
from leansplat.origin import warn_if_apart
from leansplat.provenance import trained_with, warn_of_another_background
from leansplat.pruning.start import create_run_from, start_from
from leansplat.runs import Run, alone_at_work, run_to_resume
from leansplat.training import loop
from leansplat.training.loop import Progress


@dataclass(frozen=True)
class CompressionResult:
    """What compression made.

    Args:
        gaussians: the scene as read again from the file.
        path: the file.
        bytes: its size.
        original: the scene that was given.
        plain: what the file would be without fine-tuning, read again; `gaussians` where there was no fine-tuning.
        plain_bytes: its size.
        seconds: time spent fine-tuning, over all sittings.
    """

    gaussians: Gaussians
    path: Path
    bytes: int
    original: Gaussians
    plain: Gaussians
    plain_bytes: int
    seconds: float


@alone_at_work
def compress(
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture | None,
    path: str | os.PathLike[str],
    config: CompressionConfig | None = None,
    run: Run | str | os.PathLike[str] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CompressionResult:
    """Compress a scene, fine-tuned on the training views of `capture`.

    Args:
        scene: Gaussians, a scene file of any tool, or a run folder.
        capture: photos with cameras, whose test views are not touched; None to encode the scene as it is.
        path: the file to write, with the suffix .npz, .sog, .spz or .compressed.ply.
        config: how.
        run: where to keep log and checkpoints, and the file without fine-tuning as `plain` with the suffix: a run made
            by `create_compression_run`, or a folder to make one in.
        settings: further ones to record in a run that is made, see `create_compression_run`.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: whether the file, and an earlier run in the folder, may be replaced. The scene never is.
        progress: of finding what the photos show, of clustering, and of fine-tuning, one after the other; see
            `training.loop.Progress`.

    Raises:
        InputError: the scene cannot be used, or the file cannot be written.
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.
    """
    path, config = Path(path), config or CompressionConfig()
    suffix = _suffix(path)
    _check_output(scene, path, overwrite=overwrite)
    if capture is None:
        if config.drop_unseen or run is not None:
            raise InputError("without a capture there are no views to train on; give one, or no run and no drop_unseen")
        return _encode(scene, path, config, overwrite=overwrite)
    if not capture.train:
        raise CaptureError(f"capture {capture.name} has no training views; check its split")
    if not isinstance(scene, Gaussians):
        warn_of_another_background(trained_with(scene), capture.background)
    start = start_from(scene, capture.extent, config.fine_tuning.seed)
    packed = start.state.optimizer.packed
    warn_if_apart(packed.attribute(MEANS), packed.origin, [view.camera for view in capture.train])
    begun = run_to_resume(run) if resume else None
    if begun is not None:
        run = begun
        clear_abandoned(path.resolve().parent)
        loop.check_resumable(run, "compress", {"compression": config}, capture)
    elif run is not None and not isinstance(run, Run):
        run = create_compression_run(run, scene, capture, config, settings=settings, overwrite=overwrite)
    if run is not None and start.sha256 is not None:
        run.check_input("scene", start.sha256)
    if begun is not None and not begun.checkpoints():
        begun.cut_log(-1)

    with TemporaryDirectory() as temporary:
        plain = Path(temporary) / f"plain{suffix}" if run is None else run.plain_path(suffix)
        begins = begun is None or not begun.checkpoints()
        gaussians, quantiser = prepared(start, capture, config, run, suffix, progress, begins=begins)

        def write_plain(latents: Mapping[str, Tensor]) -> None:
            try:
                quantiser.write(latents, plain, overwrite=True)
            except ValueError as error:
                raise SceneFileError(f"{path} cannot hold this scene: {error}; choose another format") from error

        tuned = fine_tune(
            gaussians,
            capture,
            quantiser,
            config.fine_tuning,
            run,
            recipe=start.training,
            resume=begun is not None,
            progress=progress,
            begun=write_plain,
        )
        quantiser.write(tuned.latents, path, overwrite=overwrite)
        original = start.state.gaussians()
        formats.say_losses(original, path)
        result = CompressionResult(
            gaussians=_read(path, original),
            path=path,
            bytes=formats.scene_bytes(path),
            original=original,
            plain=_read(plain, original),
            plain_bytes=formats.scene_bytes(plain),
            seconds=tuned.seconds,
        )
    if run is not None:
        run.log("finished", config.fine_tuning.steps, gaussians=len(result.gaussians), bytes=result.bytes)
    return result


def create_compression_run(
    folder: str | os.PathLike[str],
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture,
    config: CompressionConfig,
    *,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Run:
    """Make the run folder of a compression.

    Args:
        settings: further ones to record, as JSON: where the capture is, its downscale.
        overwrite: see `create_run`.

    Raises:
        InputError: the scene cannot be used, or lies in the folder that the run would replace.
        RunError: the folder is in use, or cannot be made.
    """
    seed = config.fine_tuning.seed
    return create_run_from(
        scene, folder, "compress", capture, {"compression": config}, seed, settings=settings, overwrite=overwrite
    )


def _read(path: Path, original: Gaussians) -> Gaussians:
    """The scene in a file, which may have no place for the origin that it has in common with the original."""
    scene = formats.read(path)
    return replace(scene, origin=original.origin) if scene.origin == WORLD else scene


def _suffix(path: Path) -> str:
    for suffix in (*c3dgs_npz.FORMAT.suffixes, *SUFFIXES):
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"{path} ends in none of {', '.join(SUFFIXES)} and .npz; compression writes these formats")


def _check_output(scene: Gaussians | str | os.PathLike[str], path: Path, *, overwrite: bool) -> None:
    """Refuse what could not be written, before any work."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another name.")
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path} cannot be written because its folder does not exist; create it first.")
    if not isinstance(scene, Gaussians) and path.resolve() == formats.scene_path(scene).resolve():
        raise InputError(f"{path} is the scene itself, which would be lost; choose another name.")


def _encode(
    scene: Gaussians | str | os.PathLike[str], path: Path, config: CompressionConfig, *, overwrite: bool
) -> CompressionResult:
    original = scene if isinstance(scene, Gaussians) else formats.read(scene)
    rounded = kept_degrees(original.finite_equivalent(), config)
    formats.write(rounded, path, overwrite=overwrite, sog_palette_size=config.palette_size)
    read, size = _read(path, original), formats.scene_bytes(path)
    return CompressionResult(read, path, size, original, read, size, 0.0)
