import dataclasses

import pytest
import torch

from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate, empty


def numbered(count=5, degree=3, **settings):
    """Gaussians whose every number is its row, so that a selection shows in all tensors alike."""
    rest = (degree + 1) ** 2 - 1
    rows = torch.arange(count, dtype=torch.float32)
    fill = lambda *shape: rows.view(-1, *(1 for _ in shape)).expand(count, *shape).clone()  # noqa: E731
    return Gaussians(fill(3), fill(4), fill(3), rows.clone(), fill(1, 3), fill(rest, 3), **settings)


def rows_of(gaussians):
    """The row numbers of every tensor and extra; they must agree."""
    columns = [getattr(gaussians, name)[..., None].flatten(1) for name in TENSOR_NAMES]
    columns += [values.reshape(len(gaussians), 1).float() for values in gaussians.extras.values()]
    table = torch.cat(columns, dim=1)
    assert torch.equal(table, table[:, :1].expand_as(table))
    return table[:, 0].int().tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, 2), [0, 2, 4]),
        (torch.tensor([True, False, False, True, True]), [0, 3, 4]),
        (torch.tensor([4, 0, 0]), [4, 0, 0]),
        ([3, 1], [3, 1]),
        ([True, False, False, False, True], [0, 4]),
        (torch.tensor([-1]), [4]),
        ([], []),
        (torch.zeros(5, dtype=torch.bool), []),
    ],
)
def test_selecting_moves_all_rows_together_and_in_order(rows, expected):
    extras = {"id": torch.arange(5, dtype=torch.uint8), "wide": torch.arange(5, dtype=torch.int32).to(torch.uint16)}
    gaussians = numbered(extras=extras, antialiased=True, comments=("kept",))
    selected = gaussians[rows]
    assert rows_of(selected) == expected
    assert len(selected) == len(expected)
    assert selected.antialiased
    assert selected.comments == ("kept",)
    assert selected.extras["id"].dtype == torch.uint8
    assert rows_of(gaussians) == [0, 1, 2, 3, 4]


def test_selecting_passes_gradients_to_the_rows_taken():
    gaussians = numbered(4)
    gaussians.means.requires_grad_()
    gaussians[[1, 1, 3]].means.sum().backward()
    assert gaussians.means.grad[:, 0].tolist() == [0, 2, 0, 1]
    assert not gaussians.detach().means.requires_grad


def test_a_mask_of_another_length_is_an_error():
    with pytest.raises(IndexError):
        numbered(5)[torch.ones(4, dtype=torch.bool)]


def test_concatenating_keeps_the_order_and_the_first_comments():
    first = numbered(2, extras={"id": torch.tensor([0.0, 1.0]), "only": torch.zeros(2)}, comments=("first",))
    second = numbered(3, extras={"id": torch.tensor([0.0, 1.0, 2.0])}, comments=("second",))
    both = concatenate([first, second])
    assert rows_of(both) == [0, 1, 0, 1, 2]
    assert both.extras.keys() == {"id"}
    assert both.comments == ("first",)


def test_concatenating_raises_lower_degrees_with_zeros():
    both = concatenate([numbered(2, 1), numbered(2, 3)])
    assert both.sh_degree == 3
    assert both.shN[1].tolist() == [[1.0] * 3] * 3 + [[0.0] * 3] * 12
    assert both.shN[3].tolist() == [[1.0] * 3] * 15


def test_concatenating_nothing_or_with_unlike_antialiasing_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])
    with pytest.raises(ValueError, match="anti-aliasing"):
        concatenate([numbered(), numbered(antialiased=True)])


def test_concatenating_with_an_empty_scene_changes_nothing():
    both = concatenate([numbered(3), empty(0)])
    assert rows_of(both) == [0, 1, 2]


@pytest.mark.parametrize(("degree", "numbers"), [(0, 14), (1, 23), (2, 38), (3, 59)])
def test_the_degree_follows_from_the_coefficients(degree, numbers):
    gaussians = numbered(2, degree)
    assert gaussians.sh_degree == degree
    assert gaussians.parameters_per_gaussian == numbers
    per_row = sum(getattr(gaussians, name)[0].numel() for name in TENSOR_NAMES)
    assert per_row == numbers


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("degree", range(4))
def test_changing_the_degree_drops_or_adds_zeros(start, degree):
    gaussians = numbered(3, start)
    changed = gaussians.with_sh_degree(degree)
    assert changed.sh_degree == degree
    common = (min(start, degree) + 1) ** 2 - 1
    assert torch.equal(changed.shN[:, :common], gaussians.shN[:, :common])
    assert not changed.shN[:, common:].any()
    assert torch.equal(changed.means, gaussians.means)


