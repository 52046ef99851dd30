"""Unit rows against PyTorch's normalisation in float64."""

from __future__ import annotations

import pytest
import torch

from leansplat.compression.unit_rows import unit_rows


@pytest.mark.parametrize("width", [3, 4])
def test_values_and_gradients_are_those_of_pytorchs_normalize(width: int) -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(1000, width, generator=random) * torch.logspace(-6, 6, 1000)[:, None]
    weights = torch.randn(1000, width, generator=random)
    ours, theirs = rows.clone().requires_grad_(), rows.double().requires_grad_()
    found, expected = unit_rows(ours), torch.nn.functional.normalize(theirs, dim=1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    lengths = rows.double().norm(dim=1, keepdim=True)  # gradients go as their inverse
    torch.testing.assert_close(ours.grad * lengths, theirs.grad * lengths, rtol=1e-5, atol=1e-5)


def test_rows_of_length_zero_stay_zero_with_finite_gradients() -> None:
    rows = torch.zeros(3, 4, requires_grad=True)
    units = unit_rows(rows)
    units.sum().backward()
    assert not units.any()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()
