"""`Session`: one sitting of training, trimming or compressing, which all begin, go on and end in the same way.

    opened once        a run folder is made, or one that was interrupted is found to be of this work
    begun or resumed   from photos, from a scene that is read once, or from the last checkpoint
    stepped            `loop.run_steps`
    finished           the scene is written, and the log says so

Whether work begins or goes on is decided here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from leansplat import engines
from leansplat.captures.as_trained import opened
from leansplat.captures.capture import Capture
from leansplat.configs import Config
from leansplat.errors import CaptureError, InputError, RunError
from leansplat.gaussians import Gaussians
from leansplat.origin import warn_if_apart
from leansplat.provenance import trained_with, warn_of_another_background
from leansplat.runs import Run, create_run, hash_capture, run_to_resume
from leansplat.training import loop
from leansplat.training.checkpoint import Checkpoint, read_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.start import Start, hash_scene, start_from
from leansplat.training.strategies import Lineage

Scene = Gaussians | str | os.PathLike[str]
Settings = TypeVar("Settings", bound=Config)


@dataclass(frozen=True)
class Part(Generic[Settings]):
    """One part of the settings in a run's config.json.

    Args:
        asked: settings to work with; None for those that the run began with.
        kind: their type.
        default: what to begin with where nothing is asked for; may say that something must be.
    """

    asked: Settings | None
    kind: type[Settings]
    default: Callable[[], Settings]


@runtime_checkable
class _Seeded(Protocol):
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Session:
    """An open sitting.

    Args:
        capture: photos with cameras; it has training views.
        configs: the settings to work with, by part; the first one's seed is that of all that is random.
        engine: what trains, a name in `engines.ENGINES`.
        scene: what the work starts from; None for photos.
        run: where log, checkpoints and results go, or None.
        checkpoint: the last one, to go on from; None where the work begins.
    """

    capture: Capture
    configs: Mapping[str, Config]
    engine: str
    scene: Scene | None
    run: Run | None
    checkpoint: Path | None

    def settings(self, kind: type[Settings]) -> Settings:
        """The settings of a type."""
        return next(config for config in self.configs.values() if isinstance(config, kind))

    @cached_property
    def start(self) -> Start:
        """The scene that the work starts from, read when it is first asked for.

        Raises:
            InputError: it cannot be used.
        """
        assert self.scene is not None
        found = start_from(self.scene, self.capture.extent, _seed(self.configs), self.engine)
        cameras = [view.camera for view in self.capture.train]
        warn_if_apart(found.gaussians.means, found.gaussians.origin, cameras)
        return found

    def resumed(self) -> Checkpoint | None:
        """The training or trimming to go on with, to which the run's log is cut back; None where the work begins.

        Raises:
            RunError: the checkpoint is damaged, or not of this run.
        """
        if self.run is None or self.checkpoint is None:
            return None
        found = read_checkpoint(self.checkpoint)
        state = found.state
        whole = state.step == self.run.checkpoints()[-1] and state.model.engine == self.engine
        # What trimming remembers of each Gaussian is its own addition to the recipe that it was begun with.
        began = self.run.began_with("training", TrainingConfig).without(Lineage)
        if not whole or found.config.without(Lineage) != began:
            raise RunError(f"{self.checkpoint} belongs to another run; delete it or start a new run")
        loop.go_back(self.run, state.step)
        return found

    def log(self, event: str, step: int, **values: Any) -> None:
        """Log what happened after a step, where there is a run."""
        if self.run is not None:
            self.run.log(event, step, **values)

    def finish(self, gaussians: Gaussians, step: int, seconds: float) -> None:
        """Write the scene that was made to the run, and log that this is the end."""
        if self.run is not None:
            self.run.write_scene(gaussians)
            self.run.log("finished", step, gaussians=len(gaussians), seconds=round(seconds, 3))


def open_session(
    command: str,
    capture: Capture | str | os.PathLike[str],
    parts: Mapping[str, Part[Any]],
    folder: str | os.PathLike[str] | None,
    *,
    scene: Scene | None = None,
    engine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    before: Callable[[Run], Run] = lambda run: run,
) -> Session:
    """Begin a piece of work, or find where it was interrupted.

    Args:
        command: what is at work: "train", "trim" or "compress".
        capture: photos with cameras, or the folder of a capture, which is loaded as the scene was trained.
        parts: the settings, by their part in config.json.
        folder: run folder to make or to go on in; None for none.
        scene: what the work starts from, as `start_from` takes it.
        engine: by default "cpu", or what the run began with.
        settings: further ones to record, as JSON: where the capture is, its downscale.
        resume: go on in `folder` where a run has begun there.
        overwrite: remove an earlier run from the folder first.
        before: brings a run of an earlier version into the form of today.

    Raises:
        InputError: the scene cannot be used, or lies in the folder that the run would replace, or what has no default
            is not given, or the engine cannot work here.
        CaptureError: the capture has no training views.
        RunError: the folder is in use, or does not fit what is to be resumed.
    """
    if engine is not None:
        engines.named(engine)  # says it where there is none of that name
    begun = run_to_resume(folder) if resume else None
    known = scene if begun is None else begun.folder
    capture, how = opened(capture, known)
    if not capture.train:
        raise CaptureError(f"capture {capture.name} has no training views; check its split")
    if scene is not None and not isinstance(scene, Gaussians):
        warn_of_another_background(trained_with(scene), capture.background)
    if begun is None:
        configs = {name: part.default() if part.asked is None else part.asked for name, part in parts.items()}
        session = Session(capture, configs, engine or "cpu", scene, None, None)
        if folder is None:
            return session
        return _with_run(session, command, folder, {**how, **(settings or {})}, overwrite=overwrite)
    run = before(begun)
    engines.named(_engine_of(run, engine))  # says what it lacks here
    asked = {name: part.asked for name, part in parts.items() if part.asked is not None}
    _check_resumable(run, command, asked, capture)
    if scene is not None and not isinstance(scene, Gaussians):
        run.check_input("scene", hash_scene(scene))
    configs = {name: run.began_with(name, part.kind) for name, part in parts.items()}
    steps = run.checkpoints()
    if not steps:
        run.cut_log(-1)
    checkpoint = run.checkpoint_path(steps[-1]) if steps else None
    return Session(capture, configs, _engine_of(run, engine), scene, run, checkpoint)


def _with_run(
    session: Session, command: str, folder: str | os.PathLike[str], settings: Mapping[str, Any], *, overwrite: bool
) -> Session:
    """The session in a run folder that is made for it."""
    capture, scene = session.capture, session.scene
    parts, inputs = dict(session.configs), {"capture": hash_capture(capture)}
    recorded: dict[str, Any] = {"background": list(capture.background), **settings, "engine": session.engine}
    if scene is not None:
        recorded["scene"] = None
        if not isinstance(scene, Gaussians):
            place = Path(scene).resolve()
            if Path(folder).resolve() in (place, place.parent):
                raise InputError(
                    f"{folder} holds the scene to {command}, which would be lost; choose another folder for the run"
                )
            recorded["scene"], inputs["scene"] = str(scene), hash_scene(scene)
        parts["training"] = session.start.training
    recorded |= {name: config.to_json() for name, config in parts.items()}
    run = create_run(folder, command, recorded, inputs, seed=_seed(session.configs), overwrite=overwrite)
    found = Session(capture, session.configs, session.engine, scene, run, None)
    if scene is not None:
        vars(found)["start"] = session.start  # where `cached_property` looks
    return found


def _engine_of(run: Run | None, wanted: str | None) -> str:
    """The engine to work with: what `run` was made for, "cpu" where nothing says anything else.

    Raises:
        RunError: another engine than that is wanted.
    """
    made_for = None if run is None else run.config["settings"].get("engine", "cpu")  # older runs name none
    if run is not None and wanted not in (None, made_for):
        raise RunError(f"{run.folder} was begun with the engine {made_for}; go on with that, or start a new run")
    return wanted or made_for or "cpu"


def _check_resumable(run: Run, command: str, settings: Mapping[str, Config], capture: Capture) -> None:
    """Refuse to resume a run with another command, settings or capture than it began with.

    Args:
        settings: parts of the settings in config.json that must be as they were, such as {"training": config}.

    Raises:
        RunError: the first thing that differs.
    """
    if run.config["command"] != command:
        raise RunError(f"{run.folder} was made by {run.config['command']}; resume it with that command")
    changed = []
    for part, config in settings.items():
        then, now = run.began_with(part, type(config)).to_json(), config.to_json()
        changed += _changed(then, now)
    if changed:
        names = ", ".join(changed)
        raise RunError(f"{run.folder} was started with other settings ({names}); keep them or start a new run")
    run.check_input("capture", hash_capture(capture))


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Names of the settings that differ, such as "seed" or "strategies.densification.every"."""
    names: list[str] = []
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += _changed(before, after, f"{prefix}{name}.")
        elif before != after:
            names.append(f"{prefix}{name}")
    return names


def _seed(configs: Mapping[str, Config]) -> int:
    first = next(iter(configs.values()))
    assert isinstance(first, _Seeded)
    return first.seed
