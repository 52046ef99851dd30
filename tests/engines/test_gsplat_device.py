"""What the engine gsplat does stays on its device: nothing is mixed with tensors of the CPU, and little comes back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from support import gsplat_stand_in
from support.far_device import FarDevice
from support.noise_photos import BACKGROUND, RATES, photo_view
from support.rendered_scenes import camera, surfaces
from support.synchronising import Synchronising
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture, Points
from leansplat.compression import FineTuningConfig
from leansplat.compression.fine_tuning import FineTuningResult, fine_tune
from leansplat.compression.format_quantiser import SogQuantiser, SpzQuantiser
from leansplat.doctor.scene import cameras_around, made_up_scene, photos_of
from leansplat.engines.engine import Depth
from leansplat.engines.statistics import ViewStatistics
from leansplat.engines.torch import gsplat
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import CRITERIA, Evidence, TrimmingConfig, trim
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification


@pytest.mark.usefixtures("gsplat_stand_in")
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_reads_one_number_back_and_no_more(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss, without which nobody would hear of one that is not finite. What gsplat does is gsplat's."""
    drawn = gsplat_stand_in.rasterization
    model: Any = engines.named("gsplat").begin(surfaces(80, seed=70), RATES)
    counting = Synchronising(here=[state["step"] for state in model._optimizer.state.values()])

    def theirs(**named: Any) -> Any:
        with counting.paused():
            return drawn(**named)

    monkeypatch.setattr(gsplat, "rasterization", lambda: theirs)
    statistics = ViewStatistics.zeros(80)
    view = photo_view(masked)
    with counting:
        loss = model.step(view, BACKGROUND, 3, 0.2, statistics).loss
    assert math.isfinite(loss)
    assert int(statistics.views_seen.sum()) > 0
    assert counting.calls == ["aten._local_scalar_dense"]
    with Synchronising() as seen:  # the mode sees what it is to see
        ones = torch.ones(3)
        ones.cpu()
        ones.numpy()
        bool(ones[0] > 0)
        ones.nonzero()
        ones[ones > 0]
    assert len(seen.calls) == 5


