"""`leansplat view`."""

from __future__ import annotations

import json
import logging
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes, table
from leansplat.commands.captures import load_capture
from leansplat.commands.options import Background, Downscale, Flag, Json, Threads
from leansplat.commands.photo_options import photo_options

if TYPE_CHECKING:
    from leansplat.cameras import Camera
    from leansplat.captures.capture import Capture

Up = Annotated[
    Literal["x", "y", "z", "minus-x", "minus-y", "minus-z"] | None,
    arg(
        metavar="{x,y,z,minus-x,minus-y,minus-z}",
        help="Direction of the scene's axes that points up.",
        help_behavior_hint="(default: estimated from the cameras, or from the scene)",
    ),
]
_log = logging.getLogger("leansplat")


@dataclass(frozen=True, kw_only=True)
class View:
    """Look at scenes in the browser: one, or several side by side, with a slider, blinking or as a difference.

    The page is served on this machine only, to whoever has its address, until Ctrl-C. It shows what `render` renders.
    With --capture, there is a strip of the capture's cameras to jump to, and the photos can be compared with.

    Examples: leansplat view scene.ply
              leansplat view scene.ply scene.sog
              leansplat view runs/garden garden.sog --capture photos/
    """

    scenes: Annotated[
        Positional[tuple[Path, ...]],
        arg(
            metavar="SCENE [SCENE ...]",
            help="Scenes to look at, up to nine: files of any format that leansplat reads, run folders, or output "
            "folders of 3DGS. Differences and slider start from the first.",
            help_behavior_hint="",
        ),
    ]
    capture: Annotated[Path | None, arg(metavar="CAPTURE", help_behavior_hint="")] = None
    """Capture whose cameras to jump to and whose photos to compare with."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File cameras.json of 3DGS with cameras to jump to. One beside the first scene is found by itself."""
    downscale: Downscale = None
    background: Background = None
    up: Up = None
    no_open: Flag = False
    """Print the address and open no browser."""
    port: Annotated[int, arg(metavar="N", help_behavior_hint="(default: one that is free)")] = 0
    """Port to serve on."""
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.formats import scene_files
        from leansplat.viewing import Viewing

        check_scenes(self.scenes)
        for scene in self.scenes:
            scene_files(scene)  # so that nothing is opened for what is no scene
        with Viewing(self.port) as viewing, suppress(KeyboardInterrupt):  # which is how a viewing ends
            if not self.json:
                print(f"{viewing.address}  (Ctrl-C ends it)", flush=True)
            if not self.no_open and not webbrowser.open(viewing.address):
                _log.warning("no browser could be opened; open the address in one")
            scenes = [viewing.prepare(scene) for scene in self.scenes]
            views = views_for(self.scenes[0], self.capture, self.cameras, self.downscale, self.background)
            title = " and ".join(scene.name for scene in scenes)
            viewing.open(
                scenes,
                cameras=views.cameras,
                capture=views.capture,
                title=title,
                background=views.background,
                up=self.up,
            )
            values = {
                "address": viewing.address,
                "scenes": [{"name": each.name, "gaussians": each.gaussians, "bytes": each.bytes} for each in scenes],
            }
            rows = [[each.name, f"{each.gaussians:,}", megabytes(each.bytes)] for each in scenes]
            print(json.dumps(values) if self.json else table(["scene", "Gaussians", "size"], rows), flush=True)
            del scenes  # which may be large; the page has its own
            forever = threading.Event()
            while not forever.wait(1):  # without a time, Windows would not hear of Ctrl-C
                pass
        return Answer("", values, said=True)


@dataclass(frozen=True)
class Views:
    """Where scenes are looked at from.

    Args:
        cameras: by name, without photos; there may be none.
        capture: where there are photos, whose cameras then count.
        background: (r, g, b) in [0, 1].
    """

    cameras: Mapping[str, Camera]
    capture: Capture | None
    background: tuple[float, float, float]


def check_scenes(scenes: tuple[Path, ...]) -> None:
    """Refuse none, and more than there are keys for."""
    from leansplat.errors import InputError

    if not 1 <= len(scenes) <= 9:
        raise InputError(f"there are {len(scenes)} scenes; give 1 to 9")


def views_for(scene: Path, capture: Path | None, cameras: Path | None, downscale: int | None, background: Any) -> Views:
    """The cameras that were asked for, or those of the scene's own training, as far as its folder tells of them.

    Raises:
        InputError: both a capture and cameras are given.
        CaptureError: they cannot be read.
    """
    from leansplat.captures import cameras_of
    from leansplat.captures.inria_cameras import cameras_beside, read_cameras
    from leansplat.errors import InputError
    from leansplat.runs import capture_of

    if capture is not None and cameras is not None:
        raise InputError("--capture brings cameras; leave --cameras out")
    options = photo_options(scene, background, downscale, photos=capture is not None)
    if capture is not None:
        return Views({}, load_capture(capture, options.downscale, options.background), options.background)
    file = cameras or cameras_beside(scene)
    if file is not None:
        found, source = read_cameras(file), file
    elif (folder := capture_of(scene)) is not None:
        found, source = cameras_of(folder), folder
    else:
        return Views({}, None, options.background)
    if cameras is None:
        _log.warning("the cameras are those of %s", source)
    return Views(found, None, options.background)
