"""The effects of removal that are estimated by random signs, beside the exact sums."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.noise_photos import BACKGROUND, RATES, photo_view
from support.rendered_scenes import surfaces
from support.rendering_comparison import relative_error

from leansplat import engines


@pytest.mark.usefixtures("gsplat_stand_in")
def test_the_effects_of_removal_are_probed_and_rank_as_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = replace(surfaces(80, seed=70), opacities=torch.linspace(-3, 1, 80))
    views = [replace(photo_view(masked=True), name=f"{number}.png") for number in range(3)]
    exact = engines.named("cpu").begin(scene, {}).removal_effects(views, BACKGROUND)
    seen = exact.change > 0
    probed = engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND)
    ranks = [values[seen].argsort().argsort().double() for values in (exact.change, probed.change)]
    assert float(torch.corrcoef(torch.stack(ranks))[0, 1]) > 0.97
    assert torch.equal(probed.drawn, exact.drawn)
    assert relative_error(probed.slope, exact.slope.double()) < 1e-3
    assert torch.equal(
        probed.change, engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND).change
    )
    monkeypatch.setattr("leansplat.engines.torch.probes.PROBES", 40)
    many = engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND).change
    assert relative_error(many, exact.change.double()) < 0.2
    assert relative_error(many, exact.change.double()) < relative_error(probed.change, exact.change.double())


@pytest.mark.usefixtures("gsplat_stand_in")
def test_one_that_is_opaque_to_the_last_bit_has_an_effect_and_what_is_read_too_late_has_none() -> None:
    scene = replace(surfaces(30, seed=70), opacities=torch.full((30,), 20.0))
    model = engines.named("gsplat").begin(scene, RATES)
    effects = model.removal_effects([photo_view()], BACKGROUND)
    exact = engines.named("cpu").begin(scene, {}).removal_effects([photo_view()], BACKGROUND)
    assert torch.equal(effects.drawn, exact.drawn)
    model.step(photo_view(), BACKGROUND, 3, 0.2)
    with pytest.raises(RuntimeError, match="after the scene has changed"):
        _ = effects.visibility
