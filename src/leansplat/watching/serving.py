"""`Watching`: the page of a run that goes on. The page asks every second; what it gets is looked up in between.

Scenes are shown by the viewer of `leansplat view` in a frame of the page, which is told of newer ones and keeps the
camera where people have moved it. The run is told that it is watched only while a page asks.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from leansplat import formats
from leansplat.errors import LeansplatError
from leansplat.runs import Run
from leansplat.viewing import photos
from leansplat.viewing.description import describe
from leansplat.viewing.page_files import NAMES, page_file
from leansplat.viewing.prepared import PreparedScene, prepare_scene
from leansplat.viewing.server import Entry, PageServer, entry
from leansplat.watching.reading import Watched, charts_of_works

_EVERY = 1.0
_ASKED_WITHIN = 8.0
"""Seconds without a question after which nobody watches; browsers ask seldom from a tab behind others."""


class Watching:
    """A page of the run in a folder, served on this machine; used as `with Watching(folder) as watching: ...`.

    Args:
        folder: of a run, or of the runs that a work keeps; it may be made later.
        port: to listen on; 0 for any that is free.
        stoppable: whether the run can be gone on with, so that there is a button to stop it.
        title: what the page is called; by default, as the folder.
        attached: whether this ends with the process that is at work in the folder.

    Raises:
        InputError: the port cannot be used.
    """

    def __init__(
        self, folder: Path, port: int = 0, *, stoppable: bool = True, title: str = "", attached: bool = False
    ) -> None:
        self._watched = Watched(folder, attached=attached)
        self._name = title or folder.resolve().name
        self._stoppable = stoppable
        self._asked = 0.0
        self._over = threading.Event()
        self._temporary = TemporaryDirectory(prefix="leansplat-")
        self._description: dict[str, Any] | None = None
        self._scene: dict[str, Any] | None = None
        self._held_out: bool | None = None
        self._charts = ("", b"", 0)  # of which version, drawn, points
        self._state: dict[str, Any] = {}
        self.server = PageServer(port)
        own = {"": "page.html", "page.js": "page.js", "page.css": "page.css"}
        self.server.add({public: entry(name, _file("watching", name)) for public, name in own.items()})
        self.server.add({"charts.css": entry("page.css", _file("report", "page.css"))})
        named = {"viewer/" if name == "index.html" else f"viewer/{name}": name for name in NAMES}
        self.server.add({public: entry(name, page_file(name).encode()) for public, name in named.items()})
        self.server.add({"state.json": entry("state.json", self._told)})
        self.server.add({"charts.html": entry("charts.html", lambda: self._charts[1])})
        if stoppable:
            self.server.allow("stop", self._watched.stop)
        self._look()
        self.server.start()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        return self.server.address

    def close(self) -> None:
        """Stop serving."""
        self._over.set()
        self._thread.join()
        self.server.stop()
        self._watched.leave()
        self._temporary.cleanup()

    def __enter__(self) -> Watching:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _told(self) -> bytes:
        self._asked = time.monotonic()
        return json.dumps(self._state, allow_nan=False).encode()

    def _keep_looking(self) -> None:
        while not self._over.wait(_EVERY):
            if time.monotonic() - self._asked < _ASKED_WITHIN:
                with suppress(OSError, LeansplatError):  # what is read may be going at the moment
                    self._look()

    def _look(self) -> None:
        run = self._watched.run
        if run is not None and self._asked:
            self._watched.beat(run)
        status = self._watched.status(run)
        version = f"{self._watched.version()} {status.get('step')}"
        if version != self._charts[0]:
            drawn, points = charts_of_works(self._name, self._watched.works(), status)
            self._charts = version, drawn.encode(), points
        if run is not None:
            self._find_scene(run, status["state"])
        self._state = {
            "name": self._name,
            "command": None if run is None else run.config["command"],
            "piece": None if run is None or run.folder == self._watched.folder else _piece(run),
            **{key: _finite(value) for key, value in status.items() if key != "time"},
            "stoppable": self._stoppable and status["state"] == "running",
            "charts": version,
            "points": self._charts[2],
            "scene": self._scene,
            "viewer": self._description is not None,
            "held_out": self._held_out,
        }

    def _find_scene(self, run: Run, state: str) -> None:
        """Let the viewer have the newest scene; the first one comes with all that it has to know."""
        found = self._watched.scene(run)
        if found is not None:
            path, facts = found
            url = f"scenes/{run.folder.name}/{path.name}"
            if self._scene is not None and self._scene["url"] == url:
                return
            name = f"after step {facts['step']:,}" + ("" if facts["whole"] else ", with coarser colours")
            scene = partial(_live_scene, path, facts, name, url)
        elif state == "finished" and run.scene_path.is_file():
            url = f"scenes/{run.folder.name}/final.ply"
            if self._scene is not None and self._scene["url"] == url:
                return
            scene = partial(self._final_scene, run, url)
        else:
            return
        if self._description is None:
            shown = self._watched.photos(run)
            if shown is None and found is not None:
                return  # in a moment
            prepared = scene()
            views = () if shown is None else shown.views
            self._held_out = None if shown is None else shown.held_out
            self._description = describe(
                [prepared],
                {view.name: view.camera for view in views},
                title=self._name,
                background=(0.0, 0.0, 0.0) if shown is None else shown.background,
                pictures=photos.addresses,
                pictured="As given" if shown is not None and shown.rendered else "Photo",
            )
            pictures = photos.photo_entries(views)
            self.server.add({f"viewer/{public}": picture for public, picture in pictures.items()})
            described = json.dumps(self._description, allow_nan=False).encode()
            self.server.add({"viewer/description.json": entry("description.json", described)})
            self._origin = prepared.origin
        else:
            prepared = scene()
        path = next(iter(prepared.files.values()))
        self.server.add({f"viewer/{url}": Entry(path)})
        self._scene = {
            "name": prepared.name,
            "url": url,
            "gaussians": prepared.gaussians,
            "bytes": prepared.bytes,
            "sh_degree": prepared.arrays.sh_degree,
            "antialiased": prepared.arrays.antialiased,
            "origin": [mine - first for mine, first in zip(prepared.origin, self._origin, strict=True)],
            "note": None,
        }

    def _final_scene(self, run: Run, url: str) -> PreparedScene:
        folder = Path(self._temporary.name) / run.folder.name
        folder.mkdir(exist_ok=True)
        return replace(prepare_scene(run.scene_path, folder), name="the scene that was made", url=url)


def _live_scene(path: Path, facts: dict[str, Any], name: str, url: str) -> PreparedScene:
    arrays = formats.read_arrays(path)
    arrays = replace(arrays, antialiased=bool(facts["antialiased"]), origin=tuple(facts["origin"]))
    return PreparedScene(name, {path.name: path}, arrays, len(arrays), int(facts["bytes"]), False, url)


def _piece(run: Run) -> str:
    """What one piece of a work of several does."""
    doing = {"trim": "trimming", "compress": "training through the file's rounding"}
    return doing.get(run.config["command"], run.folder.name)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _file(part: str, name: str) -> bytes:
    return (files("leansplat") / part / name).read_bytes()