@pytest.mark.parametrize("degree", [-1, 4])
def test_degrees_outside_0_to_3_are_refused(degree):
    with pytest.raises(ValueError, match="0, 1, 2 or 3"):
        numbered().with_sh_degree(degree)


def test_bounds_enclose_the_centres_tightly():
    gaussians = dataclasses.replace(numbered(3), means=torch.tensor([[1.0, -2, 0], [0, 5, 0], [-1, 0, 7]]))
    low, high = gaussians.bounds()
    assert low.tolist() == [-1, -2, 0]
    assert high.tolist() == [1, 5, 7]


def test_an_empty_scene_has_a_degree_and_no_bounds():
    for degree in range(4):
        gaussians = empty(degree)
        assert len(gaussians) == 0
        assert gaussians.sh_degree == degree
        assert all(bool(corner.isnan().all()) for corner in gaussians.bounds())
        assert gaussians.finite().shape == (0,)


@pytest.mark.parametrize("name", TENSOR_NAMES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_finite_names_the_rows_with_a_bad_number_in_any_tensor(name, number):
    gaussians = numbered(4)
    getattr(gaussians, name).view(4, -1)[2, -1] = number
    assert gaussians.finite().tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("means", (5, 2)),
        ("quats", (5, 3)),
        ("scales", (4, 3)),
        ("opacities", (5, 1)),
        ("sh0", (5, 3)),
        ("shN", (5, 45)),
        ("shN", (5, 4, 3)),
        ("shN", (5, 15, 4)),
        ("shN", (5, 24, 3)),
    ],
)
def test_tensors_of_a_wrong_shape_are_refused_by_name(name, shape):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(numbered(), **{name: torch.zeros(shape)})


def test_extras_of_a_wrong_length_are_refused_by_name():
    with pytest.raises(ValueError, match="'id' has shape"):
        numbered(extras={"id": torch.zeros(4)})


def test_moving_to_a_device_moves_everything():
    moved = numbered(extras={"id": torch.arange(5.0)}).to("meta")
    assert moved.device.type == "meta"
    assert {getattr(moved, name).device.type for name in TENSOR_NAMES} == {"meta"}
    assert moved.extras["id"].device.type == "meta"


def test_a_scene_cannot_be_changed_by_assignment():
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbered().means = torch.zeros(5, 3)


def plain_scene(count: int = 30) -> Gaussians:
    random = torch.Generator().manual_seed(8)
    shapes = ((3,), (4,), (3,), (), (1, 3), (3, 3))
    return Gaussians(*(torch.randn(count, *shape, generator=random) for shape in shapes))


def test_infinities_with_a_meaning_become_the_numbers_that_mean_the_same() -> None:
    scene = plain_scene(6)
    scene.opacities[:2] = torch.tensor([float("inf"), float("-inf")])
    scene.scales[2, 1], scene.scales[3, 1], scene.means[4, 0] = float("-inf"), float("inf"), float("inf")
    scene.opacities[5] = float("nan")
    found = scene.finite_equivalent()
    assert found.finite().tolist() == [True, True, True, False, False, False]
    assert found.opacities[:2].sigmoid().tolist() == pytest.approx([1, 0], abs=1e-7)
    assert 0 < found.scales[2, 1].exp() < 1e-37
    for name in TENSOR_NAMES:
        given, kept = getattr(scene, name), getattr(found, name)
        assert torch.equal(kept[given.isfinite()], given[given.isfinite()]), name


def test_a_finite_scene_is_its_own_finite_equivalent() -> None:
    scene = plain_scene()
    assert scene.finite_equivalent() is scene


@pytest.mark.parametrize("quat", [(0.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)])
def test_rows_of_zeros_are_padding_wherever_they_are(quat: tuple[float, ...]) -> None:
    scene = plain_scene()
    for row in (0, 7, 29):
        for name in TENSOR_NAMES:
            getattr(scene, name)[row] = 0
        scene.quats[row] = torch.tensor(quat)
    assert scene.padding().nonzero()[:, 0].tolist() == [0, 7, 29]


@pytest.mark.parametrize("name", [name for name in TENSOR_NAMES if name != "quats"])
def test_a_row_with_one_number_is_a_gaussian(name: str) -> None:
    scene = plain_scene()
    for other in TENSOR_NAMES:
        getattr(scene, other)[3] = 0
    getattr(scene, name).view(30, -1)[3, -1] = 1e-3
    assert not scene.padding().any()


