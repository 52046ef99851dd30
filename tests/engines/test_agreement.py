"""Every engine against the CPU's: what it renders, how it trains, and what it finds out about each Gaussian."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
import torch
from support.rendered_scenes import HARD_CASES, camera, surfaces
from support.rendering_comparison import as_leaves, gradients_of, relative_error
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.engine import Depth, Facts, Model
from leansplat.engines.shared import SharedGaussians
from leansplat.engines.statistics import ViewStatistics
from leansplat.engines.torch.loss import photometric_loss as plain_loss
from leansplat.errors import InputError
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians
from leansplat.metrics.loss import photometric_loss

CPU = engines.named("cpu")
BACKGROUND = (0.3, 0.5, 0.1)
FAR = (500_000.0, 5_000_000.0, 300.0)
RATES = {"means": 1e-3, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}

pytestmark = pytest.mark.usefixtures("gsplat_stand_in")
PROBING = {"gsplat"}
"""Engines that estimate the effects of removal; `test_probes.py` says how well."""

other_engines = pytest.mark.parametrize("name", [name for name in engines.ENGINES if name != "cpu"])


def translucent(count: int = 200, *, antialiased: bool = False) -> Gaussians:
    """Every pixel far from its early end, where a rounding could decide."""
    gaussians = surfaces(count, seed=70, antialiased=antialiased)
    return replace(gaussians, opacities=gaussians.opacities.clamp(max=1.5))


def opaque_and_flat() -> Gaussians:
    """Opacities of 0 and 1 exactly, and scales of nothing."""
    gaussians = translucent(60)
    opacities, scales = gaussians.opacities.clone(), gaussians.scales.clone()
    opacities[:3], opacities[3:6] = math.inf, -math.inf
    scales[6:12, 2] = -math.inf
    return replace(gaussians, opacities=opacities, scales=scales)


def broken() -> Gaussians:
    """Numbers that mean nothing, which are left out."""
    gaussians = translucent(60)
    tensors = {name: getattr(gaussians, name).clone() for name in TENSOR_NAMES}
    for row, values in enumerate(tensors.values()):
        values[row] = math.nan
        if row != 3:
            values[10 + row] = math.inf
    return replace(gaussians, **tensors)


SCENES = {
    "plain": translucent(),
    "antialiased": translucent(antialiased=True),
    "degree 1": translucent().with_sh_degree(1),
    "far away": replace(translucent(), origin=FAR),
    "infinities": opaque_and_flat(),
    "not numbers": broken(),
    "nothing": translucent()[:0],
}
each_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())


def views_of(scene: Gaussians) -> list[View]:
    """Two photos of noise, of which one hides pixels."""
    generator = torch.Generator().manual_seed(71)
    found = []
    for index, seen_by in enumerate((camera(), camera(45, 33, off_centre=True))):
        there = seen_by if scene.origin == WORLD else seen_by.relative_to((-FAR[0], -FAR[1], -FAR[2]))
        size = (seen_by.height, seen_by.width)
        photo = torch.randint(256, (*size, 3), generator=generator, dtype=torch.uint8)
        mask = torch.rand(size, generator=generator) < 0.6
        found.append(View(f"{index}.png", there, photo, mask if index else None))
    return found


def close(found: Tensor, expected: Tensor, error: float = 2e-4) -> bool:
    return found.shape == expected.shape and (found.numel() == 0 or relative_error(found, expected.double()) < error)


@other_engines
@each_scene
def test_images_are_those_of_the_cpu(name: str, scene: Gaussians) -> None:
    for view in views_of(scene):
        for found in (
            engines.named(name).render(scene, view.camera, background=BACKGROUND),
            engines.named(name).renderer(scene).render(view.camera, BACKGROUND),
            engines.named(name).begin(scene, RATES).render(view.camera, BACKGROUND),
        ):
            expected = CPU.render(scene, view.camera, background=BACKGROUND)
            assert close(found.image.cpu(), expected.image)
            assert close(found.alpha.cpu() + 1, expected.alpha + 1)


@other_engines
@pytest.mark.parametrize("depth", get_args(Depth))
@each_scene
def test_depths_are_those_of_the_cpu(name: str, scene: Gaussians, depth: Depth) -> None:
    for view in views_of(scene):
        found = engines.named(name).renderer(scene).render(view.camera, depth=depth).depth
        again = engines.named(name).render(scene, view.camera, depth=depth).depth
        expected = CPU.renderer(scene).render(view.camera, depth=depth).depth
        assert found is not None
        assert again is not None
        assert expected is not None
        assert torch.equal(found, again)
        # A median jumps from one Gaussian to the next where a rounding decides.
        assert ((found.cpu() - expected).abs() > 1e-4 * (1 + expected)).float().mean() < 2e-3
    with pytest.raises(ValueError, match="'expected' or 'median'"):
        engines.named(name).render(scene, camera(), depth="nearest")  # type: ignore[arg-type]


@other_engines
@pytest.mark.parametrize("case", sorted(HARD_CASES))
def test_images_of_hard_cases_are_those_of_the_cpu(name: str, case: str) -> None:
    scene = HARD_CASES[case]()
    image = engines.named(name).render(scene, camera(), background=BACKGROUND).image
    assert close(image.cpu(), CPU.render(scene, camera(), background=BACKGROUND).image, 1e-3)


@other_engines
@pytest.mark.parametrize("degree", [None, 0, 1])
@each_scene
def test_gradients_are_those_of_the_cpu(name: str, scene: Gaussians, degree: int | None) -> None:
    (view, _), found = views_of(scene), []
    for engine in (engines.named(name), CPU):
        leaves = as_leaves(scene)
        engine.render(leaves, view.camera, background=BACKGROUND, sh_degree=degree).image.square().sum().backward()
        found.append(gradients_of(leaves))
    for tensor in TENSOR_NAMES:
        assert bool(found[0][tensor].isfinite().all())
        assert close(found[0][tensor], found[1][tensor], 1e-3), tensor


@other_engines
def test_a_table_that_is_shared_is_drawn_and_gets_its_gradient(name: str) -> None:
    scene, generator = translucent(), torch.Generator().manual_seed(72)
    rows, found = torch.randint(20, (len(scene),), generator=generator), []
    for engine in (engines.named(name), CPU):
        table = scene.shN[:20].clone().requires_grad_()
        # The scene's own harmonics have a place of another degree, and are not read.
        shared = SharedGaussians(scene.with_sh_degree(0), {"shN": (table, rows)})
        image = engine.render(shared, camera()).image
        image.square().sum().backward()
        found.append((image.detach(), table.grad))
    for ours, theirs in zip(*found, strict=True):
        assert ours is not None
        assert theirs is not None
        assert close(ours, theirs, 1e-3)


@other_engines
def test_a_degree_that_is_not_stored_is_refused(name: str) -> None:
    for engine in (engines.named(name), CPU):
        with pytest.raises(ValueError, match="degrees 0 to 1"):
            engine.render(translucent().with_sh_degree(1), camera(), sh_degree=2)


@other_engines
@each_scene
def test_statistics_weights_and_effects_of_removal_are_those_of_the_cpu(name: str, scene: Gaussians) -> None:
    views = views_of(scene)
    model, expected = engines.named(name).begin(scene, RATES), CPU.begin(scene, RATES)
    ours, theirs = (each.gather_statistics(views, BACKGROUND, 0.2).to("cpu") for each in (model, expected))
    assert torch.equal(ours.views_seen, theirs.views_seen)
    assert (ours.max_radius - theirs.max_radius).abs().max().item() <= 1 if len(scene) else True
    assert close(ours.gradient_sum, theirs.gradient_sum, 1e-3)
    for mine, cpus in zip(*(each.blending_weights(views) for each in (model, expected)), strict=True):
        assert close(mine.cpu(), cpus)
    found, wanted = (each.removal_effects(views, BACKGROUND) for each in (model, expected))
    if name in PROBING and len(scene):
        # What is probed is right in the mean, and its slope where no alpha is capped.
        assert float(found.change.sum() / wanted.change.sum()) == pytest.approx(1, abs=0.4)
        uncapped = ~(scene.opacities > 1.5)
        assert close(found.slope.cpu()[uncapped], wanted.slope[uncapped], 1e-3)
    for effect in ("value_gradient", "visibility", *(() if name in PROBING else ("change", "error_change"))):
        assert close(getattr(found, effect).cpu(), getattr(wanted, effect), 1e-3), effect


@other_engines
@each_scene
def test_sensitivity_is_that_of_the_cpu(name: str, scene: Gaussians) -> None:
    if not bool(scene.finite_equivalent().finite().all()):
        scene = scene[scene.finite_equivalent().finite()]
    views, told = views_of(scene), []
    cameras, masks = [view.camera for view in views], [view.mask for view in views]
    found = engines.named(name).sensitivity(scene, cameras, BACKGROUND, masks, lambda *done: told.append(done[:2]))
    expected = CPU.sensitivity(scene, cameras, BACKGROUND, masks)
    assert close(found.colors, expected.colors, 1e-3)
    assert close(found.covariances, expected.covariances, 1e-3)
    assert told == [(1, 2), (2, 2)]


def trained(model: Model, views: list[View], steps: int = 4) -> Iterator[float]:
    for step in range(steps):
        yield model.step(views[step % 2], BACKGROUND, 1 + step % 2, 0.2).loss


@other_engines
@pytest.mark.parametrize("scene", [SCENES["plain"], SCENES["antialiased"], SCENES["far away"]])
def test_the_first_steps_are_those_of_the_cpu(name: str, scene: Gaussians) -> None:
    """Adam's steps are as long for the smallest gradient as for the largest: parameters are compared by how far they
    went, where their gradients are more than rounding."""
    views = views_of(scene)
    model, expected = engines.named(name).begin(scene, RATES), CPU.begin(scene, RATES)
    for ours, theirs in zip(trained(model, views), trained(expected, views), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5)
    assert model.facts == expected.facts == Facts(len(scene), 3, scene.antialiased, scene.origin, 4)
    size = {moment: (model.moments(), expected.moments()) for moment in ("first", "second")}
    for tensor in TENSOR_NAMES:
        for moment, (mine, cpus) in size.items():
            assert close(getattr(getattr(mine, moment), tensor), getattr(getattr(cpus, moment), tensor), 2e-3), moment
        moved, wanted = (getattr(each.gaussians(), tensor) - getattr(scene, tensor) for each in (model, expected))
        certain = getattr(size["second"][1].second, tensor).sqrt()
        certain = certain > 1e-3 * certain.max()
        assert certain.float().mean() > 0.1
        assert close(moved[certain], wanted[certain], 2e-2), tensor


@other_engines
def test_a_step_gives_the_gradients_asked_for_and_adds_to_the_statistics(name: str) -> None:
    scene = SCENES["plain"]
    view, steps, gathered = views_of(scene)[1], [], []
    for engine in (engines.named(name), CPU):
        model = engine.begin(scene, RATES)
        statistics = model.gather_statistics([view], BACKGROUND, 0.2)
        steps.append(model.step(view, BACKGROUND, 3, 0.2, statistics, ("opacities", "scales")))
        gathered.append(statistics.to("cpu"))
    assert set(steps[0].gradients) == {"opacities", "scales"}
    for tensor, gradient in steps[0].gradients.items():
        assert close(gradient.cpu(), steps[1].gradients[tensor], 1e-3)
    assert int(gathered[0].views_seen.max()) == 2
    assert torch.equal(gathered[0].views_seen, gathered[1].views_seen)
    assert close(gathered[0].gradient_sum, gathered[1].gradient_sum, 1e-3)


@pytest.mark.parametrize("name", engines.ENGINES)
def test_asking_for_gradients_changes_no_bit_of_a_step(name: str) -> None:
    scene, asked = SCENES["plain"], []
    for wanted in ((), ("scales",)):
        model = engines.named(name).begin(scene, RATES)
        losses = [model.step(view, BACKGROUND, 3, 0.2, None, wanted).loss for view in views_of(scene)]
        asked.append((losses, model.gaussians()))
    assert asked[0][0] == asked[1][0]
    for tensor in TENSOR_NAMES:
        torch.testing.assert_close(getattr(asked[0][1], tensor), getattr(asked[1][1], tensor), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", engines.ENGINES)
def test_a_loss_that_is_not_finite_changes_nothing(name: str) -> None:
    scene = SCENES["plain"]
    model = engines.named(name).begin(scene, RATES)
    view = replace(views_of(scene)[0], photo=torch.full((37, 52, 3), math.nan))
    assert not math.isfinite(model.step(view, BACKGROUND, 3, 0.2).loss)
    for tensor in TENSOR_NAMES:
        assert torch.equal(model.attribute(tensor).cpu(), getattr(scene, tensor))
    assert model.facts.steps == 0


@pytest.mark.parametrize("name", engines.ENGINES)
@pytest.mark.parametrize("count", [12, 16, 70])
def test_what_is_done_to_gaussians_is_done_by_name_and_in_their_shapes(name: str, count: int) -> None:
    scene = translucent(count)
    model = engines.named(name).begin(scene, RATES)
    for step in range(2):
        model.step(views_of(scene)[step], BACKGROUND, 3, 0.2)
    before, moments = model.gaussians(), model.moments()
    for tensor in TENSOR_NAMES:
        values = model.attribute(tensor)
        assert torch.equal(values.cpu(), getattr(before, tensor))
        values.zero_()  # it is a copy
        assert torch.equal(model.attribute(tensor).cpu(), getattr(before, tensor))
        rows = torch.tensor([7, 2])
        written = torch.full_like(getattr(before, tensor)[rows], 0.125)
        model.write(tensor, rows, written)
        assert torch.equal(model.attribute(tensor).cpu()[rows], written)
    sources, fresh = torch.tensor([5, 2, 2, 11]), torch.tensor([False, False, True, False])
    model.rebuild(sources, fresh)
    assert len(model) == 4
    again = model.moments()
    for tensor in TENSOR_NAMES:
        expected = getattr(before, tensor).clone()
        expected[torch.tensor([7, 2])] = 0.125
        assert torch.equal(getattr(model.gaussians(), tensor), expected[sources])
        for moment in ("first", "second"):
            values = getattr(getattr(moments, moment), tensor)[sources].clone()
            values[2] = 0
            assert torch.equal(getattr(getattr(again, moment), tensor), values)
    model.clear_moments("scales")
    assert not model.moments().second.scales.any()
    assert torch.equal(model.moments().second.quats, again.second.quats)
    model.select(torch.tensor([True, False, False, True]))
    assert torch.equal(model.attribute("means").cpu(), expected_means(before)[sources[[0, 3]]])
    model.set_rate("means", 0.5)
    kept = model.attribute("means")
    model.step(views_of(scene)[0], BACKGROUND, 0, 0.2)
    assert float((model.attribute("means") - kept).abs().max()) > 0.01


def expected_means(before: Gaussians) -> Tensor:
    means = before.means.clone()
    means[torch.tensor([7, 2])] = 0.125
    return means


@pytest.mark.parametrize("name", engines.ENGINES)
@each_scene
def test_a_model_is_what_its_tensors_and_facts_say(name: str, scene: Gaussians) -> None:
    engine = engines.named(name)
    model = engine.begin(scene, RATES)
    for view in views_of(scene):
        model.step(view, BACKGROUND, scene.sh_degree, 0.2)
    tensors = {key: values.clone() for key, values in model.tensors().items()}
    layout = engine.layout(model.facts)
    assert {key: list(shape) for key, (_, shape) in layout.items()} == {k: list(v.shape) for k, v in tensors.items()}
    assert all(kind == "F32" for kind, _ in layout.values())
    again = engine.load(tensors, model.facts, RATES)
    for view in views_of(scene):
        assert model.step(view, BACKGROUND, 0, 0.2).loss == again.step(view, BACKGROUND, 0, 0.2).loss
    for tensor in TENSOR_NAMES:
        found, expected = getattr(again.gaussians(), tensor), getattr(model.gaussians(), tensor)
        assert torch.equal(found.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("name", engines.ENGINES)
def test_a_model_goes_on_with_the_moments_it_is_given(name: str) -> None:
    """Which is how a scene changes hands: a step of the CPU's engine, another of this one."""
    scene = SCENES["plain"]
    views = views_of(scene)
    first = CPU.begin(scene, RATES)
    first.step(views[0], BACKGROUND, 3, 0.2)
    second = engines.named(name).begin(first.gaussians(), RATES, first.moments())
    assert [first.step(views[1], BACKGROUND, 3, 0.2).loss] == pytest.approx(
        [second.step(views[1], BACKGROUND, 3, 0.2).loss], rel=1e-5
    )
    assert close(second.moments().first.sh0, first.moments().first.sh0, 1e-3)
    assert second.facts.steps == 2


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_in_plain_torch_is_the_loss(masked: bool) -> None:
    generator = torch.Generator().manual_seed(73)
    image = torch.rand(37, 52, 3, generator=generator)
    photo = torch.randint(256, (37, 52, 3), generator=generator, dtype=torch.uint8)
    mask = torch.rand(37, 52, generator=generator) < 0.5 if masked else None
    found = []
    for loss in (plain_loss, photometric_loss):
        leaf = image.clone().requires_grad_()
        value = loss(leaf, photo, 0.3, mask)
        (gradient,) = torch.autograd.grad(value, leaf)
        found.append((float(value.detach()), gradient))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert close(found[0][1], found[1][1], 1e-4)


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no engine 'steam'; give one of cpu, torch"):
        engines.named("steam")


