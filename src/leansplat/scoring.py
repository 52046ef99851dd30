"""How well a scene matches photos: a score per view, and the plain mean of the scores, as 3DGS papers report it.

Renders are clamped to [0, 1] and compared with the 8-bit photos; pixels that a view's mask hides are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.captures.capture import View
from leansplat.distributed.photos import present
from leansplat.engines.engine import Background, Renderer
from leansplat.metrics.lpips import Lpips
from leansplat.metrics.psnr import psnr
from leansplat.metrics.ssim import ssim
from leansplat.progress import Progress


@dataclass(frozen=True)
class ViewScore:
    """Quality of one view.

    Args:
        name: file name of the photo.
        psnr: in dB, infinite for a perfect render.
        ssim: 1 for a perfect render.
        lpips: 0 for a perfect render; None where it was not measured.
    """

    name: str
    psnr: float
    ssim: float
    lpips: float | None


@dataclass(frozen=True)
class Quality:
    """Means over views; None where there are none, or LPIPS was not measured."""

    psnr: float | None
    ssim: float | None
    lpips: float | None


@torch.inference_mode()
def view_scores(
    scene: Renderer,
    views: Sequence[View],
    background: Background,
    network: Lpips | None = None,
    progress: Progress | None = None,
    look: Callable[[Tensor, Tensor, Tensor | None], None] | None = None,
) -> list[ViewScore]:
    """The score of each view.

    Args:
        network: to measure LPIPS with, or None to leave it out.
        progress: told after each view.
        look: is shown each render and photo, (H, W, 3) in [0, 1], and the mask, to measure what else it likes.
    """
    scores: list[ViewScore] = []
    for view in views:
        image = scene.render(view.camera, background).image.cpu().clamp(0, 1)
        photo = present(view.photo).to(torch.float32) / 255
        distance = network(image, photo, view.mask) if network else None
        scores.append(ViewScore(view.name, psnr(image, photo, view.mask), ssim(image, photo, view.mask), distance))
        if look is not None:
            look(image, photo, view.mask)
        if progress is not None:
            progress(len(scores), len(views), {"PSNR": scores[-1].psnr})
    return scores


def mean_score(scores: Sequence[ViewScore]) -> Quality:
    """The mean of some scores."""
    distances = [score.lpips for score in scores if score.lpips is not None]
    return Quality(
        psnr=statistics.fmean(score.psnr for score in scores) if scores else None,
        ssim=statistics.fmean(score.ssim for score in scores) if scores else None,
        lpips=statistics.fmean(distances) if distances else None,
    )
