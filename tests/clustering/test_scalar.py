"""Codebooks of numbers against brute force, and what they promise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from leansplat.clustering import nearest_codes, scalar_codebook

RANDOM = np.random.default_rng(0)


def error(values: np.ndarray, codebook: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    """Sum of weighted squared distances to the nearest entry, by comparing with every entry."""
    distances = np.abs(values[:, None].astype(np.float64) - codebook.astype(np.float64)).min(axis=1)
    return float((weights * distances**2).sum())


def least_error(values: np.ndarray, size: int, weights: np.ndarray) -> float:
    """Over every way to cut the sorted values into `size` intervals."""
    order = np.argsort(values)
    values, weights = values[order].astype(np.float64), weights[order]
    errors = []
    for cuts in combinations(range(1, len(values)), size - 1):
        parts = zip(np.split(values, cuts), np.split(weights, cuts), strict=True)
        errors.append(sum(float((w * (v - np.average(v, weights=w)) ** 2).sum()) for v, w in parts))
    return min(errors)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_no_way_to_cut_the_values_is_better(size: int, weighted: bool) -> None:
    values = RANDOM.standard_cauchy(14).astype(np.float32)
    weights = RANDOM.uniform(0.1, 3, 14) if weighted else np.ones(14)
    codebook = scalar_codebook(values, size, weights if weighted else None)
    assert error(values, codebook, weights) == pytest.approx(least_error(values, size, weights), rel=1e-5)


def test_of_many_values_with_far_outliers_lloyd_gains_less_than_a_twentieth() -> None:
    values = np.concatenate([RANDOM.normal(-5, 2, 100_000), RANDOM.laplace(1, 0.3, 100_000), [-60.0, 40.0]])
    found = scalar_codebook(values)
    better = found.astype(np.float64)
    for _ in range(50):
        codes = np.searchsorted((better[1:] + better[:-1]) / 2, values)
        used = np.bincount(codes, minlength=256) > 0
        better[used] = (np.bincount(codes, values, 256) / np.maximum(np.bincount(codes, minlength=256), 1))[used]
    sample = values[::97]
    assert error(sample, found) < 1.05 * error(sample, better)


def test_few_different_values_are_the_codebook() -> None:
    values = RANDOM.normal(size=200).astype(np.float32)
    codebook = scalar_codebook(np.tile(values, 300), tolerance=1.0)
    assert codebook.shape == (256,)
    assert codebook.dtype == np.float32
    np.testing.assert_array_equal(codebook, np.append(np.sort(values), np.full(56, values.max())))


def test_values_that_weigh_nothing_have_no_say() -> None:
    values = np.array([1.0, 2.0, 3.0, 100.0])
    np.testing.assert_array_equal(scalar_codebook(values, 3, np.array([1.0, 1.0, 1.0, 0.0])), [1, 2, 3])
    np.testing.assert_array_equal(scalar_codebook(values[:0], 3), [0, 0, 0])


def test_a_tolerance_is_kept_with_fewer_entries_at_even_steps() -> None:
    values = RANDOM.normal(size=100_000).astype(np.float32)
    codebook = np.unique(scalar_codebook(values, tolerance=1e-3))
    width = np.sqrt(12 * 1e-3)
    assert len(codebook) < 100
    assert error(values, codebook) / len(values) == pytest.approx(1e-3, rel=0.05)
    np.testing.assert_allclose(np.diff(codebook)[20:-20], width, rtol=0.05)  # the few in the tails are means of few


def test_a_tolerance_out_of_reach_of_even_steps_gives_the_best_codebook() -> None:
    values = RANDOM.normal(size=10_000)
    np.testing.assert_array_equal(scalar_codebook(values, tolerance=1e-9), scalar_codebook(values))


def test_codes_are_those_of_the_nearest_entries() -> None:
    codebook = np.sort(RANDOM.normal(size=256)).astype(np.float32)
    values = RANDOM.normal(size=(500, 3)).astype(np.float32)
    codes = nearest_codes(values, codebook)
    assert codes.dtype == np.uint8
    distances = np.abs(values[..., None].astype(np.float64) - codebook)
    np.testing.assert_array_equal(codes, distances.argmin(axis=-1))
