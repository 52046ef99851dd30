"""k-means: what it finds in clouds whose best centres are known, and how it compares with the textbook's."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from leansplat.clustering import add_up, kmeans, nearest


def error(points: np.ndarray, centres: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    distances = np.square(points.astype(np.float64) - centres[nearest(points, centres)]).sum(axis=1)
    return float((weights * distances).sum())


def lloyd(points: np.ndarray, count: int, rounds: int) -> np.ndarray:
    """The textbook's algorithm from points drawn evenly."""
    centres = points[np.random.default_rng(0).choice(len(points), count, replace=False)]
    for _ in range(rounds):
        labels = nearest(points, centres)
        users = np.bincount(labels, minlength=count)
        sums = np.stack([np.bincount(labels, column, count) for column in points.T], axis=1)
        centres = np.where(users[:, None] > 0, sums / np.maximum(users, 1)[:, None], centres).astype(np.float32)
    return centres


def heavy_tailed(count: int, depth: int = 24) -> np.ndarray:
    random = np.random.default_rng(1)
    return (random.normal(size=(count, depth)) * random.gamma(0.5, size=(count, 1))).astype(np.float32)


def test_centres_end_in_the_middle_of_their_points() -> None:
    random = np.random.default_rng(0)
    middles = 100 * np.eye(40, 45)
    which = random.integers(40, size=3000)
    points = (middles[which] + random.normal(size=(3000, 45))).astype(np.float32)
    centres, mass = kmeans(points, 40, start=(middles + 5).astype(np.float32), rounds=1)
    np.testing.assert_array_equal(mass, np.bincount(which))
    np.testing.assert_allclose(centres, [points[which == k].mean(axis=0) for k in range(40)], rtol=1e-4, atol=1e-4)


def test_it_is_better_than_ten_rounds_of_the_textbook() -> None:
    points = heavy_tailed(6000)
    centres, _ = kmeans(points, 1024)
    assert error(points, centres) < 0.95 * error(points, lloyd(points, 1024, 10))


def test_few_different_points_are_the_centres_and_weigh_what_their_copies_do() -> None:
    different = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32)
    which = np.arange(1000) % 50
    centres, mass = kmeans(different[which], 64, weights=(1 + which).astype(np.float32))
    assert centres.shape == (50, 9)
    labels = nearest(different, centres)
    np.testing.assert_array_equal(centres[labels], different)
    np.testing.assert_array_equal(mass[labels], 20 * np.arange(1, 51))


def test_points_count_by_their_weights() -> None:
    points = heavy_tailed(4000)
    weights = np.random.default_rng(2).exponential(size=4000).astype(np.float32) ** 3
    weighted, _ = kmeans(points, 256, weights=weights)
    even, _ = kmeans(points, 256)
    assert error(points, weighted, weights) < 0.95 * error(points, even, weights)
    assert error(points, even) < error(points, weighted)


def test_centres_that_begin_somewhere_only_get_better() -> None:
    points = heavy_tailed(3000)
    start = points[:300]
    moved, mass = kmeans(points, 300, start=start, rounds=1)
    assert error(points, moved) < 0.9 * error(points, start)
    assert moved.shape == start.shape
    assert mass.sum() == 3000


def test_batches_give_nearly_what_all_points_do(monkeypatch: pytest.MonkeyPatch) -> None:
    points = heavy_tailed(8000)
    whole, _ = kmeans(points, 128, rounds=3)
    monkeypatch.setattr(sys.modules[kmeans.__module__], "_BATCH", 3000)
    batched, mass = kmeans(points, 128, rounds=3)
    assert error(points, batched) < 1.1 * error(points, whole)
    assert mass.sum() > 3000  # earlier batches still count


def test_centres_that_no_point_wants_move() -> None:
    points = heavy_tailed(2000)
    start = np.concatenate([points[:100], np.full((100, 24), 1e4, np.float32)])
    centres, mass = kmeans(points, 200, start=start, rounds=2)
    assert (mass > 0).sum() > 190
    assert np.abs(centres).max() < 1e3


def test_a_seed_gives_the_same_centres_and_another_seed_others() -> None:
    points = heavy_tailed(2000)
    first, second, third = (kmeans(points, 100, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_sums_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    points, weights = random.normal(size=(500, 4)).astype(np.float32), random.uniform(size=500).astype(np.float32)
    labels = random.integers(7, size=500).astype(np.int32)
    sums, mass = np.ones((7, 4)), np.ones(7)
    add_up(points, weights, labels, sums, mass)
    wide = weights.astype(np.float64)
    expected = np.stack([np.bincount(labels, wide * column, 7) for column in points.T.astype(np.float64)], axis=1)
    np.testing.assert_allclose(sums, 1 + expected, rtol=1e-12)
    np.testing.assert_allclose(mass, 1 + np.bincount(labels, wide, 7), rtol=1e-12)
