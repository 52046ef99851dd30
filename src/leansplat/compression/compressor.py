"""`compress`: a scene becomes a small file, trained through what that file can say.

    scene -> (drop what no view sees) -> latents of the codec -> fine-tuning through its rounding -> file

The suffix chooses the codec, unless one is given: see `leansplat.compression.codecs`. What counts is the file: the
result is what a reader makes of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from torch import Tensor

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.compression.codecs import Codec, codec_of
from leansplat.compression.config import CompressionConfig
from leansplat.compression.fine_tuning import fine_tune
from leansplat.compression.harmonics import Loss, loss_on_photos
from leansplat.compression.preparation import kept_degrees, subject
from leansplat.errors import InputError, RunError, SceneFileError
from leansplat.files import clear_abandoned, copy_file
from leansplat.gaussians import WORLD, Gaussians
from leansplat.progress import Progress, at_stage
from leansplat.runs import Run, alone_at_work
from leansplat.training.session import Part, open_session
from leansplat.unsaid import unsaid

_log = logging.getLogger("leansplat")

Written = Literal["fine-tuned", "plain", "usual"]

_ONCE_TOGETHER = ("colors", "shapes", "sh_loss", "palette_size")
"""Options of codecs that config.json had among all other settings of a compression, up to version 0.1."""


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
        codec: the kind of file, with its options.
        written: what the file is: fine-tuned; or, without steps or where they lost on the training views, encoded only,
            as `plain` or as `codec` does without a capture.
    """

    gaussians: Gaussians
    path: Path
    bytes: int
    original: Gaussians
    plain: Gaussians
    plain_bytes: int
    seconds: float
    codec: Codec
    written: Written