def test_a_rasteriser_of_ones_own_is_what_draws() -> None:
    """Another package's is called in a function of this form; here it is our own, with all colours swapped."""
    from leansplat.engines.torch.engine import TorchEngine
    from leansplat.engines.torch.rasterizer import Rasterised, rasterise

    def swapped(
        gaussians: Gaussians, seen_by: Camera, background: Tensor, degree: int, covariances: Tensor | None = None, /
    ) -> Rasterised:
        drawn = rasterise(gaussians, seen_by, background, degree, covariances)
        return drawn._replace(image=drawn.image.flip(-1))

    scene = SCENES["plain"]
    engine = TorchEngine("swapped", swapped)
    expected = CPU.render(scene, camera(), background=BACKGROUND[::-1]).image.flip(-1)
    assert close(engine.renderer(scene).render(camera(), BACKGROUND[::-1]).image, expected)
    assert engine.begin(scene, RATES).engine == "swapped"


@other_engines
def test_photos_of_floats_count_as_those_of_bytes(name: str) -> None:
    scene = translucent(60)
    views = views_of(scene)
    floats = [replace(view, photo=view.photo.to(torch.float32) / 255) for view in views]
    model = engines.named(name).begin(scene, RATES)
    bytes_, same = (model.removal_effects(each, BACKGROUND) for each in (views, floats))
    assert close(same.slope, bytes_.slope)
    assert close(CPU.begin(scene, RATES).removal_effects(floats, BACKGROUND).slope, bytes_.slope.cpu())


@other_engines
def test_a_step_with_several_views_is_that_of_the_cpu(name: str) -> None:
    scene, moved, gathered = SCENES["plain"], [], []
    for engine in (engines.named(name), CPU):
        model = engine.begin(scene, RATES)
        statistics = ViewStatistics.zeros(len(scene), device=model.device)
        losses = [model.step_batch(views_of(scene), BACKGROUND, 2, 0.2, statistics).loss for _ in range(2)]
        moved.append((losses, model.gaussians(), model.moments()))
        gathered.append(statistics.to("cpu"))
    assert moved[0][0] == pytest.approx(moved[1][0], rel=2e-5)
    assert moved[0][2].steps == moved[1][2].steps == 4
    assert torch.equal(gathered[0].views_seen, gathered[1].views_seen)
    assert close(gathered[0].gradient_sum, gathered[1].gradient_sum, 1e-3)
    for tensor in TENSOR_NAMES:
        certain = getattr(moved[1][2].second, tensor).sqrt()
        certain = certain > 1e-3 * certain.max()
        mine, cpus = (getattr(each[1], tensor) - getattr(scene, tensor) for each in moved)
        assert close(mine[certain], cpus[certain], 2e-2), tensor
