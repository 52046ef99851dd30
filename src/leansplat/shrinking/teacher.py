"""What a scene without photos is shrunk by: its own renders, taken once before anything is removed.

A scene's own renders teach a smaller one nearly as well as photos do, and show nothing that Gaussians could not say.
They are kept as photos are, in 8 bits, so that whatever works on a capture works on them: trimming, compressing,
evaluating. Some views are held back, to judge the result by. Where there are photos too, both teach together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View, every_eighth
from leansplat.engines.engine import BLACK, Background
from leansplat.gaussians import Gaussians
from leansplat.pictures import to_bytes
from leansplat.progress import Progress

_SHARE_OF_PHOTO = 0.75


def teacher_capture(
    gaussians: Gaussians,
    cameras: Mapping[str, Camera],
    *,
    held_back: Sequence[str] | None = None,
    background: Background = BLACK,
    masks: Mapping[str, Tensor | None] | None = None,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Capture:
    """A capture whose photos are renders of `gaussians`.

    Args:
        cameras: by a name that is unique, in world units.
        held_back: names of the test views; every eighth by default, none where there are fewer than eight.
        background: (r, g, b) in [0, 1] behind the scene.
        masks: by name, (H, W) bool, true where a pixel counts; all count where there is none.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        progress: told after each view.
    """
    if held_back is None:
        held_back = sorted(every_eighth(list(cameras))) if len(cameras) >= 8 else []
    scene = engines.named(engine).renderer(gaussians)
    train: list[View] = []
    test: list[View] = []
    for number, (name, camera) in enumerate(cameras.items(), 1):
        image = scene.render(camera, background).image
        view = View(name, camera, to_bytes(image.cpu()), (masks or {}).get(name))
        (test if name in held_back else train).append(view)
        if progress is not None:
            progress(number, len(cameras), {})
    red, green, blue = map(float, background)
    return Capture("its own renders", tuple(train), tuple(test), None, (red, green, blue), rendered=True)


def blended(renders: Capture, photos: Capture) -> Capture:
    """The renders, whose training views are three parts photo and one part render where there is a photo.

    Photos still improve a scene that was trained on them, and renders keep what is left of it to what it was: the blend
    comes as near to the photos held out as they do, and nearer to the scene (benchmarks/shrinking.py).

    Args:
        renders: as `teacher_capture` made them of the cameras of `photos`.
    """
    known = {view.name: view.photo for view in photos.train}
    return replace(renders, train=tuple(_blended(view, known.get(view.name)) for view in renders.train))


def _blended(view: View, photo: Tensor | None) -> View:
    if photo is None:
        return view
    levels = _SHARE_OF_PHOTO * photo.float() + (1 - _SHARE_OF_PHOTO) * view.photo.float()
    return replace(view, photo=levels.round().to(view.photo.dtype))
