"""Fake quantisation against PyTorch's modules, over values that move as in training."""

from __future__ import annotations

import pytest
import torch

from leansplat.compression.fake_quantisation import MovingRange, fake_quantise, half_precision, straight_through
from leansplat.formats.affine import HIGHEST, LOWEST

SEQUENCES = {
    "growing": lambda step: (1 + 0.3 * step) * torch.randn(5, 7, generator=torch.Generator().manual_seed(step)),
    "shrinking": lambda step: torch.randn(50, generator=torch.Generator().manual_seed(step)) / (1 + step),
    "positive": lambda step: 2 + torch.rand(50, generator=torch.Generator().manual_seed(step)),
    "negative": lambda step: -2 - torch.rand(50, generator=torch.Generator().manual_seed(step)),
    "constant": lambda step: torch.zeros(3),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_values_and_gradients_are_those_of_pytorchs_fake_quantize(name: str) -> None:
    quantization = pytest.importorskip("torch.ao.quantization")
    theirs = quantization.FakeQuantize(
        observer=quantization.MovingAverageMinMaxObserver,
        quant_min=LOWEST,
        quant_max=HIGHEST,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_affine,
    )
    moving = MovingRange()
    for step in range(20):
        first = SEQUENCES[name](step).requires_grad_()
        second = first.detach().clone().requires_grad_()
        moving.follow(first)
        found, expected = fake_quantise(first, moving.affine), theirs(second)
        assert moving.affine.scale == float(theirs.scale)
        assert moving.affine.zero_point == int(theirs.zero_point)
        assert torch.equal(found, expected)
        weights = torch.randn(first.shape, generator=torch.Generator().manual_seed(99))
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        assert first.grad is not None
        assert second.grad is not None
        assert torch.equal(first.grad, second.grad)


def test_fake_quantisation_gives_what_the_codes_say() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    moving = MovingRange()
    moving.follow(0.5 * values)  # so that some values are out of range
    affine = moving.affine
    assert torch.equal(fake_quantise(values, affine), affine.dequantise(affine.quantise(values)))


def test_the_gradient_stops_at_the_ends_of_the_range() -> None:
    values = torch.tensor([-3.0, 0.25, 3.0], requires_grad=True)
    moving = MovingRange(torch.tensor([-1.0, 1.0]))
    fake_quantise(values, moving.affine).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 0]


def test_half_precision_rounds_and_lets_the_gradient_through() -> None:
    values = torch.tensor([1.0, 1 / 3, 1e-9], requires_grad=True)
    rounded = half_precision(values)
    assert torch.equal(rounded, values.detach().half().float())
    (rounded * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 2, 3]


def test_straight_through_gives_exactly_the_other_value() -> None:
    values = torch.tensor([1e8, 1e-8], requires_grad=True)
    rounded = torch.tensor([1e-8, 1e8])
    assert torch.equal(straight_through(values, rounded), rounded)


def test_arrays_without_numbers_pass() -> None:
    moving = MovingRange()
    nothing = torch.zeros(4, 0, 3)
    moving.follow(nothing)
    assert fake_quantise(nothing, moving.affine).shape == nothing.shape


def test_what_is_not_a_number_stays_so() -> None:
    """So that the loss says that something went wrong."""
    values = torch.tensor([0.5, float("nan"), float("inf")], requires_grad=True)
    found = fake_quantise(values, MovingRange(torch.tensor([-1.0, 1.0])).affine)
    assert found.isnan().tolist() == [False, True, False]
    found.backward(torch.ones(3))
    assert values.grad is not None
    assert values.grad.tolist() == [1, 0, 0]
