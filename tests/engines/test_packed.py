"""Packing against the layout's definition, and its gradients against indexing by autograd."""

from __future__ import annotations

import pytest
import torch
from support.scene_comparison import random_scene
from torch import Tensor

from leansplat.engines.cpu.packed import LANES, pack, pack_rows, unpack_rows
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.simd.threads import set_thread_count, thread_count


def rows_of(gaussians: Gaussians) -> Tensor:
    return torch.cat([getattr(gaussians, name).reshape(len(gaussians), -1) for name in TENSOR_NAMES], dim=1)


def leaves_of(gaussians: Gaussians) -> Gaussians:
    return Gaussians(**{name: getattr(gaussians, name).clone().requires_grad_() for name in TENSOR_NAMES})


def weights_like(data: Tensor) -> Tensor:
    return torch.randn(data.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 16, 37])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_lane_l_of_block_b_holds_gaussian_16_b_plus_l_and_missing_lanes_zero(count: int, degree: int) -> None:
    scene = random_scene(count, degree=degree)
    data = pack(scene).data
    expected = torch.zeros(len(data) * LANES, data.shape[1])
    expected[:count] = rows_of(scene)
    for lane in range(LANES):
        assert torch.equal(data[:, :, lane], expected[lane::LANES])
    assert torch.equal(pack_rows(rows_of(scene)), data)
    assert torch.equal(unpack_rows(data, count), rows_of(scene))


def test_a_scene_without_gaussians_has_no_blocks() -> None:
    assert pack(random_scene(3)[:0]).data.shape == (0, 59, LANES)


def test_values_of_other_types_and_strides_are_packed_as_float32() -> None:
    scene = random_scene(20)
    double = Gaussians(**{name: getattr(scene, name).double() for name in TENSOR_NAMES})
    turned = Gaussians(**{name: getattr(scene, name).flip(0).contiguous().flip(0) for name in TENSOR_NAMES})
    columns = scene.means.T.contiguous().T
    strided = Gaussians(**{name: columns if name == "means" else getattr(turned, name) for name in TENSOR_NAMES})
    for other in (double, strided):
        assert torch.equal(pack(other).data, pack(scene).data)


def test_gradients_are_those_of_the_rows() -> None:
    leaves = leaves_of(random_scene(37))
    packed = pack(leaves)
    weights = weights_like(packed.data)
    (packed.data * weights).sum().backward()
    rows = unpack_rows(weights, 37)
    found = Gaussians(**{name: getattr(leaves, name).grad for name in TENSOR_NAMES})
    assert torch.equal(rows_of(found), rows)


def test_a_table_is_packed_as_its_rows_and_gets_the_sums_of_their_gradients() -> None:
    scene = random_scene(500)
    table = random_scene(40)
    indices = torch.randint(39, (500,), generator=torch.Generator().manual_seed(0))  # nobody has the last row
    leaves = leaves_of(table)
    packed = pack(
        SharedGaussians(scene, {name: (getattr(leaves, name), indices) for name in ("quats", "opacities", "shN")})
    )
    chosen = {name: getattr(table if name in ("quats", "opacities", "shN") else scene, name) for name in TENSOR_NAMES}
    for name in ("quats", "opacities", "shN"):
        chosen[name] = chosen[name][indices]
    assert torch.equal(packed.data, pack(Gaussians(**chosen)).data)
    weights = weights_like(packed.data)
    (packed.data * weights).sum().backward()
    expected = leaves_of(Gaussians(**chosen))
    (pack(expected).data * weights).sum().backward()
    for name in ("quats", "opacities", "shN"):
        sums = torch.zeros_like(getattr(table, name)).index_add_(0, indices, getattr(expected, name).grad)
        torch.testing.assert_close(getattr(leaves, name).grad, sums, rtol=1e-5, atol=1e-5)


def test_a_table_that_nobody_uses_has_no_gradient() -> None:
    table = random_scene(5).shN.requires_grad_()
    pack(
        SharedGaussians(random_scene(3)[:0], {"shN": (table, torch.zeros(0, dtype=torch.int64))})
    ).data.sum().backward()
    assert table.grad is not None
    assert not table.grad.any()


def test_gradients_of_tables_do_not_depend_on_the_number_of_threads() -> None:
    if thread_count() < 2:
        pytest.skip("Numba runs with one thread")
    scene, indices = random_scene(500), torch.randint(40, (500,), generator=torch.Generator().manual_seed(0))
    found = []
    before = thread_count()
    for threads in (1, 2):
        set_thread_count(threads)
        try:
            table = scene.shN[:40].clone().requires_grad_()
            packed = pack(SharedGaussians(scene, {"shN": (table, indices)}))
            (packed.data * weights_like(packed.data)).sum().backward()
        finally:
            set_thread_count(before)
        found.append(table.grad)
    assert torch.equal(*found)


def test_a_table_row_that_does_not_exist_is_refused() -> None:
    scene = random_scene(20)
    for row in (20, -1):
        with pytest.raises(IndexError, match="shN"):
            pack(SharedGaussians(scene, {"shN": (scene.shN, torch.full((20,), row))}))
    with pytest.raises(ValueError, match="shN"):
        pack(SharedGaussians(scene, {"shN": (scene.shN, torch.zeros(19, dtype=torch.int64))}))


@pytest.mark.parametrize("count", [1, 16, 40])
def test_what_is_unpacked_is_a_copy(count: int) -> None:
    packed = pack(random_scene(count))
    scene = packed.unpack()
    packed.data.zero_()
    for name in TENSOR_NAMES:
        assert getattr(scene, name).is_contiguous()
        assert getattr(scene, name).equal(getattr(random_scene(count), name)), name
