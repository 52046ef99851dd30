"""The memory of a card: what has no room in it is said, and photos are moved there once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.noise_photos import BACKGROUND, RATES, photo_view
from support.rendered_scenes import camera, surfaces

from leansplat.engines.torch.engine import TorchEngine
from leansplat.engines.torch.memory import what_fits
from leansplat.engines.torch.rasterizer import Rasterised
from leansplat.engines.torch.targets import Targets
from leansplat.errors import LeansplatError


def test_what_has_no_room_is_said_with_what_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Rasterised:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB. GPU 0 has ...")

    engine = TorchEngine("full", full)
    scene = surfaces(50)
    with pytest.raises(LeansplatError, match=r"50 Gaussians at 52x37; use smaller photos \(--downscale\); what a run"):
        engine.begin(scene, RATES).step(photo_view(), BACKGROUND, 3, 0.2)
    monkeypatch.setattr("leansplat.engines.torch.memory._held_and_total", lambda: (12 * 2**30, 8 * 2**30))
    with pytest.raises(LeansplatError) as raised:
        engine.renderer(scene).render(camera())
    assert str(raised.value) == (
        "there is not enough memory for 50 Gaussians at 52x37 on a card of 8.0 GiB; about 22 Gaussians would fit, or "
        "smaller photos (--downscale)"
    )
    assert what_fits(3_000_000, 2 * 2**30, 2**30) == 1_300_000
    assert what_fits(1000, 2**20, 2**30) == 1000


def test_photos_move_to_the_device_once_and_leave_it_with_the_capture() -> None:
    targets = Targets(torch.device("meta"))
    view = photo_view(masked=True)
    assert targets.photo(view).device.type == "meta"
    assert targets.photo(view) is targets.photo(replace(view, name="same"))
    mask = targets.mask(view)
    assert mask is not None
    assert targets.mask(view) is mask
    assert targets.mask(replace(view, mask=None)) is None
    here = Targets(torch.device("cpu"))
    assert here.photo(view) is view.photo
    assert len(targets._copies) == 2
    del view
    assert len(targets._copies) == 0
