"""`leansplat page`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Background, Json, Overwrite, Quiet, Scene, Threads
from leansplat.commands.view import Up, views_for
from leansplat.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Page:
    """Write a page of a scene to put on a web site or to send to someone: viewer and scene, and nothing from elsewhere.

    With -o page.html it is one file with the scene inside, as .sog, which also opens from disk. With -o FOLDER it is a
    folder for any web server, from which a browser fetches what it needs of a large scene.

    Examples: leansplat page scene.ply -o scene.html
              leansplat page runs/garden --capture photos/ -o garden.html
              leansplat page scene.ply -o site/scene
    """

    scene: Scene
    output: Annotated[Path, arg(aliases=["-o"], metavar="PAGE")]
    """File that ends in .html, or a folder."""
    title: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: the scene's name)")] = ""
    """Title of the page."""
    capture: Annotated[Path | None, arg(metavar="CAPTURE", help_behavior_hint="")] = None
    """Capture at whose first camera the page opens, and to some of whose cameras it can jump. No photo gets into it."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File cameras.json of 3DGS with such cameras. One beside the scene is found by itself."""
    background: Background = None
    up: Up = None
    overwrite: Overwrite = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.captures import cameras_of
        from leansplat.progress_bar import ProgressBar
        from leansplat.viewing import write_folder, write_page

        if self.capture is not None and self.cameras is not None:
            raise InputError("--capture brings cameras; leave --cameras out")
        with ProgressBar("page", quiet=self.quiet) as progress:
            progress.stage("reading, and writing the scene")
            views = views_for(self.scene, None, self.cameras, None, self.background)
            options: dict[str, Any] = {
                "cameras": views.cameras if self.capture is None else cameras_of(self.capture),
                "title": self.title,
                "background": views.background,
                "up": self.up,
                "overwrite": self.overwrite,
            }
            to_file = self.output.suffix.lower() in (".html", ".htm")
            path = (write_page if to_file else write_folder)(self.scene, self.output, **options)
        if to_file:
            size = path.stat().st_size
            return Answer(f"{path}: {megabytes(size)}; open it in a browser", {"page": str(path), "bytes": size})
        files = [file for file in self.output.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        text = f"{self.output}: {len(files)} files, {megabytes(size)}; put them on a web server"
        return Answer(text, {"page": str(path), "bytes": size, "files": len(files)})
