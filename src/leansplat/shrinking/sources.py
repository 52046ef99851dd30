"""Where a scene is looked at from while it is shrunk: its photos' cameras, those written beside it, or made-up ones.

Whatever they come from, the scene itself is what they show (see `teacher`); photos, where there are some, only judge.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from leansplat import captures
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, every_eighth
from leansplat.captures.inria_cameras import cameras_beside, read_cameras
from leansplat.errors import CaptureError
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.provenance import BACKGROUNDS, Color, TrainedWith, trained_with
from leansplat.runs import capture_of
from leansplat.shrinking.config import VIEW_SIZE
from leansplat.viewpoints import made_up_views
from leansplat.viewpoints.framing import in_several_sizes

Kind = Literal["photos", "cameras", "made up"]

_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class Source:
    """From where a scene is looked at.

    Args:
        kind: whose cameras they are: of photos, of a file, or made up.
        told: where they come from, in a few words.
        cameras: by unique names.
        held_back: names of those that only judge; None to take every eighth.
        background: (r, g, b) behind the scene.
        masks: of photos, by name, where they have some.
        photos: the capture, where there is one.
        sureness: of made-up cameras by name, in (0, 1].
        loaded: the folder of the capture and the downscale of its photos, to record; empty for one from memory.
    """

    kind: Kind
    told: str
    cameras: Mapping[str, Camera]
    background: Color
    held_back: tuple[str, ...] | None = None
    masks: Mapping[str, Tensor | None] | None = None
    photos: Capture | None = None
    sureness: Mapping[str, float] | None = None
    loaded: Mapping[str, Any] = field(default_factory=dict)


def find_source(
    gaussians: Gaussians,
    scene: Gaussians | str | os.PathLike[str],
    *,
    capture: Capture | str | os.PathLike[str] | None = None,
    cameras: str | os.PathLike[str] | None = None,
    background: Color | None = None,
    downscale: int | None = None,
    view_size: int | None = None,
    count: int = 128,
    seed: int = 0,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Source:
    """The best cameras there are for a scene: those asked for, else those of its run's photos or of a file beside it,
    else made-up ones.

    Args:
        gaussians: the scene as it was read.
        scene: what it was read from.
        capture: photos with cameras, or the folder of a capture.
        cameras: a cameras.json of 3DGS, where there is no capture.
        background: behind the scene; by default as it was trained, else black.
        downscale: of photos and cameras; by default as the scene was trained, else so that no side is above
            `view_size`.
        view_size: the longest side of a view, in pixels; `VIEW_SIZE` by default, and of an object from made-up cameras
            several sizes about that.
        count: of cameras to make up; of those of a file or a capture, all are taken.
        seed: of what is drawn while cameras are made up.

    Raises:
        CaptureError: the capture or the cameras cannot be read, or there are none.
        InputError: no cameras can be made up for this scene.
    """
    known = TrainedWith() if isinstance(scene, Gaussians) else trained_with(scene)
    color = background or known.background or BACKGROUNDS["black"]
    if capture is None and cameras is None:
        capture = _trained_on(scene)
        if capture is not None:
            _log.warning(
                "%s says that the scene was trained on %s, whose cameras and photos are used", known.source, capture
            )
    if capture is not None:
        return _of_photos(capture, color, downscale or known.downscale, view_size or VIEW_SIZE)
    file = Path(cameras) if cameras is not None else _beside(scene)
    if file is not None:
        found = read_cameras(file)
        size = view_size or VIEW_SIZE
        return Source("cameras", str(file), {name: fitted(c, downscale, size) for name, c in found.items()}, color)
    made = made_up_views(gaussians, count, size=view_size or VIEW_SIZE, seed=seed, engine=engine, progress=progress)
    sureness = dict(zip(made.cameras, made.sureness.tolist(), strict=True))
    told = f"{len(made.cameras)} made-up cameras {'around an object' if made.kind == 'object' else 'inside a place'}"
    if not made.known:
        told += ", guessed from its shape, since its harmonics do not tell how it was photographed"
    held_back = sorted(every_eighth(list(made.cameras))) if len(made.cameras) >= 8 else []
    several = view_size is None and made.kind == "object"
    sized = in_several_sizes(made.cameras, held_back) if several else made.cameras
    return Source("made up", told, sized, color, held_back=tuple(held_back), sureness=sureness)


def _of_photos(
    capture: Capture | str | os.PathLike[str], color: Color, downscale: int | None, view_size: int
) -> Source:
    loaded: dict[str, Any] = {}
    if isinstance(capture, Capture):
        photos = capture
    else:
        loaded = {"capture": str(capture), "downscale": downscale or 1}
        photos = captures.load(capture, downscale=downscale or 1, background=color, points=False)
        longest = max((max(view.camera.width, view.camera.height) for view in photos.train), default=1)
        if downscale is None and longest > view_size:
            smaller = -(-longest // view_size)
            _log.warning(
                "photos are %d pixels long; the scene is looked at in a %s of that, --downscale 1 takes them whole",
                longest,
                {2: "half", 3: "third", 4: "quarter"}.get(smaller, f"{smaller}th"),
            )
            photos = captures.load(capture, downscale=smaller, background=color, points=False)
            loaded["downscale"] = smaller
        for warning in photos.warnings:
            _log.warning("%s", warning)
    if not photos.train:
        raise CaptureError(f"capture {photos.name} has no training views; check its split")
    views = (*photos.train, *photos.test)
    return Source(
        "photos",
        f"the {len(views)} photos of {photos.name}",
        {view.name: view.camera for view in views},
        photos.background,
        held_back=tuple(view.name for view in photos.test) or None,
        masks={view.name: view.mask for view in views},
        photos=photos,
        loaded=loaded,
    )


def _trained_on(scene: Gaussians | str | os.PathLike[str]) -> Path | None:
    return None if isinstance(scene, Gaussians) else capture_of(scene)


def _beside(scene: Gaussians | str | os.PathLike[str]) -> Path | None:
    return None if isinstance(scene, Gaussians) else cameras_beside(scene)


def fitted(camera: Camera, downscale: int | None, view_size: int) -> Camera:
    """The camera at 1/downscale of its size, or so that no side is above `view_size`."""
    share = 1 / downscale if downscale is not None else min(1.0, view_size / max(camera.width, camera.height))
    if share == 1:
        return camera
    return camera.resized(max(1, round(share * camera.width)), max(1, round(share * camera.height)))
