"""Pages to put anywhere: one HTML file with the scene inside, or a folder from which viewers stream what they need.

Both hold the viewer, open at a camera, show a picture of it until the scene is there, and ask nobody for anything. The
one file opens from disk. A folder has to be served, by any web server, because browsers let no page of a disk read the
files beside it.
"""

from __future__ import annotations

import base64
import html
import io
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from PIL import Image

from leansplat import formats
from leansplat.arrays import WORLD, GaussianArrays
from leansplat.files import replacing, replacing_folder
from leansplat.pictures import to_bytes
from leansplat.viewing.description import as_script, describe
from leansplat.viewing.opening import fitted, opening_of
from leansplat.viewing.page_files import page_file, with_elements, with_policy
from leansplat.viewing.prepared import PreparedScene, prepare_scene

if TYPE_CHECKING:
    from leansplat.cameras import Camera
    from leansplat.provenance import Color

_BLACK: Color = (0.0, 0.0, 0.0)
_POSTER = 960
"""Longer side of the poster in pixels."""
_THUMBNAIL = 116
_MOST_CAMERAS = 24
"""A strip of so many is enough to look around by."""
_STREAMED = 500_000
"""From so many Gaussians on, a folder has a coarser level for what is far away."""
_COARSER = 4
_PLACE, _LEVELS = "scene", "lod-meta.json"
_log = logging.getLogger("leansplat")


def standalone(
    scene: str | os.PathLike[str],
    *,
    cameras: Mapping[str, Camera] | None = None,
    title: str = "",
    background: Color = _BLACK,
    up: str | None = None,
) -> str:
    """One HTML document with a scene and the viewer inside, which makes no request.

    Args:
        scene: a scene file or folder; what is not a .sog becomes one.
        cameras: by name; the page opens at the first one, and some of them can be jumped to.
        title: of the page; the file's name by default.
        background: (r, g, b) in [0, 1] behind the scene.
        up: the world's upward direction, "x" to "minus-z", where it shall not be estimated.

    Raises:
        SceneFileError: as `leansplat.formats.read` does, or the scene cannot be written as .sog.
    """
    with TemporaryDirectory() as folder:
        prepared, data = _as_sog(scene, Path(folder))
        described = _described(replace(prepared, url="scene.sog"), cameras, title, background, up)
        described["scenes"][0]["data"] = "scene-0"
        elements = "\n".join(
            [
                f'<script type="application/json" id="description">{as_script(described)}</script>',
                f'<script type="text/plain" id="scene-0">{base64.b64encode(data).decode()}</script>\n',
            ]
        )
    licences = page_file("LICENSES.txt").replace("--", "- -")
    page = with_elements(with_policy(page_file("index.html")), elements, script=page_file("viewer.js"))
    return _titled(page, described["title"]).replace("</html>", f"<!--\n{licences}-->\n</html>")


