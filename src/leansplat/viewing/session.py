"""`Viewing`: scenes, and a capture's photos if there are some, on a page that this process serves until it is closed.

The address answers at once, so that a browser can start while scenes are still being read: the page waits for its
description, which is there when everything it speaks of is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

from leansplat.viewing.description import describe
from leansplat.viewing.page_files import NAMES, page_file
from leansplat.viewing.prepared import PreparedScene, prepare_scene
from leansplat.viewing.server import Entry, PageServer, entry

if TYPE_CHECKING:
    from leansplat.cameras import Camera
    from leansplat.captures.capture import Capture
    from leansplat.provenance import Color

DESCRIPTION = "description.json"


class Viewing:
    """A page of some scenes, served on this machine; used as `with Viewing() as viewing: ...`.

    Args:
        port: to listen on; 0 for any that is free.

    Raises:
        InputError: the port cannot be used.
    """

    def __init__(self, port: int = 0) -> None:
        self.server = PageServer(port)
        self._folder = TemporaryDirectory(prefix="leansplat-")
        self._description: Future[Entry] = Future()
        self._loaded = 0
        named = {"" if name == "index.html" else name: name for name in NAMES}
        self.server.add({public: entry(name, page_file(name).encode()) for public, name in named.items()})
        self.server.add({DESCRIPTION: self._description})
        self.server.start()

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        return self.server.address

    def prepare(self, scene: str | os.PathLike[str]) -> PreparedScene:
        """Read a scene and serve its files; see `prepare_scene`."""
        self._loaded += 1
        folder = Path(self._folder.name) / str(self._loaded)
        folder.mkdir()
        prepared = prepare_scene(scene, folder)
        place = f"scenes/{self._loaded}"
        self.server.add({f"{place}/{name}": Entry(path) for name, path in prepared.files.items()})
        return replace(prepared, url=f"{place}/{next(iter(prepared.files))}")

    def open(
        self,
        scenes: Sequence[PreparedScene],
        *,
        cameras: Mapping[str, Camera] | None = None,
        capture: Capture | None = None,
        title: str = "",
        background: Color = (0.0, 0.0, 0.0),
        up: str | None = None,
    ) -> dict[str, Any]:
        """Let the page have scenes, the cameras of a capture and its photos, or cameras without any.

        Returns:
            What the page is told; see `leansplat.viewing.description`.
        """
        addresses = None
        if capture is not None:
            from leansplat.viewing import photos

            views = photos.views_of(capture)
            cameras = {view.name: view.camera for view in views}
            self.server.add(photos.photo_entries(views))
            addresses = photos.addresses
        described = describe(
            scenes,
            cameras or {},
            title=title,
            background=background,
            up=up,
            pictures=addresses,
        )
        self._description.set_result(entry(DESCRIPTION, json.dumps(described, allow_nan=False).encode()))
        return described

    def close(self) -> None:
        """Stop serving, and delete what was converted."""
        if not self._description.done():
            self._description.set_exception(RuntimeError("the page was closed"))
        self.server.stop()
        self._folder.cleanup()

    def __enter__(self) -> Viewing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
