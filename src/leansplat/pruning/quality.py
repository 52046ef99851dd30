"""How good a scene is on some views, in numbers for the log; nothing is decided by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from leansplat.captures.capture import View
from leansplat.engines.engine import Background, Renderer
from leansplat.metrics.psnr import psnr
from leansplat.metrics.ssim import ssim


@dataclass(frozen=True)
class Quality:
    """Mean PSNR in dB and SSIM over some views; None where there are none."""

    psnr: float | None
    ssim: float | None


def quality(scene: Renderer, views: Sequence[View], background: Background) -> Quality:
    """How well a scene matches the photos of `views`."""
    if not views:
        return Quality(None, None)
    similarities, ratios = [], []
    for view in views:
        image = scene.render(view.camera, background).image.cpu().clamp(0, 1)
        photo = view.photo.to(torch.float32) / 255
        ratios.append(psnr(image, photo, view.mask))
        similarities.append(ssim(image, photo, view.mask))
    return Quality(sum(ratios) / len(ratios), sum(similarities) / len(similarities))