@alone_at_work
def compress(
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture | str | os.PathLike[str] | None,
    path: str | os.PathLike[str],
    config: CompressionConfig | None = None,
    run: str | os.PathLike[str] | None = None,
    *,
    codec: Codec | None = None,
    engine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CompressionResult:
    """Compress a scene, fine-tuned on the training views of `capture`.

    Where fine-tuning was too short to be worth it, a warning of the `leansplat` logger says so: the file is then the
    best on the training views of those that merely encoding makes, in no more bytes.

    Args:
        scene: Gaussians, a scene file of any tool, or a run folder.
        capture: photos with cameras, or the folder of a capture, which is loaded as the scene was trained; its test
            views are not touched. None to encode the scene as it is.
        path: the file to write, with the suffix of a codec: .npz, .sog, .spz, .compressed.ply, or one of your own.
        config: how, whatever the kind of file; by default `CompressionConfig()`, or the run's own when resuming.
        codec: the kind of file, with its options: one of `CODECS` or any other; by default the one of the suffix as it
            is, or the run's own when resuming.
        run: folder to make a run in, which keeps log and checkpoints, and the file without fine-tuning as `plain` with
            the suffix.
        engine: what renders, a name in `leansplat.engines.ENGINES`: by default "cpu", or what the run began with.
        settings: further ones to record in the run's config.json, as JSON: where the capture is, its downscale.
        resume: go on from the last checkpoint of `run` (from the start when it has none yet, or there is no run yet).
        overwrite: whether the file, and an earlier run in the folder, may be replaced. The scene never is.
        progress: of finding what the photos show, of clustering, and of fine-tuning, one after the other; see
            `leansplat.progress.Progress`.

    Raises:
        InputError: the scene cannot be used, or the file cannot be written.
        CaptureError: the capture has no training views.
        RunError: the run folder is in use, or does not fit what is to be resumed.
    """
    path = Path(path)
    fitting = _fitting(path, codec)
    check_output(scene, path, overwrite=overwrite)
    if capture is None:
        config = config or CompressionConfig()
        if config.drop_unseen or run is not None:
            raise InputError("a run and drop_unseen need the views of a capture; give a capture, or leave them out")
        return _encode(scene, path, fitting, config, overwrite=overwrite)
    session = open_session(
        "compress",
        capture,
        {
            "compression": Part(config, CompressionConfig, CompressionConfig),
            "codec": Part(codec, type(fitting), lambda: fitting),
        },
        run,
        scene=scene,
        engine=engine,
        settings=settings,
        resume=resume,
        overwrite=overwrite,
        before=lambda begun: _with_codec_apart(begun, fitting),
    )
    if resume:
        clear_abandoned(path.resolve().parent)
    capture, made = session.capture, session.run
    config, codec = session.settings(CompressionConfig), session.settings(type(fitting))
    original = session.start.gaussians
    with TemporaryDirectory() as temporary:
        plain = Path(temporary) / f"plain{codec.suffix}" if made is None else made.plain_path(codec.suffix)
        if session.checkpoint is None:
            at_stage(progress, "finding what matters, and clustering")
            ready = codec.prepare(subject(original, capture, config, progress, session.engine))
            gaussians, quantiser = ready.gaussians, ready.quantiser
            dropped = len(original) - len(gaussians)
            session.log("prepared", 0, gaussians=len(gaussians), dropped=dropped, **ready.told)
        else:
            gaussians, quantiser = None, codec.quantiser(config.fine_tuning.steps)

        def write_plain(latents: Mapping[str, Tensor]) -> None:
            with _refused_by_name(path):
                quantiser.write(latents, plain, overwrite=True)

        tuned = fine_tune(
            gaussians,
            capture,
            quantiser,
            config.fine_tuning,
            made,
            recipe=session.start.training,
            engine=session.engine,
            checkpoint=session.checkpoint,
            progress=at_stage(progress, f"training through {codec.suffix}"),
            begun=write_plain,
        )
        at_stage(progress, f"writing {path.name}, and comparing")
        encoding, usual = codec.quantiser(0), Path(temporary) / f"usual{codec.suffix}"
        encoding.write(encoding.begin(kept_degrees(original.finite_equivalent(), config)), usual)
        files: dict[Written, _File] = {"plain": _File.of(plain, original), "usual": _File.of(usual, original)}
        if config.fine_tuning.steps:
            trained = Path(temporary) / f"tuned{codec.suffix}"
            quantiser.write(tuned.latents, trained)
            files = {"fine-tuned": _File.of(trained, original), **files}
        written = _best(files, loss_on_photos(original, capture, session.engine), path)
        best = files[written]
        copy_file(best.path, path, overwrite=overwrite)
        formats.say_losses(original, path)
        result = CompressionResult(
            gaussians=best.gaussians,
            path=path,
            bytes=best.bytes,
            original=original,
            plain=files["plain"].gaussians,
            plain_bytes=files["plain"].bytes,
            seconds=tuned.seconds,
            codec=codec,
            written=written,
        )
    steps = config.fine_tuning.steps
    session.log("finished", steps, gaussians=len(result.gaussians), bytes=result.bytes, written=written)
    return result


@dataclass(frozen=True)
class _File:
    """A file that may become the result, and the scene in it."""

    path: Path
    bytes: int
    gaussians: Gaussians

    @classmethod
    def of(cls, path: Path, original: Gaussians) -> _File:
        return cls(path, formats.scene_bytes(path), _read(path, original))


def _best(files: Mapping[Written, _File], loss: Loss, path: Path) -> Written:
    """Which of the files loses least on the training views, of those that are no larger than the first or "plain"."""
    first = next(iter(files))
    most = max(files[first].bytes, files["plain"].bytes)
    lost = {name: loss(file.gaussians) for name, file in files.items() if file.bytes <= most}
    best = min(lost, key=lambda name: lost[name])  # of equals the first
    if first == "fine-tuned" and best != first:
        _log.warning(
            "%s: fine-tuning ended %.2f dB of PSNR below merely encoding on the training views, so the file is only "
            "encoded; give more steps, or none",
            *(path, lost[first] - lost[best]),
        )
    return best


def _read(path: Path, original: Gaussians) -> Gaussians:
    """The scene in a file, which may have no place for the origin that it has in common with the original."""
    with unsaid():
        scene = formats.read(path)
    return replace(scene, origin=original.origin) if scene.origin == WORLD else scene


def _fitting(path: Path, codec: Codec | None) -> Codec:
    """The codec to write a file with, by default the one of its suffix."""
    if codec is None:
        return codec_of(path)()
    if not path.name.lower().endswith(codec.suffix):
        raise InputError(f"{path} does not end in {codec.suffix}, which {type(codec).__name__} writes; rename it")
    return codec


def _with_codec_apart(run: Run, codec: Codec) -> Run:
    """A run with the settings of its codec by themselves: earlier versions had those of all codecs among the others.

    Raises:
        RunError: it is a run of another codec.
    """
    recorded = run.config["settings"]
    if "codec" not in recorded:
        together = recorded.get("compression", {})
        options = {name: together[name] for name in _ONCE_TOGETHER if name in together}
        others = {name: value for name, value in together.items() if name not in options}
        own = {name: value for name, value in options.items() if name in codec.to_json()}
        recorded = {**recorded, "compression": others, "codec": own}
    suffix = recorded["codec"].get("suffix", codec.suffix)
    if suffix != codec.suffix:
        raise RunError(f"{run.folder} writes another kind of file ({suffix}); resume it with that or start a new run")
    return replace(run, config={**run.config, "settings": recorded})


@contextmanager
def _refused_by_name(path: Path) -> Iterator[None]:
    """Say of which file it is where a codec finds that it cannot hold the scene."""
    try:
        yield
    except ValueError as error:
        raise SceneFileError(f"{path} cannot hold this scene: {error}; choose another format") from error


def check_output(scene: Gaussians | str | os.PathLike[str], path: Path, *, overwrite: bool) -> None:
    """Refuse what could not be written, before any work."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another name.")
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path} cannot be written because its folder does not exist; create it first.")
    if not isinstance(scene, Gaussians) and path.resolve() == formats.scene_path(scene).resolve():
        raise InputError(f"{path} is the scene itself, which would be lost; choose another name.")
    formats.format_of(path)  # which is to read it


def _encode(
    scene: Gaussians | str | os.PathLike[str],
    path: Path,
    codec: Codec,
    config: CompressionConfig,
    *,
    overwrite: bool,
) -> CompressionResult:
    original = scene if isinstance(scene, Gaussians) else formats.read(scene)
    rounded = kept_degrees(original.finite_equivalent(), config)
    with _refused_by_name(path):
        codec.write(rounded, path, overwrite=overwrite)
    read, size = _read(path, original), formats.scene_bytes(path)
    return CompressionResult(read, path, size, original, read, size, 0.0, codec, "plain")
