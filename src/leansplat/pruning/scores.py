"""What a round of pruning judges by: statistics of the scene as it is, over every training view.

One pass renders each view and takes the gradient of its loss, without changing anything. How good the scene is on the
views held out is measured beside it, for the log only: nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from leansplat.captures.capture import View
from leansplat.metrics.psnr import psnr
from leansplat.metrics.ssim import ssim
from leansplat.render import PackedGaussians, ViewStatistics, render
from leansplat.training.loss import photometric_loss


def gather_statistics(
    packed: PackedGaussians, views: Sequence[View], background: tuple[float, float, float], ssim_weight: float
) -> ViewStatistics:
    """Statistics over all `views` of the loss they are trained with; the scene stays as it is.

    Args:
        packed: the scene, with gradients enabled.
        ssim_weight: of the loss, see `photometric_loss`.
    """
    statistics = ViewStatistics.zeros(len(packed))
    for view in views:
        rendering = render(packed, view.camera, background=background, statistics=statistics)
        loss = photometric_loss(rendering.image, view.photo, ssim_weight)
        torch.autograd.grad(loss, packed.data)
    return statistics


@dataclass(frozen=True)
class Quality:
    """Mean PSNR in dB and SSIM over some views; None where there are none."""

    psnr: float | None
    ssim: float | None


def quality(packed: PackedGaussians, views: Sequence[View], background: tuple[float, float, float]) -> Quality:
    """How well a scene matches the photos of `views`."""
    if not views:
        return Quality(None, None)
    similarities, ratios = [], []
    with torch.inference_mode():
        for view in views:
            image = render(packed, view.camera, background=background).image.clamp(0, 1)
            photo = view.photo.to(torch.float32) / 255
            ratios.append(psnr(image, photo))
            similarities.append(ssim(image, photo))
    return Quality(sum(ratios) / len(ratios), sum(similarities) / len(similarities))
