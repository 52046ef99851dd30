"""`leansplat render`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from leansplat.commands.answer import Answer
from leansplat.commands.captures import load_capture
from leansplat.commands.options import (
    Background,
    Count,
    Device,
    Downscale,
    Json,
    Overwrite,
    Quiet,
    Scene,
    Threads,
    engine_on,
)
from leansplat.commands.photo_options import photo_options
from leansplat.errors import InputError

_MOST_VIEWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Render:
    """Render a scene to PNG files, from the cameras of a capture or of a cameras.json, or from a circle around it.

    Example: leansplat render runs/garden --capture photos/ --downscale 4 -o renders/
    """

    scene: Scene
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the PNG files, one per view."""
    capture: Annotated[Path | None, arg(metavar="CAPTURE", help_behavior_hint="")] = None
    """Capture from whose cameras to render, under the names of its photos."""
    split: Literal["test", "train", "all"] = "test"
    """Views of the capture to render: test are those held out, train are those of training, all are both."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File cameras.json of 3DGS from whose cameras to render. An output folder of 3DGS as SCENE brings its own."""
    downscale: Downscale = None
    background: Background = None
    orbit: Count = None
    """Number of views to render from a circle around the scene, for scenes without a capture."""
    up: Literal["x", "y", "z", "minus-x", "minus-y", "minus-z"] = "minus-y"
    """Direction that points up with --orbit: often minus-y for scenes from COLMAP, and z for those of nerfstudio."""
    depth: Annotated[
        Literal["median", "expected"] | None,
        arg(
            metavar="{median,expected}",
            help="Depth to write beside each view, as NAME.depth.png of 16 bits: thousandths of the scene's unit along "
            "the camera's axis, 0 where there is none. median is where half of the light is gone, expected is the mean "
            "of what is seen.",
            help_behavior_hint="",
        ),
    ] = None
    overwrite: Overwrite = False
    device: Device = None
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    def check(self) -> None:
        """Refuse what is wrong whatever the scene is.

        Raises:
            InputError: something is.
        """
        if self.orbit is not None and not 1 <= self.orbit <= _MOST_VIEWS:
            raise InputError(f"--orbit is {self.orbit}; give 1 to {_MOST_VIEWS:,} views")

    def run(self) -> Answer:
        from leansplat.camera_paths import orbit
        from leansplat.captures.inria_cameras import read_cameras
        from leansplat.formats import read
        from leansplat.pictures import render_views
        from leansplat.progress_bar import ProgressBar

        engine = engine_on(self.device) or "cpu"
        file = self.cameras
        if (self.capture, self.cameras, self.orbit) == (None, None, None) and (self.scene / "cameras.json").is_file():
            file = self.scene / "cameras.json"
        if sum(place is not None for place in (self.capture, file, self.orbit)) != 1:
            raise InputError(
                "give one of --capture CAPTURE, --cameras FILE and --orbit N, which say where to render from"
            )
        self.check()
        scene = read(self.scene)
        photos = photo_options(self.scene, self.background, self.downscale, photos=self.capture is not None)
        if self.capture is not None:
            capture = load_capture(self.capture, photos.downscale, photos.background)
            views = {"test": capture.test, "train": capture.train, "all": capture.train + capture.test}[self.split]
            cameras = {view.name: view.camera for view in views}
        elif file is not None:
            cameras = read_cameras(file, downscale=photos.downscale)
        else:
            around = orbit(scene, self.orbit or 1, up=self.up)
            cameras = {f"orbit_{number:03}": camera for number, camera in enumerate(around)}
        with ProgressBar("render", quiet=self.quiet) as progress:
            paths = render_views(
                scene,
                cameras,
                self.output,
                background=photos.background,
                depth=self.depth,
                overwrite=self.overwrite,
                engine=engine,
                progress=progress,
            )
        return Answer(f"{len(cameras)} views in {self.output}", {"files": [str(path) for path in paths]})
