"""When the published recipe clones, splits, prunes and resets, and what it does then."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support.tiny import blobs
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Points
from leansplat.engines.engine import Model, Moments
from leansplat.engines.statistics import ViewStatistics
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.ordering import morton_order
from leansplat.training.initialisation import gaussians_from_points
from leansplat.training.state import TrainingState
from leansplat.training.strategies.densification import (
    Densification,
    DensificationCounts,
    densify,
    reset_opacities,
    too_large,
)

CONFIG = Densification()
EXTENT = 2.0
SMALL, LARGE = math.log(0.019), math.log(0.021)
"""Log scales on both sides of `densify_size` times the extent."""
CAMERAS = torch.zeros(1, 3, dtype=torch.float64)
"""One, in the middle of `blobs`: all of them are within reach."""


def statistics(gradients: list[float], seen: int = 4) -> ViewStatistics:
    found = ViewStatistics.zeros(len(gradients))
    found.views_seen.fill_(seen)
    found.gradient_sum.copy_(seen * torch.tensor(gradients))
    return found


def scene(scales: list[float], opacities: list[float] | None = None) -> Gaussians:
    gaussians = blobs(len(scales))
    values = torch.tensor(opacities or [0.5] * len(scales))
    return replace(gaussians, scales=torch.tensor(scales)[:, None].repeat(1, 3), opacities=values.logit())


def run(
    gaussians: Gaussians,
    found: ViewStatistics,
    config: Densification = CONFIG,
    cameras: Tensor | None = None,
    seed: int = 0,
) -> tuple[Model, DensificationCounts]:
    # Moments that tell where they come from: the first scalar of sh0 is unique.
    labelled = {name: torch.zeros_like(getattr(gaussians, name)) for name in TENSOR_NAMES}
    for values in labelled.values():
        values[:] = gaussians.sh0[:, 0, 0].reshape(-1, *[1] * (values.dim() - 1))
    moments = replace(gaussians, **labelled)
    model = engines.named("cpu").begin(gaussians, {}, Moments(moments, moments, 1))
    generator = torch.Generator().manual_seed(seed)
    state = TrainingState(model, found, generator, torch.zeros(0, dtype=torch.int64), 0, EXTENT)
    # What a strategy remembers of each Gaussian goes where it goes.
    state.memory["learned-mask"] = {"mask": gaussians.sh0[:, 0].clone()}
    counts = densify(state, config, cameras=cameras)
    assert torch.equal(state.memory["learned-mask"]["mask"], model.gaussians().sh0[:, 0])
    assert len(state.statistics.views_seen) == len(model)
    assert not state.statistics.views_seen.any()
    return model, counts


def labels(model: Model) -> list[float]:
    return sorted(model.gaussians().sh0[:, 0, 0].tolist())


def test_densification_happens_every_hundred_steps_inside_its_span() -> None:
    steps = [step for step in range(1, 30_001) if CONFIG.densifies(step)]
    assert steps == list(range(600, 15_000, 100))


def test_opacities_are_reset_every_three_thousand_steps_while_densifying() -> None:
    steps = [step for step in range(1, 30_001) if CONFIG.resets_opacities(step)]
    assert steps == [3000, 6000, 9000, 12_000]


def test_a_white_background_adds_a_reset_where_densification_starts() -> None:
    steps = [step for step in range(1, 30_001) if CONFIG.resets_opacities(step, white_background=True)]
    assert steps == [500, 3000, 6000, 9000, 12_000]


def test_large_gaussians_are_pruned_only_after_the_first_reset() -> None:
    assert not CONFIG.prunes_large(3000)
    assert CONFIG.prunes_large(3100)


def test_large_gaussians_are_pruned_only_after_densifications_that_could_split_them() -> None:
    short = replace(CONFIG, after=0, every=100, reset_every=300)
    assert not short.prunes_large(2500)
    assert short.prunes_large(2600)
    assert replace(short, prune_large_after=0).prunes_large(400)


def test_statistics_are_gathered_until_densification_ends() -> None:
    assert CONFIG.wants_statistics(1)
    assert CONFIG.wants_statistics(14_999)
    assert not CONFIG.wants_statistics(15_000)


def test_without_gradient_nothing_grows() -> None:
    start = scene([SMALL, LARGE, SMALL])
    model, counts = run(start, statistics([1e-4, 1.9e-4, 0.0]))
    assert counts == DensificationCounts(cloned=0, split=0, pruned=0, large=0, gaussians=3)
    assert labels(model) == sorted(start.sh0[:, 0, 0].tolist())


def test_small_gaussians_with_gradient_are_cloned_as_they_are() -> None:
    start = scene([SMALL, SMALL, SMALL])
    model, counts = run(start, statistics([0.0, 3e-4, 0.0]))
    assert counts == DensificationCounts(cloned=1, split=0, pruned=0, large=0, gaussians=4)
    result = model.gaussians()
    twins = result[result.sh0[:, 0, 0] == start.sh0[1, 0, 0]]
    assert len(twins) == 2
    for name in ("means", "quats", "scales", "opacities", "sh0"):
        assert bool((getattr(twins, name) == getattr(start, name)[1]).all())


def test_large_gaussians_with_gradient_become_two_smaller_ones() -> None:
    start = scene([LARGE, SMALL])
    model, counts = run(start, statistics([3e-4, 0.0]))
    assert counts == DensificationCounts(cloned=0, split=1, pruned=0, large=0, gaussians=3)
    result = model.gaussians()
    halves = result[result.sh0[:, 0, 0] == start.sh0[0, 0, 0]]
    torch.testing.assert_close(halves.scales.exp(), torch.full((2, 3), 0.021 / 1.6))
    assert bool((halves.opacities == start.opacities[0]).all())
    assert bool((halves.means[0] != halves.means[1]).all())
    assert bool((halves.means != start.means[0]).all())


def test_halves_are_distributed_as_the_gaussian_that_was_split() -> None:
    count = 20_000
    quat = torch.tensor([0.9, 0.3, -0.2, 0.5]) * 1.7  # length does not matter
    scales = torch.tensor([0.5, 0.1, 0.03])
    start = replace(
        scene([LARGE] * count),
        means=torch.tensor([1.0, 2.0, 3.0]).repeat(count, 1),
        quats=quat.repeat(count, 1),
        scales=scales.log().repeat(count, 1),
    )
    model, counts = run(start, statistics([3e-4] * count))
    assert counts.gaussians == 2 * count
    w, x, y, z = (quat / quat.norm()).double().tolist()
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).double()
    offsets = model.gaussians().means.double() - torch.tensor([1.0, 2.0, 3.0])
    local = (offsets @ rotation) / scales
    # 40,000 draws: standard errors of 0.005 for means and about 0.007 for second moments; five of them.
    torch.testing.assert_close(local.mean(dim=0), torch.zeros(3).double(), atol=0.025, rtol=0)
    torch.testing.assert_close(local.T @ local / len(local), torch.eye(3).double(), atol=0.035, rtol=0)


def test_the_mean_gradient_over_views_that_see_a_gaussian_decides() -> None:
    found = ViewStatistics.zeros(3)
    found.views_seen.copy_(torch.tensor([1, 10, 0]))
    found.gradient_sum.copy_(torch.tensor([3e-4, 10e-4, 0.0]))
    _, counts = run(scene([SMALL] * 3), found)
    assert counts.cloned == 1


def test_transparent_gaussians_are_removed() -> None:
    start = scene([SMALL] * 3, opacities=[0.5, 0.0049, 0.0051])
    model, counts = run(start, statistics([0.0] * 3))
    assert counts == DensificationCounts(cloned=0, split=0, pruned=1, large=0, gaussians=2)
    assert labels(model) == sorted(start.sh0[[0, 2], 0, 0].tolist())


@pytest.mark.parametrize(("cameras", "left"), [(None, 2), (CAMERAS, 1)])
def test_huge_gaussians_are_removed_only_when_asked(cameras: Tensor | None, left: int) -> None:
    start = scene([math.log(0.21), math.log(0.19)])
    model, counts = run(start, statistics([0.0, 0.0]), cameras=cameras)
    assert counts.gaussians == left
    assert counts.large == counts.pruned == 2 - left
    assert start.sh0[1, 0, 0].item() in labels(model)


def test_what_is_removed_for_being_transparent_does_not_count_as_large() -> None:
    start = scene([math.log(0.21)] * 3, opacities=[0.5, 0.001, 0.001])
    _, counts = run(start, statistics([0.0] * 3), cameras=CAMERAS)
    assert (counts.pruned, counts.large, counts.gaussians) == (3, 1, 0)


@pytest.mark.parametrize(("radius", "left"), [(0.0, 2), (20.0, 1)])
def test_gaussians_large_on_screen_are_removed_only_with_a_limit(radius: float, left: int) -> None:
    found = statistics([0.0, 0.0])
    found.max_radius.copy_(torch.tensor([21.0, 19.0]))
    start = scene([SMALL, SMALL])
    model, counts = run(start, found, replace(CONFIG, prune_radius=radius), cameras=CAMERAS)
    assert counts.gaussians == left
    assert start.sh0[1, 0, 0].item() in labels(model)


def test_within_two_extents_of_a_camera_the_limit_of_size_is_the_published_one() -> None:
    generator = torch.Generator().manual_seed(0)
    cameras = torch.randn(5, 3, generator=generator)
    near = (
        cameras[:1] + torch.nn.functional.normalize(torch.randn(1000, 3, generator=generator), dim=1) * EXTENT * 0.999
    )
    size = torch.rand(1000, generator=generator)
    assert torch.equal(too_large(near, size, cameras, CONFIG, EXTENT), size > 0.1 * EXTENT)


@pytest.mark.parametrize("times", [2.001, 3.0, 10.0])
def test_beyond_them_a_gaussian_may_be_as_large_as_it_is_away_from_what_cameras_reach(times: float) -> None:
    cameras = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    means = torch.tensor([[0.0, 0.0, times * EXTENT]] * 2)
    limit = (times - 1) * EXTENT
    assert too_large(means, torch.tensor([0.999, 1.001]) * limit, cameras, CONFIG, EXTENT).tolist() == [False, True]


def test_no_unit_of_length_changes_what_is_too_large() -> None:
    generator = torch.Generator().manual_seed(1)
    means, cameras = 5 * torch.randn(500, 3, generator=generator), torch.randn(4, 3, generator=generator)
    size = torch.rand(500, generator=generator) * 3
    found = too_large(means, size, cameras, CONFIG, EXTENT)
    assert 0 < int(found.sum()) < 500
    assert torch.equal(found, too_large(1024 * means, 1024 * size, 1024 * cameras, CONFIG, 1024 * EXTENT))


@pytest.mark.parametrize("spread", [5.0, 0.5, 0.01], ids=["walk", "arm's length", "tripod"])
def test_a_start_that_is_sparse_and_distant_loses_nothing_for_its_size(spread: float) -> None:
    generator = torch.Generator().manual_seed(2)
    box = torch.tensor([40.0, 30.0, 25.0])
    positions = box * torch.rand(200, 3, generator=generator) + torch.tensor([-20.0, -15.0, 20.0])
    cameras = spread * torch.nn.functional.normalize(torch.randn(12, 3, generator=generator), dim=1)
    extent = 1.1 * spread
    start = gaussians_from_points(Points(positions, torch.rand(200, 3, generator=generator)), extent)
    size = start.scales[:, 0].exp()
    assert int((size > 0.1 * extent).sum()) == 200
    assert not too_large(start.means, size, cameras, CONFIG, extent).any()


def test_moments_stay_with_their_gaussians_and_new_ones_have_none() -> None:
    start = scene([SMALL] * 20 + [LARGE] * 20, opacities=[0.5, 0.001] * 20)
    gradients = [3e-4 if index % 3 == 0 else 0.0 for index in range(40)]
    model, counts = run(start, statistics(gradients))
    sh0 = model.gaussians().sh0[:, 0, 0]
    moments = model.moments()
    first, second = (
        torch.cat([getattr(moment, name).reshape(counts.gaussians, -1) for name in TENSOR_NAMES], dim=1)
        for moment in (moments.first, moments.second)
    )
    old = first[:, 0] != 0
    assert bool((first[old] == sh0[old, None]).all())
    assert bool((second[old] == sh0[old, None]).all())
    assert not first[~old].any()
    assert not second[~old].any()
    visible = list(range(0, 40, 2))
    assert int(old.sum()) == sum(index < 20 or index % 3 != 0 for index in visible)
    assert int((~old).sum()) == sum(index % 3 == 0 for index in visible if index < 20) + 2 * sum(
        index % 3 == 0 for index in visible if index >= 20
    )


def test_the_result_is_in_morton_order() -> None:
    model, counts = run(scene([SMALL, LARGE] * 50), statistics([3e-4] * 100))
    order = morton_order(model.gaussians().means)
    assert order.tolist() == list(range(counts.gaussians))


def test_the_same_seed_gives_the_same_bits() -> None:
    start, found = scene([LARGE] * 30), statistics([3e-4] * 30)
    first, again, other = (run(start, found, seed=seed)[0].attribute("means") for seed in (1, 1, 2))
    assert bool((first == again).all())
    assert not bool((first == other).all())


def test_every_gaussian_may_go() -> None:
    model, counts = run(scene([SMALL] * 3, opacities=[0.001] * 3), statistics([0.0] * 3))
    assert counts.gaussians == len(model) == 0


def test_a_reset_lowers_opacities_to_the_ceiling_and_clears_only_their_moments() -> None:
    start = scene([SMALL] * 5, opacities=[0.9, 0.5, 0.011, 0.009, 0.006])
    ones = replace(start, **{name: torch.ones_like(getattr(start, name)) for name in TENSOR_NAMES})
    model = engines.named("cpu").begin(start, {}, Moments(ones, ones, 1))
    reset_opacities(model, 0.01)
    opacity = model.gaussians().opacities.sigmoid()
    torch.testing.assert_close(opacity, torch.tensor([0.01, 0.01, 0.01, 0.009, 0.006]))
    moments = model.moments()
    for moment in (moments.first, moments.second):
        assert not moment.opacities.any()
        assert all(bool(getattr(moment, name).all()) for name in TENSOR_NAMES if name != "opacities")
