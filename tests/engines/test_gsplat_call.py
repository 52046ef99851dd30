"""The call into gsplat: by the signature of the installed version, and what is made of what it returns.

What no test here can hold is gsplat's own kernels; `leansplat doctor` compares those where there is a card.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import gsplat_stand_in
from support.noise_photos import BACKGROUND, RATES, photo_view
from support.rendered_scenes import camera, surfaces
from support.rendering_comparison import as_leaves, gradients_of, relative_error

from leansplat import engines
from leansplat.engines.torch import gsplat
from leansplat.gaussians import TENSOR_NAMES


def test_the_call_is_one_that_gsplat_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signature that is recorded in the stand-in, which the next test compares with gsplat's."""
    calls: list[dict[str, Any]] = []

    def recorded(*positional: Any, **named: Any) -> Any:
        assert not positional
        inspect.signature(gsplat_stand_in.rasterization).bind(**named)
        calls.append(named)
        return gsplat_stand_in.rasterization(**named)

    monkeypatch.setattr(gsplat, "rasterization", lambda: recorded)
    behind = torch.tensor(BACKGROUND)
    scene = surfaces(50, seed=70, antialiased=True)
    covariances = torch.eye(3).expand(50, 3, 3) * 0.01
    for degree in (0, 2, 3):
        gsplat.GsplatRasteriser()(scene, camera(), behind, degree)
    gsplat.GsplatRasteriser(packed=False)(replace(scene, antialiased=False), camera(), behind, 3, covariances)
    assert [call["colors"].shape[1] for call in calls] == [1, 9, 16, 16]
    assert [call["rasterize_mode"] for call in calls] == ["antialiased"] * 3 + ["classic"]
    assert [call["packed"] for call in calls] == [True] * 3 + [False]
    assert all(call["colors"].is_contiguous() for call in calls)


def test_the_recorded_signature_is_that_of_the_installed_gsplat() -> None:
    installed = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install gsplat==1.5.3")
    theirs = inspect.signature(installed.rasterization).parameters
    ours = inspect.signature(gsplat_stand_in.rasterization).parameters
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        default = getattr(parameter.default, "name", parameter.default)  # an enumeration counts by its name
        assert (ours[name].default, ours[name].kind) == (default, parameter.kind), name
    source = inspect.getsource(installed.rasterization)
    assert all(f'"{key}"' in source for key in gsplat_stand_in.META)
    assert installed.__version__.startswith(f"{gsplat.KNOWN_VERSION}.")


@pytest.mark.parametrize("antialiased", [False, True])
def test_packed_or_not_the_picture_its_gradients_and_statistics_are_the_same(antialiased: bool) -> None:
    scene = replace(surfaces(150, seed=70, antialiased=antialiased), opacities=torch.full((150,), 0.5))
    found = []
    for packed in (True, False):
        with gsplat_stand_in.in_place_of_gsplat(packed):
            engine = engines.named("gsplat")
            leaves = as_leaves(scene)
            image = engine.render(leaves, camera(), background=BACKGROUND).image
            image.square().sum().backward()
            statistics = engine.begin(scene, RATES).gather_statistics([photo_view()], BACKGROUND, 0.2)
            found.append((image.detach(), gradients_of(leaves), statistics))
    assert torch.equal(found[0][0], found[1][0])
    for name in TENSOR_NAMES:
        assert relative_error(found[0][1][name], found[1][1][name].double()) < 1e-6
    assert torch.equal(found[0][2].views_seen, found[1][2].views_seen)
    assert torch.equal(found[0][2].max_radius, found[1][2].max_radius)
    torch.testing.assert_close(found[0][2].gradient_sum, found[1][2].gradient_sum)
    assert int(found[0][2].views_seen.sum()) > 100
