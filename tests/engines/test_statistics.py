"""Per-Gaussian statistics against brute force over the reference's weights, alphas and gradients."""

from __future__ import annotations

import pytest
import torch
from support.reference_renderer import reaches_image
from support.rendered_scenes import camera, everything, surfaces
from support.rendering_comparison import compare, relative_error
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.cpu import ViewStatistics, pack, render
from leansplat.gaussians import Gaussians

SCENES = {"surfaces": lambda: surfaces(300, seed=50), "everything": everything}
VIEWS = {"even": camera(), "off centre": camera(45, 33, off_centre=True)}
each_scene = pytest.mark.parametrize("name", sorted(SCENES))
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())


def scattered(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """(count, ...) with `values` at `rows` and zeros elsewhere."""
    whole = torch.zeros(count, *values.shape[1:], dtype=values.dtype)
    whole[rows] = values
    return whole


@each_scene
@each_view
def test_views_seen_counts_what_reaches_the_image(name: str, view: Camera) -> None:
    gaussians = SCENES[name]()
    statistics = ViewStatistics.zeros(len(gaussians))
    pair = compare(gaussians, view, statistics=statistics)
    surely, perhaps = (
        scattered(bound, pair.theirs.projection.rows, len(gaussians)) for bound in reaches_image(pair.theirs, view)
    )
    assert surely.sum() > 100
    assert (~perhaps).sum() > 0
    assert set(statistics.views_seen.tolist()) == {0, 1}
    seen = statistics.views_seen.bool()
    # The bounds themselves are float64: leave out Gaussians that are within rounding of them.
    alphas = scattered(pair.theirs.alphas.detach().amax(dim=(1, 2)), pair.theirs.projection.rows, len(gaussians))
    clear = (alphas * 255 - 1).abs() > 1e-4
    assert (seen | ~surely)[clear].all()
    assert not (seen & ~perhaps).any()


@each_scene
@each_view
def test_max_radius_is_three_deviations_of_the_long_axis(name: str, view: Camera) -> None:
    gaussians = SCENES[name]()
    statistics = ViewStatistics.zeros(len(gaussians))
    projection = compare(gaussians, view, statistics=statistics).theirs.projection
    exact = 3 * torch.linalg.eigvalsh(projection.covariances.detach())[:, 1].sqrt()
    exact = scattered(exact, projection.rows, len(gaussians))
    expected = scattered(projection.radii().detach(), projection.rows, len(gaussians))
    seen = statistics.views_seen.bool()
    clear = seen & ((exact - exact.round()).abs() > 1e-5 * exact)
    assert clear.sum() > 100
    assert torch.equal(statistics.max_radius[clear].double(), expected[clear])
    assert not statistics.max_radius[~seen].any()


@each_scene
@each_view
@pytest.mark.parametrize("antialiased", [False, True])
def test_gradient_sum_is_the_norm_of_the_gradient_at_the_projected_mean(
    name: str, view: Camera, antialiased: bool
) -> None:
    gaussians = SCENES[name]()
    gaussians = Gaussians(*(getattr(gaussians, t) for t in ("means", "quats", "scales", "opacities", "sh0", "shN")),
                          antialiased=antialiased)  # fmt: skip
    statistics = ViewStatistics.zeros(len(gaussians))
    pair = compare(gaussians, view, background=(0.4, 0.4, 0.4), statistics=statistics)
    half_size = torch.tensor([view.width / 2, view.height / 2], dtype=torch.float64)
    expected = (pair.screen_gradients * half_size).norm(dim=1)
    assert (expected > 0).sum() > 100
    assert relative_error(statistics.gradient_sum, expected) < 1e-5


@each_scene
@each_view
def test_weights_are_summed_and_maximised_over_pixels(name: str, view: Camera) -> None:
    gaussians = SCENES[name]()
    statistics = ViewStatistics.zeros(len(gaussians), weights=True)
    pair = compare(gaussians, view, statistics=statistics)
    weights = pair.theirs.weights.detach()
    rows = pair.theirs.projection.rows
    # An undecided pixel can move each weight behind it by its alpha of 1/255, or by a last layer of 1e-4.
    slack = scattered((weights * 0.01 + 1 / 255)[:, ~pair.theirs.decided].sum(dim=1), rows, len(gaussians))
    total = scattered(weights.sum(dim=(1, 2)), rows, len(gaussians))
    largest = scattered(weights.amax(dim=(1, 2)), rows, len(gaussians))
    assert statistics.weight_sum is not None
    assert statistics.weight_max is not None
    assert (total > 0).sum() > 100
    assert ((statistics.weight_sum - total).abs() <= 1e-4 * total + 1e-5 + slack).all()
    assert ((statistics.weight_max - largest).abs() <= 1e-4 * largest + 1e-5 + slack).all()
    assert relative_error(statistics.weight_sum, total) < 1e-3


def test_weights_and_transmittance_share_out_all_light() -> None:
    gaussians = surfaces(seed=51)
    statistics = ViewStatistics.zeros(len(gaussians), weights=True)
    alpha = render(gaussians, camera(), statistics=statistics).alpha
    assert statistics.weight_sum is not None
    assert float(statistics.weight_sum.sum()) == pytest.approx(float(alpha.sum()), rel=1e-5)


def test_weights_in_pixels_that_a_mask_hides_do_not_count() -> None:
    gaussians, view = surfaces(seed=51), camera()
    mask = torch.rand(view.height, view.width, generator=torch.Generator().manual_seed(53)) < 0.4
    whole, inside, outside = (ViewStatistics.zeros(len(gaussians), weights=True) for _ in range(3))
    images = [
        render(gaussians, view, statistics=statistics, mask=kept).image
        for statistics, kept in ((whole, None), (inside, mask), (outside, ~mask))
    ]
    assert torch.equal(images[0], images[1])
    torch.testing.assert_close(inside.weight_sum + outside.weight_sum, whole.weight_sum)
    assert torch.equal(torch.maximum(inside.weight_max, outside.weight_max), whole.weight_max)
    assert float(inside.weight_sum.sum()) == pytest.approx(float(render(gaussians, view).alpha[mask].sum()), rel=1e-5)


def test_statistics_add_up_over_views() -> None:
    gaussians = surfaces(300, seed=52)
    together = ViewStatistics.zeros(len(gaussians), weights=True)
    apart = []
    for view in VIEWS.values():
        apart.append(ViewStatistics.zeros(len(gaussians), weights=True))
        for statistics in (together, apart[-1]):
            packed = pack(gaussians)
            packed.data.requires_grad_()
            render(packed, view, statistics=statistics).image.square().sum().backward()
    first, second = apart
    assert torch.equal(together.views_seen, first.views_seen + second.views_seen)
    assert torch.equal(together.max_radius, torch.maximum(first.max_radius, second.max_radius))
    assert torch.allclose(together.gradient_sum, first.gradient_sum + second.gradient_sum)
    assert first.weight_sum is not None
    assert second.weight_sum is not None
    assert together.weight_sum is not None
    assert torch.allclose(together.weight_sum, first.weight_sum + second.weight_sum)
    assert first.weight_max is not None
    assert second.weight_max is not None
    assert together.weight_max is not None
    assert torch.equal(together.weight_max, torch.maximum(first.weight_max, second.weight_max))
    mean = together.mean_gradient()
    seen = together.views_seen > 0
    assert torch.allclose(mean[seen], together.gradient_sum[seen] / together.views_seen[seen])
    assert not mean[~seen].any()


def test_gradient_sum_waits_for_the_backward_pass() -> None:
    packed = pack(surfaces(100, seed=53))
    packed.data.requires_grad_()
    statistics = ViewStatistics.zeros(100)
    image = render(packed, camera(), statistics=statistics).image
    assert statistics.views_seen.any()
    assert not statistics.gradient_sum.any()
    image.sum().backward()
    assert statistics.gradient_sum.any()


def test_statistics_change_neither_image_nor_gradients() -> None:
    packed = pack(surfaces(seed=54))
    results = []
    for statistics in (None, ViewStatistics.zeros(len(packed), weights=True)):
        packed.data.grad = None
        packed.data.requires_grad_()
        image = render(packed, camera(), statistics=statistics).image
        image.square().sum().backward()
        results.append((image.detach().clone(), packed.data.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] is not None
    assert results[1][1] is not None
    assert torch.equal(results[0][1], results[1][1])


def test_statistics_of_another_scene_are_refused() -> None:
    with pytest.raises(ValueError, match="statistics"):
        render(surfaces(20), camera(), statistics=ViewStatistics.zeros(21))
