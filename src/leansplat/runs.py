"""`Run`: a folder that holds all there is to know about one training or trimming, in plain files.

    config.json                     command, settings, seed, package versions, threads, hashes of the inputs, processes
                                    where there were several
    log.jsonl                       a line of JSON for every event, in order
    checkpoints/step_N.safetensors  the last two states to resume from
    scene.ply                       the result
    metrics.json                    how good it is
    plain.SUFFIX                    what a compression would write without fine-tuning
    view.png                        a held-out view of the result, in a run of the paper's experiments
    .leansplat.lock                 while somebody is at work there, see `leansplat.locks`

Every file but the log appears whole or not at all. The log grows by a line at a time; resuming cuts it back to the
checkpoint, so that nothing is told twice. Whoever changes a run is `at_work` on it, which keeps all others out.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.configs import Settings
from leansplat.distributed.environment import place
from leansplat.distributed.photos import present
from leansplat.errors import InputError, RunError
from leansplat.files import clear_abandoned, replacing, write_json
from leansplat.gaussians import Gaussians
from leansplat.invocation import invocation
from leansplat.locks import NAME as LOCK
from leansplat.locks import alone_in
from leansplat.simd.threads import thread_count

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_CHECKPOINTS_KEPT = 2
_CHECKPOINT_NAME = re.compile(r"step_(\d+)\.safetensors")
_PACKAGES = ("leansplat", "torch", "numpy", "numba", "llvmlite", "scipy", "safetensors")
_NOT_BEGUN = {"command": None}
"""What config.json holds while the files of an earlier run are being removed."""
_log = logging.getLogger("leansplat")
_CONFIG_ENTRIES = {"command": str, "settings": dict, "seed": int, "threads": int, "versions": dict, "inputs": dict}


@dataclass(frozen=True)
class Run:
    """A run folder; made by `create_run` or `open_run`.

    Args:
        folder: where it is.
        config: the content of config.json.
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def scene_path(self) -> Path:
        return self.folder / "scene.ply"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def log_path(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def picture_path(self) -> Path:
        return self.folder / "view.png"

    def plain_path(self, suffix: str) -> Path:
        """Where a compression writes what the file would be without fine-tuning."""
        return self.folder / f"plain{suffix}"

    @property
    def files(self) -> list[Path]:
        """Whatever a run may have written, but config.json and the lock: where it would be."""
        suffixes = [suffix for known in formats.FORMATS for suffix in known.suffixes]
        return [
            *(self.checkpoint_path(step) for step in self.checkpoints()),
            *(self.log_path, self.scene_path, self.metrics_path, self.picture_path),
            *(self.plain_path(suffix) for suffix in suffixes),
        ]

    def log(self, event: str, step: int, **values: Any) -> None:
        """Append an event that happened after `step` to the log; `values` are JSON.

        Raises:
            RunError: the log cannot be written.
        """
        line = json.dumps({"event": event, "step": step, **values})
        try:
            with open(self.log_path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise RunError(
                f"{self.log_path} cannot be written ({error.strerror}); check its folder and disk, then resume"
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """The log. A last line without an end, left by a kill in the middle of writing, is not counted.

        Raises:
            RunError: another line is not an event.
        """
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        return [self._event(number, line) for number, line in enumerate(lines, start=1)]

    def cut_log(self, step: int) -> None:
        """Drop the events after `step`, to go on from a checkpoint of that step.

        "finished" is told after the last checkpoint though it has the same step; it will be told again.
        """
        kept = [event for event in self.events() if event["step"] <= step and event["event"] != "finished"]
        with replacing(self.log_path, overwrite=True) as file:
            file.write("".join(json.dumps(event) + "\n" for event in kept).encode())

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of `step` goes."""
        return self.folder / "checkpoints" / f"step_{step}.safetensors"

    def checkpoints(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        names = (_CHECKPOINT_NAME.fullmatch(path.name) for path in (self.folder / "checkpoints").glob("step_*"))
        return sorted(int(name[1]) for name in names if name)

    def drop_old_checkpoints(self) -> None:
        """Delete all checkpoints but the last two."""
        for step in self.checkpoints()[:-_CHECKPOINTS_KEPT]:
            self.checkpoint_path(step).unlink(missing_ok=True)

    def write_scene(self, gaussians: Gaussians) -> None:
        """Write scene.ply, replacing one that is there."""
        formats.write(gaussians, self.scene_path, overwrite=True)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json, replacing one that is there."""
        write_json(self.metrics_path, metrics, overwrite=True)

    def began_with(self, part: str, kind: type[Settings]) -> Settings:
        """The settings of one part of config.json, such as "training", that the run began with.

        Raises:
            RunError: they are not settings of this kind.
        """
        try:
            return kind.from_json(self.config["settings"].get(part, {}))
        except RunError:
            raise
        except InputError as error:
            path = self.folder / "config.json"
            raise RunError(f"{path} is damaged ({error}); restore it or start a new run") from error

    def check_input(self, name: str, sha256: str) -> None:
        """Refuse to go on with another input than the run began with.

        Raises:
            RunError: the hash of input `name` is not the one in config.json.
        """
        if self.config["inputs"].get(name) != sha256:
            raise RunError(f"{self.folder} was made with another {name}; resume it with that one or start a new run")

    def _event(self, number: int, line: str) -> dict[str, Any]:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and type(event.get("step")) is int and type(event.get("event")) is str:
                return event
        raise RunError(f"{self.log_path} line {number} is not a log event; restore the file or start a new run")


def create_run(
    folder: str | os.PathLike[str],
    command: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    seed: int,
    overwrite: bool = False,
) -> Run:
    """Make a run folder (and its parents) and write its config.json.

    Args:
        folder: must not exist or be empty, unless `overwrite`.
        command: what makes the run: "train", "trim".
        settings: every setting, as JSON.
        inputs: SHA-256 of each input by its role: {"capture": hash_capture(capture)}.
        overwrite: remove the files of an earlier run first. Other files in the folder are left alone.

    Raises:
        RunError: the folder is in use, or cannot be made.
    """
    folder = Path(folder)
    with at_work(folder):
        try:
            occupied = not _is_empty(folder)
            if occupied and not (overwrite or _was_stopped(folder)):
                raise RunError(f"{folder} is not empty; choose another folder or pass --overwrite (overwrite=True)")
            if occupied:
                write_json(folder / "config.json", _NOT_BEGUN, overwrite=True)
                for path in Run(folder, _NOT_BEGUN).files:
                    path.unlink(missing_ok=True)
            (folder / "checkpoints").mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder} cannot be used as a run folder ({error.strerror}); choose another one") from error
        config = {
            "command": command,
            "settings": dict(settings),
            "seed": seed,
            "threads": thread_count(),
            **({} if (here := place()) is None else {"processes": here.count}),
            "versions": package_versions(),
            "inputs": dict(inputs),
            **invocation(),
        }
        write_json(folder / "config.json", config, overwrite=True)
        return open_run(folder)


@contextmanager
def at_work(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Keep all others from changing a run folder, or one that is to become one, during this block.

    What an earlier one that was killed has left under temporary names is cleared.

    Raises:
        RunError: another process or thread is at work there.
    """
    if folder is None:
        yield
        return
    with alone_in(folder):
        for place in (Path(folder), Path(folder) / "checkpoints"):
            clear_abandoned(place)
        yield


def alone_at_work(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function so that all of it is `at_work` on what its argument `run` is."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def alone(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        with at_work(signature.bind(*args, **options).arguments.get("run")):
            return function(*args, **options)

    return alone


def run_to_resume(folder: str | os.PathLike[str] | None) -> Run | None:
    """The run to go on with; None, and a word of warning, where none has begun in the folder and work starts over.

    A run that is stopped early enough leaves no config.json, or one that says so. Where there is none and the folder
    holds anything else, it may be somebody's data.

    Raises:
        RunError: no folder is given, or it holds something that is not a run.
    """
    if folder is None:
        raise RunError("there is no run folder to resume; name the one that was interrupted")
    folder = Path(folder)
    try:
        begun = not _is_empty(folder) and not _was_stopped(folder)
    except OSError as error:
        raise RunError(f"{folder} cannot be resumed ({error.strerror}); check the path") from error
    if begun:
        return open_run(folder)
    _log.warning("%s holds no run that has begun; starting from the beginning", folder)
    return None


def has_begun(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder has a run's config.json, so that there is something to go on with."""
    return (Path(folder) / "config.json").exists() and not _was_stopped(Path(folder))


def capture_of(scene: str | os.PathLike[str]) -> Path | None:
    """The capture that the run of a scene, or in a scene's folder, was made with, where it still is."""
    folder = Path(scene) if Path(scene).is_dir() else Path(scene).parent
    if not has_begun(folder):
        return None
    try:
        recorded = open_run(folder).config["settings"].get("capture")
    except RunError:  # a config.json of something else
        return None
    return Path(recorded) if isinstance(recorded, str) and Path(recorded).is_dir() else None


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open a run folder that `create_run` made.

    Raises:
        RunError: the folder has no config.json, or one that is not a run's.
    """
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a run folder (it has no config.json); check the path") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore the file or start a new run") from error
    if config == _NOT_BEGUN:
        raise RunError(f"{folder} holds a run that was stopped before it began; start it again with --resume")
    for name, wanted in _CONFIG_ENTRIES.items():
        if not isinstance(config, dict) or type(config.get(name)) is not wanted:
            raise RunError(f"{path} has no valid entry {name!r}; restore the file or start a new run")
    return Run(Path(folder), config)


def package_versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that decide the numbers; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        versions[name] = None
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def hash_file(*paths: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, or of those of several one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def hash_capture(capture: Capture) -> str:
    """SHA-256 of a capture as training sees it: names, cameras, photos and masks of all views, points and background.

    It covers every byte in memory (about a second a gigabyte), so another downscale or an edited photo counts as
    another capture; where the capture is stored does not matter. Points count as float32.
    """
    digest = hashlib.sha256()
    for split, views in (("train", capture.train), ("test", capture.test)):
        for view in views:
            camera = view.camera
            digest.update(f"{split} {view.name!r} {camera.width}x{camera.height}\n".encode())
            _digest_tensors(digest, [camera.world_to_camera, camera.K, present(view.photo)])
            if view.mask is not None:
                _digest_tensors(digest, [view.mask])
    digest.update(repr(tuple(map(float, capture.background))).encode())
    if capture.points is not None:
        _digest_tensors(digest, [capture.points.positions.float(), capture.points.colors])
    return digest.hexdigest()


def _digest_tensors(digest: Any, tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().cpu().numpy())


def _is_empty(folder: Path) -> bool:
    """Whether a folder is missing, or holds nothing but what a run that was stopped before it began leaves."""
    if not folder.exists():
        return True
    clear_abandoned(folder)
    checkpoints = folder / "checkpoints"
    return all(
        path.name == LOCK or (path == checkpoints and path.is_dir() and not any(path.iterdir()))
        for path in folder.iterdir()
    )


def _was_stopped(folder: Path) -> bool:
    """Whether somebody was making a run in a folder and was stopped before it began."""
    with suppress(FileNotFoundError, ValueError):
        return bool(json.loads((folder / "config.json").read_bytes()) == _NOT_BEGUN)
    return False
