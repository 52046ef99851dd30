"""The image against the float64 reference, and properties every correct renderer has."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support.rendered_scenes import HARD_CASES, camera, everything, huge, scene, surfaces, to_world
from support.rendering_comparison import as_leaves, compare, gradients_of, largest_difference, relative_error
from torch import Tensor

from leansplat.cameras import look_at
from leansplat.engines.cpu import pack, rasterizer, render
from leansplat.errors import LeansplatError
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate, empty

FRONT = to_world(torch.tensor([[0.0, 0.0, 3.0]]))
"""(1, 3) a mean that projects to the principal point of `camera()`."""


def one(means: Tensor = FRONT, *, size: float = 0.2, opacity: float = 0.5, color: float = 1.0) -> Gaussians:
    """Round grey Gaussians at `means`."""
    gaussians = scene(
        means,
        log_scales=torch.full((len(means), 3), math.log(size)),
        opacities=torch.full((len(means),), opacity).logit(),
        sh_degree=0,
    )
    return replace(gaussians, sh0=torch.full((len(means), 1, 3), (color - 0.5) / 0.28209479177387814))


# Against the reference


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_image_of_surfaces_equals_the_reference(sh_degree: int, antialiased: bool) -> None:
    gaussians = surfaces(seed=sh_degree + 20, sh_degree=sh_degree, antialiased=antialiased)
    pair = compare(gaussians, camera(), background=(0.9, 0.1, 0.4))
    assert largest_difference(pair) < 5e-5
    assert relative_error(pair.ours.image.detach()[pair.theirs.decided], pair.theirs.image[pair.theirs.decided]) < 2e-6


@pytest.mark.parametrize("used", [0, 1, 2])
def test_image_with_fewer_coefficients_equals_the_reference(used: int) -> None:
    assert largest_difference(compare(surfaces(seed=30), camera(), sh_degree=used)) < 5e-5


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (40, 1), (15, 16), (16, 17), (17, 33), (61, 47)])
@pytest.mark.parametrize("off_centre", [False, True])
def test_image_equals_the_reference_at_every_size(width: int, height: int, off_centre: bool) -> None:
    pair = compare(surfaces(300, seed=31), camera(width, height, off_centre=off_centre), background=(0.1, 0.2, 0.3))
    assert tuple(pair.ours.image.shape) == (height, width, 3)
    assert tuple(pair.ours.alpha.shape) == (height, width)
    assert largest_difference(pair) < 5e-5


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", sorted(HARD_CASES))
def test_image_of_hard_cases_equals_the_reference(name: str, antialiased: bool) -> None:
    pair = compare(replace(HARD_CASES[name](), antialiased=antialiased), camera(), background=(0.2, 0.4, 0.6))
    assert largest_difference(pair) < 1e-4


def test_image_of_everything_at_once_equals_the_reference() -> None:
    assert largest_difference(compare(everything(), camera(64, 48, off_centre=True))) < 1e-4


def test_gaussians_that_cover_every_tile_all_reach_it() -> None:
    pair = compare(replace(huge(60), opacities=torch.full((60,), -4.0)), camera(160, 120), margin=1e-5)
    assert pair.theirs.alpha.min() > 0.3
    assert largest_difference(pair) < 1e-4


def test_depth_order_holds_over_five_orders_of_magnitude() -> None:
    random = torch.Generator().manual_seed(3)
    depths = 0.25 * 10 ** (5 * torch.rand(80, 1, generator=random))
    means = to_world(torch.cat([0.05 * torch.randn(80, 2, generator=random) * depths, depths], dim=1))
    log_scales = (0.05 * depths).log().expand(-1, 3).contiguous()
    pair = compare(scene(means, log_scales=log_scales, seed=4), camera())
    assert largest_difference(pair) < 1e-4


# Closed forms


def test_gaussian_in_front_of_the_camera_has_its_closed_form() -> None:
    rendering = render(one(size=0.2, opacity=0.6, color=0.8), camera(31, 31))
    variance = (camera(31, 31).fx * 0.2 / 3.0) ** 2 + 0.3
    offset = torch.arange(31, dtype=torch.float64) + 0.5 - 15.5
    expected = 0.6 * torch.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / variance)
    clear = (expected * 255 - 1).abs() > 1e-3
    expected[expected < 1 / 255] = 0
    assert torch.allclose(rendering.alpha.double()[clear], expected[clear], atol=2e-6)
    assert torch.allclose(rendering.image.double()[clear], 0.8 * expected[clear][:, None].expand(-1, 3), atol=2e-6)


@pytest.mark.parametrize(("opacity", "count"), [(0.5, 5), (0.5, 100), (0.02, 3000), (0.97, 10)])
def test_pile_of_equal_gaussians_lets_through_what_its_layers_do(opacity: float, count: int) -> None:
    transmittance, alpha = 1.0, min(0.99, opacity)
    for _ in range(count):
        if transmittance * (1 - alpha) < 1e-4:
            break
        transmittance *= 1 - alpha
    rendering = render(one(FRONT.repeat(count, 1), opacity=opacity), camera(31, 31))
    assert float(rendering.alpha[15, 15]) == pytest.approx(1 - transmittance, abs=2e-5)


def test_background_fills_what_the_gaussians_leave() -> None:
    black = render(surfaces(seed=33), camera())
    colored = render(surfaces(seed=33), camera(), background=(0.2, 0.5, 0.9))
    expected = black.image + (1 - black.alpha)[..., None] * torch.tensor([0.2, 0.5, 0.9])
    assert torch.allclose(colored.image, expected, atol=1e-6)
    assert torch.equal(colored.alpha, black.alpha)


@pytest.mark.parametrize("swap", [False, True])
def test_nearer_gaussian_hides_the_farther_one_in_any_order(swap: bool) -> None:
    near, far = (one(to_world(torch.tensor([[0.0, 0.0, z]])), opacity=0.999, color=c) for z, c in ((2, 1.0), (4, 0.0)))
    image = render(concatenate([far, near] if swap else [near, far]), camera(31, 31)).image
    assert float(image[15, 15, 0]) == pytest.approx(0.99, abs=1e-4)


def test_antialiasing_dims_what_is_smaller_than_a_pixel() -> None:
    tiny = one(size=0.02, opacity=0.9)
    plain = float(render(tiny, camera(31, 31)).alpha[15, 15])
    dimmed = float(render(replace(tiny, antialiased=True), camera(31, 31)).alpha[15, 15])
    variance = (camera(31, 31).fx * 0.02 / 3.0) ** 2
    assert plain == pytest.approx(0.9, abs=1e-3)
    assert dimmed == pytest.approx(0.9 * variance / (variance + 0.3), rel=1e-4)


# Properties


def test_image_does_not_depend_on_the_order_of_the_scene() -> None:
    gaussians = surfaces(seed=34)
    shuffled = gaussians[torch.randperm(len(gaussians), generator=torch.Generator().manual_seed(0))]
    assert torch.allclose(render(shuffled, camera()).image, render(gaussians, camera()).image, atol=1e-6)


def test_image_of_a_packed_scene_is_the_same() -> None:
    gaussians = surfaces(123, seed=35, antialiased=True)
    assert torch.equal(render(pack(gaussians), camera()).image, render(gaussians, camera()).image)


def test_image_of_rows_taken_with_a_stride_is_that_of_a_copy() -> None:
    gaussians = surfaces(seed=36)
    copied = gaussians[torch.arange(0, len(gaussians), 2)]
    assert torch.equal(render(gaussians[::2], camera()).image, render(copied, camera()).image)


def test_image_does_not_change_when_world_and_camera_move_together() -> None:
    gaussians, view = surfaces(seed=37, sh_degree=0), camera()
    axis = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), dim=0)
    half = 0.35
    quat = torch.cat([torch.tensor([math.cos(half)], dtype=torch.float64), math.sin(half) * axis])
    rotation = torch.stack([rotate(quat, column) for column in torch.eye(3, dtype=torch.float64)], dim=1)
    shift = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    moved = replace(
        gaussians,
        means=(gaussians.means.double() @ rotation.T + shift).float(),
        quats=torch.stack([multiply(quat, q) for q in gaussians.quats.double()]).float(),
    )
    pose = view.world_to_camera.clone()
    pose[:3, :3] = pose[:3, :3] @ rotation.T
    pose[:3, 3] -= pose[:3, :3] @ shift
    agree(render(moved, replace(view, world_to_camera=pose)).image, render(gaussians, view).image)


def test_image_is_mirrored_when_world_and_camera_are() -> None:
    gaussians, view = surfaces(seed=38, sh_degree=0), camera(off_centre=True)
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = replace(
        gaussians,
        means=gaussians.means * torch.tensor([-1.0, 1.0, 1.0]),
        quats=gaussians.quats * torch.tensor([1.0, 1.0, -1.0, -1.0]),
    )
    K = view.K.clone()
    K[0, 2] = view.width - K[0, 2]
    mirror_view = replace(view, world_to_camera=flip @ view.world_to_camera @ flip, K=K)
    agree(render(mirrored, mirror_view).image.flip(1), render(gaussians, view).image)


@pytest.mark.parametrize(("left", "top"), [(16, 16), (5, 3), (1, 20)])
def test_part_of_an_image_is_the_image_of_that_part(left: int, top: int) -> None:
    gaussians, view = surfaces(seed=39), camera(64, 48)
    gaussians = gaussians[view.project(gaussians.means)[1] > 1.0]
    K = view.K.clone()
    K[0, 2] -= left
    K[1, 2] -= top
    part = replace(view, K=K, width=view.width - left, height=view.height - top)
    # Only Gaussians inside both frusta: for those outside, where the projection is linearised depends on the frustum.
    pixels, _ = part.project(gaussians.means)
    gaussians = gaussians[((pixels > 0) & (pixels < torch.tensor([part.width, part.height]))).all(dim=1)]
    assert len(gaussians) > 100
    agree(render(gaussians, part).image, render(gaussians, view).image[top:, left:])


def test_quaternion_length_does_not_matter() -> None:
    gaussians = surfaces(seed=40)
    lengths = torch.logspace(-3, 3, len(gaussians))[:, None]
    agree(
        render(replace(gaussians, quats=gaussians.quats * lengths), camera()).image, render(gaussians, camera()).image
    )


# Nothing to see


def test_empty_scene_shows_the_background() -> None:
    rendering = render(empty(), camera(13, 9), background=(0.1, 0.2, 0.3))
    assert torch.equal(rendering.image, torch.tensor([0.1, 0.2, 0.3]).expand(9, 13, 3))
    assert torch.equal(rendering.alpha, torch.zeros(9, 13))


@pytest.mark.parametrize(
    "means",
    [
        pytest.param(torch.tensor([[0.0, 0.0, -3.0]]), id="behind"),
        pytest.param(torch.tensor([[0.0, 0.0, 0.0]]), id="at the camera centre"),
        pytest.param(torch.tensor([[0.0, 0.0, 0.2]]), id="on the near plane"),
        pytest.param(torch.tensor([[90.0, 0.0, 3.0]]), id="far to the side"),
        pytest.param(torch.tensor([[0.0, 1e20, 3.0]]), id="out of this world"),
    ],
)
def test_gaussian_that_cannot_be_seen_is_not_drawn(means: Tensor) -> None:
    view = look_at((0, 0, 0), (0, 0, 1), (0, -1, 0), 1.0, 33, 21)
    gaussians = as_leaves(one(means, opacity=0.9))
    rendering = render(gaussians, view, background=(0.5, 0.6, 0.7))
    assert torch.equal(rendering.image.detach(), torch.tensor([0.5, 0.6, 0.7]).expand(21, 33, 3))
    (rendering.image.sum() + rendering.alpha.sum()).backward()
    assert all(not gradient.any() for gradient in gradients_of(gaussians).values())


# Extreme values


EXTREMES: dict[str, dict[str, object]] = {
    "zero quaternion": {"quats": 0.0},
    "tiny quaternion": {"quats": 1e-25},
    "enormous quaternion": {"quats": 1e25},
    "vanishing scale": {"scales": -100.0},
    "enormous scale": {"scales": 60.0},
    "one enormous scale": {"scales": torch.tensor([30.0, -30.0, -30.0])},
    "certain opacity": {"opacities": 200.0},
    "impossible opacity": {"opacities": -200.0},
    "enormous colour": {"sh0": 1e10},
}


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", sorted(EXTREMES))
def test_extreme_parameters_leave_image_and_gradients_finite(name: str, antialiased: bool) -> None:
    gaussians = as_leaves(surfaces(60, seed=41, antialiased=antialiased))
    with torch.no_grad():
        for tensor, value in EXTREMES[name].items():
            getattr(gaussians, tensor)[::7] = value
    rendering = render(gaussians, camera())
    (rendering.image.square().mean() + rendering.alpha.square().mean()).backward()
    assert rendering.image.isfinite().all()
    assert rendering.alpha.isfinite().all()
    for tensor, gradient in gradients_of(gaussians).items():
        assert gradient.isfinite().all(), tensor


LIMITS = [("opacities", math.inf), ("opacities", -math.inf), ("scales", -math.inf)]
"""Infinities that mean something: opaque, transparent, flat."""


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize(("tensor", "value"), LIMITS)
def test_an_infinity_that_means_something_is_drawn_as_the_reference_draws_it(
    tensor: str, value: float, antialiased: bool
) -> None:
    gaussians = surfaces(200, seed=44, antialiased=antialiased)
    getattr(gaussians, tensor)[::3, ...] = value
    if tensor == "scales":
        getattr(gaussians, tensor)[::3, :2] = -2.0
    pair = compare(gaussians, camera(), background=(0.2, 0.4, 0.6))
    assert largest_difference(pair) < 1e-4
    finite = render(gaussians.finite_equivalent(), camera(), background=(0.2, 0.4, 0.6)).image
    assert torch.allclose(pair.ours.image, finite, atol=1e-5)
    assert all(gradient.isfinite().all() for gradient in pair.our_gradients.values())


def test_a_gaussian_of_infinite_opacity_hides_what_is_behind_it() -> None:
    front = replace(one(opacity=0.5, size=3.0), opacities=torch.tensor([math.inf]))
    behind = one(2 * FRONT, color=0.0)
    image = render(concatenate([behind, front]), camera(), background=(0.0, 0.0, 0.0)).image
    assert torch.allclose(image[18, 26], torch.full((3,), 0.99), atol=1e-3)  # alpha is at most 0.99


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("tensor", ["means", "quats", "scales", "opacities", "sh0", "shN"])
def test_a_gaussian_that_is_not_finite_is_left_out(tensor: str, value: float) -> None:
    if (tensor, value) in LIMITS:
        pytest.skip("this infinity has a meaning")
    gaussians = as_leaves(surfaces(60, seed=42))
    with torch.no_grad():
        getattr(gaussians, tensor)[5] = value
    rendering = render(gaussians, camera())
    (rendering.image.square().mean() + rendering.alpha.square().mean()).backward()
    others = torch.arange(60) != 5
    assert torch.allclose(rendering.image, render(gaussians[others], camera()).image, atol=1e-6)
    for name, gradient in gradients_of(gaussians).items():
        assert gradient[others].isfinite().all(), name
        assert not gradient[5].any(), name


@pytest.mark.parametrize("distance", [0.2001, 0.25, 0.5])
def test_gaussians_around_the_camera_leave_gradients_finite(distance: float) -> None:
    random = torch.Generator().manual_seed(6)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=random), dim=1)
    gaussians = as_leaves(replace(surfaces(200, seed=43), means=camera().position.float() + distance * directions))
    rendering = render(gaussians, camera())
    rendering.image.square().sum().backward()
    assert all(gradient.isfinite().all() for gradient in gradients_of(gaussians).values())


def test_rendering_changes_none_of_its_inputs() -> None:
    gaussians = everything()
    before = {name: getattr(gaussians, name).clone() for name in TENSOR_NAMES}
    render(gaussians, camera())
    assert all(torch.equal(getattr(gaussians, name), before[name]) for name in TENSOR_NAMES)


def test_camera_is_read_exactly_where_its_values_are_large() -> None:
    """A capture in metres from a far origin: the camera's centre and the view direction come from float64 poses."""
    gaussians, view = surfaces(seed=44, sh_degree=1), camera()
    far = torch.tensor([64.0, -32.0, 128.0], dtype=torch.float64)
    pose = view.world_to_camera.clone()
    pose[:3, 3] -= pose[:3, :3] @ far
    moved = replace(gaussians, means=(gaussians.means.double() + far).float())
    difference = (render(moved, replace(view, world_to_camera=pose)).image - render(gaussians, view).image).abs()
    assert float(difference.mean()) < 1e-3


def agree(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, and for at most 2 % of pixels where rounding may have tipped a threshold."""
    difference = (found - expected).abs().amax(dim=-1)
    assert float((difference > 1e-4).double().mean()) < 0.02
    assert float(difference.max()) < 0.05


def multiply(p: Tensor, q: Tensor) -> Tensor:
    """Hamilton product of quaternions (4,) wxyz."""
    vector = p[0] * q[1:] + q[0] * p[1:] + torch.linalg.cross(p[1:], q[1:])
    return torch.cat([(p[0] * q[0] - p[1:] @ q[1:])[None], vector])


def rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """`vector` (3,) turned by a unit quaternion (4,): q v q*."""
    conjugate = quat * torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=quat.dtype)
    return multiply(multiply(quat, torch.cat([torch.zeros(1, dtype=quat.dtype), vector])), conjugate)[1:]


def test_more_pairs_than_can_be_numbered_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterizer, "_MOST_PAIRS", 3)
    with pytest.raises(LeansplatError, match="pairs of a tile and a Gaussian"):
        render(surfaces(), camera())
