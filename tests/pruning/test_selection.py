"""Which Gaussians go: Eq. 5 of the paper, exact counts, and ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leansplat.pruning.selection import (
    count_after_round,
    keep_by_count,
    keep_by_quantile,
    ranks,
    removal_levels,
)

N = 1000


def scores(seed: int = 0, correlation: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Opacities and gradients without ties, somewhat correlated."""
    generator = np.random.default_rng(seed)
    common, first, second = generator.normal(size=(3, N))
    opacity = 1 / (1 + np.exp(-(correlation * common + first)))
    gradient = np.exp(correlation * common + second)
    return torch.from_numpy(opacity), torch.from_numpy(gradient)


SEEN = torch.ones(N, dtype=torch.bool)


@pytest.mark.parametrize("gamma", [0.025, 0.225, 0.375, 0.45, 0.6])
def test_the_gradient_criterion_removes_what_is_below_both_quantiles(gamma: float) -> None:
    """Eq. 5 as it is printed, with NumPy's (linear) quantile: keep if opacity >= Q(gamma) or gradient >= Q(gamma)."""
    opacity, gradient = scores()
    kept = keep_by_quantile(removal_levels((opacity, gradient), gradient, SEEN), gamma)
    expected = (opacity >= np.quantile(opacity, gamma)) | (gradient >= np.quantile(gradient, gamma))
    assert torch.equal(kept, expected)


@pytest.mark.parametrize("gamma", [0.025, 0.1, 0.3])
def test_the_opacity_criterion_removes_what_is_below_the_opacity_quantile(gamma: float) -> None:
    opacity, gradient = scores()
    kept = keep_by_quantile(removal_levels((opacity,), gradient, SEEN), gamma)
    assert torch.equal(kept, opacity >= np.quantile(opacity, gamma))


def test_gamma_is_not_the_share_removed_under_the_gradient_criterion() -> None:
    """With independent scores, both below the gamma quantile is gamma squared."""
    opacity, gradient = scores(correlation=0.0)
    removed = N - int(keep_by_quantile(removal_levels((opacity, gradient), gradient, SEEN), 0.5).sum())
    assert removed == pytest.approx(0.25 * N, abs=0.04 * N)


@pytest.mark.parametrize("count", [1, 250, 999, 1000])
def test_an_exact_count_is_some_quantile_of_the_same_rule(count: int) -> None:
    opacity, gradient = scores()
    levels = removal_levels((opacity, gradient), gradient, SEEN)
    kept = keep_by_count(levels, count)
    assert int(kept.sum()) == count
    if count < N:
        assert float(levels[kept].min()) > float(levels[~kept].max())


def test_a_quantile_on_ties_still_removes() -> None:
    """Most gradients are zero: the quantile value is 0, and a strict comparison with it would remove nothing."""
    opacity, gradient = scores()
    gradient[: 7 * N // 10] = 0
    removed = N - int(keep_by_quantile(removal_levels((opacity, gradient), gradient, SEEN), 0.5).sum())
    assert removed > 0.2 * N


def test_ties_in_the_gradient_are_decided_by_opacity() -> None:
    opacity = torch.tensor([0.4, 0.1, 0.3, 0.2])
    levels = removal_levels((opacity, torch.zeros(4)), torch.zeros(4), torch.ones(4, dtype=torch.bool))
    assert levels.argsort().tolist() == opacity.argsort().tolist()


def test_unseen_gaussians_are_a_class_of_their_own() -> None:
    opacity, gradient = scores()
    seen = SEEN.clone()
    seen[opacity.argsort(descending=True)[:100]] = False  # the most opaque ones: opacity alone would keep them
    gradient = torch.where(seen, gradient, 0.0)
    pruned = keep_by_count(removal_levels((opacity, gradient), gradient, seen, unseen="prune"), 850)
    assert not bool(pruned[~seen].any())
    assert int(pruned.sum()) == 850
    kept = keep_by_count(removal_levels((opacity, gradient), gradient, seen, unseen="keep"), 150)
    assert bool(kept[~seen].all())
    by_opacity = keep_by_count(removal_levels((opacity, gradient), gradient, seen, unseen="opacity"), 850)
    assert bool(by_opacity[~seen].all())
    assert not bool(
        keep_by_quantile(removal_levels((opacity, gradient), gradient, seen, unseen="prune"), 0.1)[~seen].any()
    )
    assert bool(keep_by_quantile(removal_levels((opacity, gradient), gradient, seen, unseen="keep"), 0.9)[~seen].all())


def test_a_rule_of_three_quantities_removes_what_is_low_in_all_of_them() -> None:
    opacity, gradient = scores()
    third, _ = scores(seed=1)
    kept = keep_by_quantile(removal_levels((opacity, gradient, third), gradient, SEEN), 0.6)
    high = [values >= np.quantile(values, 0.6) for values in (opacity, gradient, third)]
    assert torch.equal(kept, high[0] | high[1] | high[2])


def test_ties_of_a_lone_score_are_decided_by_the_gradient() -> None:
    gradient = torch.tensor([0.4, 0.1, 0.3, 0.2])
    levels = removal_levels((torch.ones(4),), gradient, torch.ones(4, dtype=torch.bool))
    assert levels.argsort().tolist() == gradient.argsort().tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40), st.integers(1, 50))
def test_any_count_is_hit_exactly_whatever_the_ties(values: list[float], count: int) -> None:
    opacity = torch.tensor(values)
    levels = removal_levels((opacity, opacity.flip(0)), opacity, torch.ones(len(values), dtype=torch.bool))
    assert int(keep_by_count(levels, count).sum()) == min(count, len(values))


def test_a_quantile_never_empties_the_scene() -> None:
    levels = removal_levels((torch.tensor([0.5]),), torch.tensor([0.0]), torch.tensor([False]), unseen="prune")
    assert keep_by_quantile(levels, 0.9).tolist() == [True]


def test_ranks_are_a_permutation_in_order_of_value() -> None:
    values = torch.tensor([3.0, 1.0, 1.0, 2.0])
    assert ranks(values, torch.tensor([0.0, 2.0, 1.0, 0.0])).tolist() == [3, 1, 0, 2]


def test_rounds_end_at_the_target_and_keep_equal_shares() -> None:
    counts = [count_after_round(100_000, 5_000, number, 10) for number in range(1, 11)]
    assert counts[-1] == 5_000
    shares = [after / before for before, after in zip([100_000, *counts], counts, strict=False)]
    assert shares == pytest.approx([0.05**0.1] * 10, rel=1e-3)
    assert count_after_round(10, 10, 3, 10) == 10
