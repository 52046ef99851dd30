"""8-bit affine numbers against PyTorch's own, and what rounding may cost."""

from __future__ import annotations

import math

import pytest
import torch

from leansplat.formats.affine import HIGHEST, LOWEST, Affine, limits

RANGES = [(-1.0, 1.0), (0.0, 1.0), (0.2, 0.9), (-7.5, -0.1), (-3.0, 40.0), (1e-6, 2e-6), (0.0, 0.0)]


def values_within(low: float, high: float, count: int = 20_000) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_values_come_back_as_pytorch_rounds_them(low: float, high: float) -> None:
    values = values_within(low, high)
    affine = Affine.covering(values)
    theirs = torch.fake_quantize_per_tensor_affine(values, affine.scale, affine.zero_point, LOWEST, HIGHEST)
    assert torch.equal(affine.dequantise(affine.quantise(values)), theirs)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_values_come_back_within_half_a_step_and_zero_comes_back_exactly(low: float, high: float) -> None:
    values = values_within(low, high)
    affine = Affine.covering(values)
    back = affine.dequantise(affine.quantise(values))
    # The zero point is rounded, which may leave up to half a step at one end of the range; there the error doubles.
    assert float((back - values).abs().max()) <= affine.scale * 1.0001
    inside = (values > low + 0.5 * affine.scale) & (values < high - 0.5 * affine.scale)
    assert not inside.any() or float((back - values)[inside].abs().max()) <= 0.5 * affine.scale * 1.001
    assert affine.dequantise(affine.quantise(torch.zeros(1))).item() == 0


def test_values_out_of_range_get_the_nearest_code() -> None:
    affine = Affine.of_range(-1.0, 1.0)
    assert affine.quantise(torch.tensor([-9.0, 9.0])).tolist() == [LOWEST, HIGHEST]


def test_arrays_of_any_shape_keep_it() -> None:
    for shape in [(0, 3), (5, 1, 3), (2, 0, 3)]:
        codes = Affine.covering(torch.zeros(shape)).quantise(torch.zeros(shape))
        assert codes.shape == shape
        assert codes.dtype == torch.int8


def test_a_range_that_would_be_too_wide_is_the_one_that_holds_the_most() -> None:
    values = torch.cat([torch.linspace(-1, 2, 50), torch.tensor([-100.0, 90.0, 91.0, 1e30])])
    found = Affine.covering(values, widest=10)
    assert found.dequantise(found.quantise(values))[:50].sub(values[:50]).abs().max() <= 3 / 255 / 2 + 1e-6
    assert limits(values, widest=10).tolist() == [-1, 2]
    for widest in (3, 200, math.inf):  # brute force over all pairs of ends
        best = max(
            (int(((values >= a) & (values <= b)).sum()), -float(a), float(b))
            for a in values
            for b in values
            if a <= b and float(b) - float(a) <= widest
        )
        low, high = limits(values, widest=widest).tolist()
        assert int(((values >= low) & (values <= high)).sum()) == best[0]
        assert high - low <= widest
    assert torch.equal(limits(values[:50], widest=10), torch.stack(values[:50].aminmax()))