def test_what_the_engine_does_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device without values, whose tensors PyTorch neither adds to others nor copies to the CPU."""
    scene, view = surfaces(40, seed=70, antialiased=True), photo_view(masked=True)
    with gsplat_stand_in.in_place_of_gsplat(device="meta", values=False):
        engine = engines.named("gsplat")
        model: Any = engine.begin(scene, RATES)
        with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta tensors"):
            model.step(view, BACKGROUND, 3, 0.2)
        monkeypatch.setattr("leansplat.engines.torch.model._read_back", lambda loss: 0.5 if loss.is_meta else math.nan)
        statistics = ViewStatistics.zeros(40, device="meta")
        step = model.step(view, BACKGROUND, 2, 0.2, statistics, TENSOR_NAMES)
        assert step.loss == 0.5
        found = [*step.gradients.values(), *(model.attribute(name) for name in TENSOR_NAMES)]
        found += [*model.render(camera(), BACKGROUND)[:2], engine.render(scene, camera()).image]
        found += [model.gather_statistics([view], BACKGROUND, 0.2).gradient_sum, statistics.max_radius]
        model.rebuild(torch.tensor([1, 1, 2]), torch.tensor([False, True, False]))
        model.clear_moments("means")
        found += [getattr(model._moments().second, name) for name in TENSOR_NAMES]
        assert {each.device.type for each in found} == {"meta"}


def test_the_far_device_mixes_nothing_and_counts_what_comes_back() -> None:
    with FarDevice() as far:
        there, here = torch.tensor([1.0, 2.0], device="meta"), torch.ones(2)
        with pytest.raises(RuntimeError, match=r"aten\.add of tensors of two devices"):
            there + here
        assert far.back == {}
        there[0] = 5.0
        assert (there + here.to("meta")).cpu().tolist() == [6.0, 3.0]
        assert float(there.sum()) == 7.0
    assert far.back == {"aten._to_copy": 1, "aten._local_scalar_dense": 1}


def all_that_a_model_tells() -> Iterator[Tensor]:
    """By every method of the engine gsplat, its model and its renderer."""
    scene = replace(made_up_scene(40), antialiased=True)
    view = photos_of(scene, cameras_around(4, 12))[0]
    view = replace(view, mask=torch.arange(144).reshape(12, 12) % 3 > 0)
    engine = engines.named("gsplat")
    model: Any = engine.begin(scene, RATES)
    yield from model.blending_weights([view])
    effects = model.removal_effects([view], BACKGROUND)
    yield from (effects.change, effects.slope, effects.value_gradient, effects.visibility)
    evidence = Evidence(model, [view], BACKGROUND)
    for judge in CRITERIA.values():
        yield from judge(evidence)
    for depth in get_args(Depth):
        yield from engine.renderer(scene).render(view.camera, BACKGROUND, depth=depth)
    counted = ViewStatistics.zeros(40, device=model.device)
    yield from model.step(view, BACKGROUND, 2, 0.2, counted, TENSOR_NAMES).gradients.values()
    statistics = model.gather_statistics([view], BACKGROUND, 0.2)
    yield from (statistics.views_seen, statistics.max_radius, statistics.gradient_sum)
    model.write("opacities", torch.tensor([0, 3]), torch.zeros(2))
    model.rebuild(torch.arange(30), torch.arange(30) < 5)
    model.select(torch.arange(30) % 3 > 0)
    model.clear_moments("means")
    yield from model.tensors().values()
    loaded = engine.load(model.tensors(), model.facts, RATES)
    yield from (loaded.attribute(name) for name in TENSOR_NAMES)
    sensitivity = engine.sensitivity(scene, [view.camera] * 2, BACKGROUND, [view.mask, None])
    yield from (sensitivity.colors, sensitivity.covariances)


def test_with_values_every_method_gives_on_a_device_of_its_own_what_it_gives_on_the_cpu() -> None:
    with gsplat_stand_in.in_place_of_gsplat():
        expected = list(all_that_a_model_tells())
    with FarDevice(), gsplat_stand_in.in_place_of_gsplat(device="meta"):
        found = [each.cpu() for each in all_that_a_model_tells()]
    assert len(found) == len(expected) > 40
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # PyTorch may sum in another order there


@pytest.fixture(scope="module")
def small_capture() -> Capture:
    """Four photos of one tile."""
    scene = made_up_scene(30)
    return Capture(
        "small", tuple(photos_of(scene, cameras_around(4, 12))), (), Points(scene.means, scene.sh0[:, 0].clamp(0, 1))
    )


def test_with_values_training_and_trimming_do_so_too(small_capture: Capture) -> None:
    grown = (Densification(after=0, until=4, every=2, gradient=1e-6, reset_every=3),)
    recipe = TrainingConfig(iterations=4, sh_degree=1, sh_degree_every=2, strategies=grown)
    trimming = TrimmingConfig(keep=0.5, rounds=1, every=1, finetune=1)

    def made() -> list[Gaussians]:
        scene = train(small_capture, recipe, engine="gsplat").gaussians
        return [scene, trim(scene, small_capture, trimming, engine="gsplat").gaussians]

    with gsplat_stand_in.in_place_of_gsplat():
        expected = made()
    with FarDevice(), gsplat_stand_in.in_place_of_gsplat(device="meta"):
        found = made()
    assert len(expected[0]) != 30
    for ours, theirs in zip(found, expected, strict=True):
        for name in TENSOR_NAMES:
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
def test_fine_tuning_compares_pictures_where_they_are(small_capture: Capture, shared: bool) -> None:
    """The rounding of a file is on the CPU: the scene goes over in every step, and its gradients come back."""
    scene, steps = made_up_scene(30), 3

    def made() -> FineTuningResult:
        quantiser = SogQuantiser(steps=steps, palette_size=4) if shared else SpzQuantiser()
        return fine_tune(scene, small_capture, quantiser, FineTuningConfig(steps=steps), engine="gsplat")

    with gsplat_stand_in.in_place_of_gsplat():
        expected = made()
    with FarDevice() as far, gsplat_stand_in.in_place_of_gsplat(device="meta"):
        found = made()
    for name, latent in expected.latents.items():
        torch.testing.assert_close(found.latents[name], latent, rtol=1e-3, atol=1e-3)
    assert far.back["aten._to_copy"] == len(TENSOR_NAMES) * steps
