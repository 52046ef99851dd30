"""What a page is told: its scenes, the cameras that can be jumped to, where it begins. The page's own code reads this.

title, background, up       what to call it, (r, g, b) behind scenes, the world's up
scenes                      name, url, gaussians, bytes, sh_degree, antialiased, near, origin, note
                            (origins, and all cameras, are relative to the first scene's origin)
cameras                     name, width, height, fx, fy, cx, cy, world_to_camera, focus; thumbnail, photo: addresses
pictured                    what the cameras' photos are called, such as "Photo"
opening                     such a camera, or null for the first of `cameras`
poster                      address of a picture to show until the first one is drawn
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leansplat.arrays import WORLD, Origin
from leansplat.viewing.opening import camera_json, near_of, opening_of
from leansplat.viewing.prepared import PreparedScene, distinct_names

if TYPE_CHECKING:
    from leansplat.cameras import Camera
    from leansplat.provenance import Color

Addresses = Callable[[int], Mapping[str, str]]
"""Of the pictures of a camera, by "photo" and "thumbnail"."""


def describe(
    scenes: Sequence[PreparedScene],
    cameras: Mapping[str, Camera],
    *,
    title: str = "",
    background: Color = (0.0, 0.0, 0.0),
    up: str | None = None,
    pictures: Addresses | None = None,
    pictured: str = "Photo",
) -> dict[str, Any]:
    """The description of a page.

    Args:
        scenes: at least one.
        cameras: by name, in the order of the strip.
        up: a name in `opening.UPS`, where the direction shall not be estimated.
        pictures: where it finds those of the cameras.
        pictured: what these are, in a word.
    """
    first = scenes[0].arrays
    opening = opening_of(first, list(cameras.values()), up)
    return {
        "title": title,
        "background": list(background),
        "up": list(opening.up),
        "scenes": [
            scene_json(scene, name, scenes[0].origin)
            for scene, name in zip(scenes, distinct_names(list(scenes)), strict=True)
        ],
        "cameras": [
            camera_json(camera, first, name=name, **(pictures(index) if pictures is not None else {}))
            for index, (name, camera) in enumerate(cameras.items())
        ],
        "pictured": pictured,
        "opening": None if opening.camera is None else camera_json(opening.camera, first, name="opening"),
    }


def scene_json(scene: PreparedScene, name: str, origin: Origin = WORLD) -> dict[str, Any]:
    """A scene as the page's description has it, and as the page's `leansplat.load(side, scene)` takes a newer one."""
    return {
        "name": name,
        "url": scene.url,
        "gaussians": scene.gaussians,
        "bytes": scene.bytes,
        "sh_degree": scene.arrays.sh_degree,
        "antialiased": scene.arrays.antialiased,
        "near": near_of(scene.arrays),
        "origin": [mine - first for mine, first in zip(scene.origin, origin, strict=True)],
        "note": "shown through a temporary .ply of the same numbers" if scene.converted else None,
    }


def as_script(description: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: nothing in it ends the element."""
    return json.dumps(description, allow_nan=False).replace("<", "\\u003c")