def test_copies_in_a_row_are_padding_from_eight_on_and_the_first_is_kept() -> None:
    scene = plain_scene()
    rows = [0, 1, *[2] * 7, 3, *[4] * 8, 5, *[6] * 12]
    expected = [False] * 11 + [True] * 7 + [False] * 2 + [True] * 11
    assert scene[rows].padding().tolist() == expected
    assert not plain_scene(0).padding().any()


def test_a_quaternion_of_zeros_is_found() -> None:
    scene = plain_scene()
    scene.quats[4] = 0
    scene.quats[5, :3] = 0
    assert scene.without_rotation().nonzero()[:, 0].tolist() == [4]


def test_activated_numbers_are_what_the_stored_ones_mean() -> None:
    scene = plain_scene()
    found = scene.activated()
    assert torch.equal(found.means, scene.means)
    assert torch.allclose(found.scales.double(), scene.scales.double().exp(), rtol=1e-6)
    assert torch.allclose(found.opacities.double(), 1 / (1 + (-scene.opacities.double()).exp()), rtol=1e-6)
    assert torch.allclose(found.quats * scene.quats.norm(dim=1, keepdim=True), scene.quats, atol=1e-6)
    assert torch.equal(found.colors[:, 0], scene.sh0[:, 0])
    assert torch.equal(found.colors[:, 1:], scene.shN)


def test_a_scene_comes_back_from_its_activated_numbers() -> None:
    scene = dataclasses.replace(plain_scene(), antialiased=True, origin=(1.0, 2.0, 3.0))
    again = Gaussians.from_activated(*scene.activated(), antialiased=True, origin=scene.origin)
    for name in TENSOR_NAMES:
        expected = getattr(scene, name)
        expected = expected / expected.norm(dim=1, keepdim=True) if name == "quats" else expected
        assert torch.allclose(getattr(again, name), expected, atol=2e-6), name
    assert (again.antialiased, again.origin) == (True, (1.0, 2.0, 3.0))


def test_what_is_at_the_end_of_its_range_is_activated_and_comes_back() -> None:
    scene = plain_scene(4)
    scene.opacities[:2] = torch.tensor([float("inf"), float("-inf")])
    scene.scales[2, 1] = float("-inf")
    scene.quats[3] = 0
    found = scene.activated()
    assert found.opacities[:2].tolist() == [1, 0]
    assert found.scales[2, 1] == 0
    assert found.quats[3].tolist() == [1, 0, 0, 0]
    again = Gaussians.from_activated(*found)
    assert torch.equal(again.opacities[:2], scene.opacities[:2])
    assert torch.equal(again.scales[2, 1], scene.scales[2, 1])


def test_gradients_flow_through_activated_numbers_both_ways() -> None:
    scene = plain_scene(6)
    leaves = dataclasses.replace(
        scene, **{name: getattr(scene, name).clone().requires_grad_() for name in TENSOR_NAMES}
    )
    again = Gaussians.from_activated(*leaves.activated())
    sum(getattr(again, name).square().sum() for name in TENSOR_NAMES).backward()
    for name in TENSOR_NAMES:
        if name != "quats":  # whose length, all that the sum depends on, is 1 whatever they are
            assert torch.allclose(getattr(leaves, name).grad, 2 * getattr(scene, name), rtol=1e-3, atol=1e-3), name


def test_numbers_that_are_not_activated_are_refused() -> None:
    found = plain_scene().activated()
    with pytest.raises(ValueError, match="takes opacities, not logits"):
        Gaussians.from_activated(*found._replace(opacities=plain_scene().opacities))
    with pytest.raises(ValueError, match="takes standard deviations, not logarithms"):
        Gaussians.from_activated(*found._replace(scales=plain_scene().scales))


def test_a_scene_moves_to_another_device_whole() -> None:
    scene = numbered(antialiased=True, extras={"label": torch.arange(5.0)}, origin=(1.0, 0.0, 0.0))
    moved = scene.to("meta")
    assert {getattr(moved, name).device.type for name in (*TENSOR_NAMES,)} == {"meta"}
    assert moved.extras["label"].device.type == moved.device.type == "meta"
    assert (moved.antialiased, moved.origin) == (True, (1.0, 0.0, 0.0))
    assert scene.to("cpu").means is scene.means
