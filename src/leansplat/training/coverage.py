"""What training views see of points and scenes, so that a view with nothing to learn from is found and named.

A centre inside the picture is cheap to find, and nearly every view has one; only the views without are rendered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.distributed.photos import present
from leansplat.gaussians import Gaussians

_log = logging.getLogger("leansplat")

_CELLS = 8
"""Along each side of a picture, to measure how much of it points cover."""
_FAINTEST = 1 / 255
"""Nothing is drawn of a Gaussian of less opacity."""
_ENOUGH = 10_000
"""Points that are looked at before all are."""


def seen_by(camera: Camera, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Which of `positions` (P, 3) are in the picture and beyond the near plane, (P,) bool; and their pixels (M, 2)."""
    pixels, depths = camera.project(positions)
    size = torch.tensor([camera.width, camera.height])
    inside = (depths > camera.near) & ((pixels >= 0) & (pixels < size)).all(dim=1)
    return inside, pixels[inside]


def share_covered(camera: Camera, positions: Tensor) -> float:
    """How much of the picture has points in it, 0 to 1: the share of the cells of an 8x8 grid that holds one."""
    _, pixels = seen_by(camera, positions)
    cells = (pixels * _CELLS / torch.tensor([camera.width, camera.height])).long()
    return len((cells[:, 0] * _CELLS + cells[:, 1]).unique()) / _CELLS**2


def fewer_seen_than(least: int, camera: Camera, positions: Tensor) -> bool:
    """Whether `camera` sees fewer than `least` of `positions` (P, 3)."""
    some = positions[:: -(-len(positions) // _ENOUGH) or 1]
    return all(int(seen_by(camera, part)[0].sum()) < least for part in (some, positions))


def warn_of_empty_views(
    gaussians: Gaussians, views: Sequence[View], background: Sequence[float], kind: str, engine: str = "cpu"
) -> None:
    """Log how many of the `views`, which are of this kind ("training"), show nothing of a scene, if any.

    Views whose photos are all `background`, as far as no mask hides them, should show nothing and do not count.
    """
    gaussians = gaussians.detach()
    drawn = gaussians.means[gaussians.opacities.sigmoid() >= _FAINTEST]
    suspects = [view for view in views if fewer_seen_than(1, view.camera.relative_to(gaussians.origin), drawn)]
    if not suspects:
        return
    renderer = engines.named(engine).renderer(gaussians)
    nothing = (torch.tensor(background) * 255).round().to(torch.uint8)

    def has_content(view: View) -> bool:
        photo = present(view.photo)
        counted = photo if view.mask is None else photo[view.mask]
        return not bool((counted == nothing).all())

    empty = [view.name for view in suspects if has_content(view) and not bool(renderer.render(view.camera).alpha.any())]
    if empty:
        _log.warning(
            "%d of %d %s views show nothing of the scene (first: %s); check that the cameras and "
            "the scene are in one frame",
            len(empty),
            len(views),
            kind,
            empty[0],
        )