def write_page(
    scene: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Write `standalone` to a file; options and errors as there.

    Raises:
        InputError: as `leansplat.files.replacing` does.
    """
    path = Path(path)
    with replacing(path, overwrite=overwrite) as handle:  # which refuses before any work is done
        handle.write(standalone(scene, **options).encode())
    return path


def write_folder(
    scene: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    cameras: Mapping[str, Camera] | None = None,
    title: str = "",
    background: Color = _BLACK,
    up: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a folder for a web site, from which the page streams the scene in levels of detail.

    A scene in levels (`shrink --ladder`) keeps its own. Any other one is cut up in space, and where it is large gets a
    coarser level of merged Gaussians, which is shown first and far away.

    Args:
        folder: a name that is free, or with `overwrite` that of such a folder.

    Returns:
        The index.html in it; the other arguments and errors are those of `standalone`.
    """
    folder = Path(folder)
    with (
        replacing_folder(folder, owned_by=f"{_PLACE}/{_LEVELS}", overwrite=overwrite) as filled,
        TemporaryDirectory() as temporary,
    ):
        prepared = replace(prepare_scene(scene, Path(temporary)), url=f"{_PLACE}/{_LEVELS}")
        described = _described(prepared, cameras, title, background, up)
        if _LEVELS in prepared.files:
            for name, path in prepared.files.items():
                target = filled / _PLACE / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        else:
            formats.write_levels(_detail(_at_zero(prepared.arrays)), filled / _PLACE)
        (filled / "poster.jpg").write_bytes(base64.b64decode(described["poster"].partition(",")[2]))
        described["poster"] = "poster.jpg"
        script = f'<script type="application/json" id="description">{as_script(described)}</script>\n'
        page = with_elements(with_policy(page_file("index.html")), script)
        (filled / "index.html").write_text(_titled(page, described["title"]), encoding="utf-8")
        for name in ("viewer.js", "LICENSES.txt"):
            (filled / name).write_text(page_file(name), encoding="utf-8")
    return folder / "index.html"


def _as_sog(scene: str | os.PathLike[str], folder: Path) -> tuple[PreparedScene, bytes]:
    """The scene and the bytes of a .sog of it: its own, or one made for the page."""
    prepared = prepare_scene(scene, folder)
    own = prepared.files.get("scene.sog")
    if own is not None:
        return prepared, own.read_bytes()
    arrays = prepared.arrays
    if _LEVELS in prepared.files:
        arrays = formats.read_arrays(scene)
    path = folder / "page.sog"
    formats.write(_at_zero(arrays), path)
    return prepared, path.read_bytes()


def _at_zero(arrays: GaussianArrays) -> GaussianArrays:
    """The scene with its positions as they are, relative to an origin that only the page's description knows of."""
    return replace(arrays, origin=WORLD, extras={})


def _detail(arrays: GaussianArrays) -> list[GaussianArrays]:
    if len(arrays) < _STREAMED:
        return [arrays]
    from leansplat.gaussians import Gaussians
    from leansplat.merging import simplify

    _log.warning("making a coarser level of %s Gaussians for what is far away", f"{len(arrays) // _COARSER:,}")
    return [arrays, simplify(Gaussians.from_arrays(arrays), len(arrays) // _COARSER).gaussians.arrays()]


def _described(
    prepared: PreparedScene,
    cameras: Mapping[str, Camera] | None,
    title: str,
    background: Color,
    up: str | None,
) -> dict[str, Any]:
    """The description of a page that has renders of ours in place of photos."""
    from leansplat import rendering
    from leansplat.gaussians import Gaussians

    chosen = _some(cameras or {})
    renderer = rendering.prepare(Gaussians.from_arrays(prepared.arrays))

    def picture(camera: Camera, longest: int, quality: int) -> str:
        (small,) = fitted({"": camera}, longest).values()
        image = to_bytes(rendering.render(renderer, small, background=background).image)
        buffer = io.BytesIO()
        Image.fromarray(image.numpy()).save(buffer, format="JPEG", quality=quality)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    views = list(chosen.values())
    thumbnails = [picture(camera, 2 * _THUMBNAIL, 70) for camera in views] if len(views) > 1 else None
    described = describe(
        [prepared],
        chosen,
        title=title or prepared.name,
        background=background,
        up=up,
        pictures=None if thumbnails is None else lambda index: {"thumbnail": thumbnails[index]},
    )
    first = views[0] if views else opening_of(prepared.arrays, [], up).camera
    assert first is not None
    described["poster"] = picture(first, _POSTER, 80)
    return described


def _some(cameras: Mapping[str, Camera]) -> dict[str, Camera]:
    """At most `_MOST_CAMERAS` of them, evenly chosen, the first one among them."""
    names = list(cameras)
    step = max(1, -(-len(names) // _MOST_CAMERAS))
    return {name: cameras[name] for name in names[::step]}


def _titled(page: str, title: str) -> str:
    return page.replace("<title>leansplat</title>", f"<title>{html.escape(title)}</title>")
