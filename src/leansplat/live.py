"""`Live`: what a run shows of itself while it goes on, to whoever watches, and how it hears that it is to stop.

All of it goes through small files in the folder of the run, so a watcher may be another process, may come and go, hang
or die, and can change nothing but whether the run goes on:

    live/watching        touched every second or so by those who watch; nothing below is written without them
    live/stop            somebody wants the run to stop: it writes a checkpoint, and ends
    live/status.json     how far it is, every second
    live/views.npz       a few photos with their cameras, held out ones where there are some, once
    live/scene-N.ply     the scene after step N, and scene.json, which says which one is the newest

While nobody watches, a run looks for two names twice a second, and that is all. Scenes are copied between two steps and
written by a thread; the next one waits until all that the last one took is a fiftieth of the time since, or less. What
cannot be written is left out: being watched never ends a run. The folder goes when the run does.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leansplat.errors import LeansplatError

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture, View
    from leansplat.gaussians import Gaussians

FOLDER, WATCHING, STOP = "live", "watching", "stop"
STATUS, VIEWS, SCENE = "status.json", "views.npz", "scene.json"
PATIENCE = 10.0
"""Seconds after which a watcher who has not been heard of is gone."""

_LOOK_EVERY, _STATUS_EVERY, _SCENE_EVERY = 0.5, 1.0, 10.0
_SHARE_OF_TIME = 0.02
"""Of the time, that copying and writing scenes may take."""
_RECENT = 30.0
"""Seconds by whose pace the time left is told."""
_MOST_VIEWS = 8
_MOST_BYTES = 120_000_000
"""Of a scene that is shown: with more, colours are shown without their finest harmonics."""
_STARTED = time.time()
"""A wish to stop that is older was for an earlier run."""


@dataclass(frozen=True)
class Shown:
    """What there is to show of a run.

    Args:
        scene: makes a copy of the scene as it is now.
        capture: the photos that it is trained on.
    """

    scene: Callable[[], Gaussians]
    capture: Capture


class Live:
    """The side of the run: `tell` it how things are after every step, `close` it in the end.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path, shown: Shown) -> None:
        self._folder = folder / FOLDER
        self._shown = shown
        self._next_look = self._next_status = self._next_scene = 0.0
        self._watched = False
        self._pace: deque[tuple[float, int]] = deque()
        self._writer: threading.Thread | None = None
        self._cost = 0.0  # of the last scene, in seconds
        self._last_scene = 0.0
        self._written: list[str] = []

    def tell(self, step: int, done: int, total: int, values: Mapping[str, Any]) -> bool:
        """Show what is due, where somebody watches; whether somebody wants the run to stop.

        Args:
            step: of the scene.
            done, total: steps of this piece of work.
            values: JSON to show, such as the loss.
        """
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_EVERY
        if not self._folder.is_dir():
            self._watched = False
            return False
        if self._asked_to_stop():
            return True
        watched = _is_watched(self._folder)
        if watched and not self._watched:
            self._pace.clear()
            self._start(self._write_views)
            self._next_scene = 0.0
        self._watched = watched
        if watched:
            self._show(now, step, done, total, values)
        return False

    def close(self) -> None:
        """Nothing will be shown any more."""
        if self._writer is not None:
            self._writer.join()
        if self._folder.is_dir():
            shutil.rmtree(self._folder, ignore_errors=True)

    def _asked_to_stop(self) -> bool:
        wish = self._folder / STOP
        with suppress(OSError):
            asked = wish.stat().st_mtime >= _STARTED
            wish.unlink()
            return asked
        return False

    def _show(self, now: float, step: int, done: int, total: int, values: Mapping[str, Any]) -> None:
        if now >= self._next_status:
            self._next_status = now + _STATUS_EVERY
            self._pace.append((now, done))
            while now - self._pace[0][0] > _RECENT:
                self._pace.popleft()
            (began, first), passed = self._pace[0], now - self._pace[0][0]
            left = (total - done) * (now - began) / (done - first) if passed > 0 and done > first else None
            status = {"time": time.time(), "step": step, "done": done, "total": total, "left": left, **values}
            self._write(STATUS, status)
        busy = self._writer is not None and self._writer.is_alive()
        if not busy and now >= max(self._next_scene, self._last_scene + self._cost / _SHARE_OF_TIME):
            self._next_scene, self._last_scene = now + _SCENE_EVERY, now
            began = time.perf_counter()
            scene = self._shown.scene()
            copying = time.perf_counter() - began
            self._start(lambda: self._write_scene(scene, step, copying))

    def _start(self, work: Callable[[], None]) -> None:
        if self._writer is not None:
            self._writer.join()

        def surely() -> None:
            with suppress(OSError, LeansplatError):
                work()

        self._writer = threading.Thread(target=surely, daemon=True)
        self._writer.start()

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        """JSON that appears whole. Losing it in a power cut does no harm, so nothing is waited for."""
        with suppress(OSError):
            draft = self._folder / f"{name}.new"
            draft.write_text(json.dumps(values), encoding="utf-8")
            os.replace(draft, self._folder / name)

    def _write_scene(self, scene: Gaussians, step: int, copying: float) -> None:
        from leansplat import formats
        from leansplat.arrays import WORLD

        began = time.thread_time()
        degree = scene.sh_degree
        while degree and len(scene) * _bytes_of(degree) > _MOST_BYTES:
            degree -= 1
        shown = scene if degree == scene.sh_degree else scene.with_sh_degree(degree)
        name = f"scene-{step}.ply"
        path = self._folder / name
        formats.write(replace(shown, origin=WORLD), path, overwrite=True)
        found = {
            "file": name,
            "step": step,
            "gaussians": len(scene),
            "bytes": path.stat().st_size,
            "sh_degree": degree,
            "whole": degree == scene.sh_degree,
            "antialiased": scene.antialiased,
            "origin": list(scene.origin),
        }
        self._write(SCENE, found)
        self._written = [each for each in self._written if each != name] + [name]
        while len(self._written) > 2:  # a browser may still be asking for the one before
            with suppress(OSError):
                (self._folder / self._written.pop(0)).unlink()
        self._cost = copying + time.thread_time() - began

    def _write_views(self) -> None:
        import numpy as np

        capture = self._shown.capture
        arrays: dict[str, Any] = {
            "held_out": np.array(bool(capture.test)),
            "rendered": np.array(capture.rendered),
            "background": np.array(capture.background, float),
        }
        for number, view in enumerate(some_of(capture)):
            arrays |= {
                f"name{number}": np.array(view.name),
                f"pose{number}": view.camera.world_to_camera.numpy(),
                f"near{number}": np.float64(view.camera.near),
                f"K{number}": view.camera.K.numpy(),
                f"photo{number}": view.photo.numpy(),
            }
            if view.mask is not None:
                arrays[f"mask{number}"] = view.mask.numpy()
        draft = self._folder / f"{VIEWS}.new"
        with open(draft, "wb") as handle:
            np.savez(handle, **arrays)
        os.replace(draft, self._folder / VIEWS)


def some_of(capture: Capture) -> Sequence[View]:
    """Up to eight views, evenly chosen: of those held out where there are some."""
    views = capture.test or [view for view in capture.train if not view.photo.is_meta]
    return views[:: -(-len(views) // _MOST_VIEWS)]


def _is_watched(folder: Path) -> bool:
    with suppress(OSError):
        return time.time() - (folder / WATCHING).stat().st_mtime < PATIENCE
    return False


def _bytes_of(degree: int) -> int:
    """What a Gaussian takes in a .ply with normals."""
    return 4 * (17 + 3 * ((degree + 1) ** 2 - 1))
