"""`CpuModel`: Adam over the packed layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import blobs

from leansplat.engines.cpu.engine import CpuEngine
from leansplat.engines.cpu.gather_kernel import gather
from leansplat.engines.cpu.model import CpuModel
from leansplat.engines.cpu.packed import OPACITIES, SCALES, pack_rows, unpack_rows
from leansplat.gaussians import TENSOR_NAMES, Gaussians

RATES = {"means": 3e-3, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}


def scene(count: int = 37) -> Gaussians:
    generator = torch.Generator().manual_seed(1)
    return replace(blobs(count), shN=torch.randn(count, 15, 3, generator=generator))


def fresh(gaussians: Gaussians) -> CpuModel:
    model = CpuEngine().begin(gaussians, {name: rate for name, rate in RATES.items() if name != "means"})
    model.set_rate("means", RATES["means"])
    return model


def gradients(gaussians: Gaussians, steps: int) -> list[Gaussians]:
    generator = torch.Generator().manual_seed(2)

    def random(values: torch.Tensor) -> torch.Tensor:
        size = 10 ** (6 * torch.rand(values.shape, generator=generator) - 6)
        return size * torch.randn(values.shape, generator=generator)

    tensors = [{name: random(getattr(gaussians, name)) for name in TENSOR_NAMES} for _ in range(steps)]
    return [replace(gaussians, **each) for each in tensors]


def packed_rows(gaussians: Gaussians) -> torch.Tensor:
    n = len(gaussians)
    return pack_rows(torch.cat([getattr(gaussians, name).reshape(n, -1) for name in TENSOR_NAMES], dim=1))


def test_it_equals_pytorch_adam_with_a_rate_per_tensor() -> None:
    start = scene()
    model = fresh(start)
    leaves = {name: getattr(start, name).double().requires_grad_() for name in TENSOR_NAMES}
    reference = torch.optim.Adam([{"params": [leaves[name]], "lr": RATES[name]} for name in TENSOR_NAMES], eps=1e-15)
    for gradient in gradients(start, steps=20):
        model.update(packed_rows(gradient))
        for name, leaf in leaves.items():
            leaf.grad = getattr(gradient, name).double()
        reference.step()
    result = model.gaussians()
    for name, leaf in leaves.items():
        moved = getattr(result, name) - getattr(start, name)
        expected = leaf.detach() - getattr(start, name).double()
        # Float32 rounding of the parameters themselves, over 20 steps.
        torch.testing.assert_close(
            moved.double(), expected, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_parameters_without_gradient_do_not_move() -> None:
    start = scene()
    model = fresh(start)
    before = model.packed.data.clone()
    model.update(torch.zeros_like(before))
    assert bool((model.packed.data == before).all())


def test_the_given_scene_is_not_changed() -> None:
    start = scene()
    means = start.means.clone()
    fresh(start).update(torch.ones_like(packed_rows(start)))
    assert bool((start.means == means).all())


def test_selecting_first_or_last_gives_the_same_bits() -> None:
    start = scene()
    keep = torch.randperm(37, generator=torch.Generator().manual_seed(3))[:20]
    late, early = fresh(start), fresh(start[keep])
    steps = gradients(start, steps=4)
    for gradient in steps:
        late.update(packed_rows(gradient))
        early.update(packed_rows(gradient[keep]))
    late.select(keep)
    for name, values in late.tensors().items():
        assert torch.equal(values, early.tensors()[name])
    assert len(late) == 20


def test_a_mask_selects_in_order() -> None:
    model = fresh(scene())
    mask = torch.arange(37) % 3 == 0
    model.select(mask)
    assert bool((model.gaussians().means == scene().means[mask]).all())


def test_copies_that_start_afresh_have_zero_moments_and_the_others_keep_theirs() -> None:
    model = fresh(scene())
    model.update(torch.ones_like(model.packed.data))
    sources = torch.tensor([0, 5, 5, 36, 36])
    model.rebuild(sources, fresh=torch.tensor([False, False, True, False, True]))
    for moment in (model.first_moment, model.second_moment):
        nonzero = (unpack_rows(moment, 5) != 0).all(dim=1), (unpack_rows(moment, 5) == 0).all(dim=1)
        assert nonzero[0].tolist() == [True, True, False, True, False]
        assert nonzero[1].tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
def test_gather_copies_rows_and_leaves_unused_lanes_zero(count: int) -> None:
    rows = torch.randn(37, 59, generator=torch.Generator().manual_seed(4))
    sources = torch.randint(0, 37, (count,), generator=torch.Generator().manual_seed(5))
    data = gather(pack_rows(rows), sources)
    assert bool((data == pack_rows(rows[sources])).all())
    assert data.is_contiguous()


def test_gather_gives_zeros_for_negative_indices_and_refuses_ones_past_the_end() -> None:
    data = pack_rows(torch.ones(20, 59))
    rows = unpack_rows(gather(data, torch.tensor([3, -1, 19])), 3)
    assert rows.sum(dim=1).tolist() == [59, 0, 59]
    with pytest.raises(IndexError, match="32"):
        gather(data, torch.tensor([0, 32]))


def test_clearing_the_moments_of_an_attribute_leaves_the_others() -> None:
    model = fresh(scene())
    model.update(torch.ones_like(model.packed.data))
    model.clear_moments("opacities")
    assert not model.first_moment[:, OPACITIES].any()
    assert not model.second_moment[:, OPACITIES].any()
    assert bool(model.first_moment[:, SCALES].all())


def test_writing_changes_exactly_the_rows_named() -> None:
    model = fresh(scene())
    before = model.gaussians()
    values = torch.full((2, 3), 7.0)
    model.write("means", torch.tensor([3, 20]), values)
    after = model.gaussians()
    changed = (after.means != before.means).any(dim=1)
    assert changed.nonzero()[:, 0].tolist() == [3, 20]
    assert bool((after.means[changed] == values).all())
    assert bool((after.quats == before.quats).all())


def test_moments_of_another_size_are_refused() -> None:
    good, other = fresh(scene(37)), fresh(scene(20))
    with pytest.raises(ValueError, match="moments"):
        CpuModel(good.packed, other.first_moment, good.second_moment, good.learning_rates)
