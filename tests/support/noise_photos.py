"""A photo of noise to compare renders with, and the settings of models that are tried on it."""

from __future__ import annotations

import torch

from leansplat.captures.capture import View
from support.rendered_scenes import camera

RATES = {"means": 1e-3, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}
BACKGROUND = (0.3, 0.5, 0.1)


def photo_view(masked: bool = False) -> View:
    """Of `rendered_scenes.camera()`."""
    generator = torch.Generator().manual_seed(7)
    photo = torch.randint(256, (37, 52, 3), generator=generator, dtype=torch.uint8)
    mask = torch.rand(37, 52, generator=generator) < 0.6 if masked else None
    return View("photo.png", camera(), photo, mask)
