"""Looking for the nearest of many centres, against comparing with every one in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from leansplat.clustering import candidates, nearest, nearest_candidates
from leansplat.simd.threads import set_thread_count, thread_count

RANDOM = np.random.default_rng(0)


def squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, K) float64."""
    difference = points[:, None].astype(np.float64) - centres[None]
    return np.square(difference).sum(axis=2)


def clouds(count: int, centres: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and centres whose coordinates differ in how much they vary, as those of spherical harmonics do."""
    spread = np.linspace(1.5, 0.1, depth)
    return tuple((RANDOM.normal(size=(n, depth)) * spread).astype(np.float32) for n in (count, centres))


@pytest.mark.parametrize(
    ("count", "centres", "depth"), [(1, 1, 1), (7, 31, 2), (9, 33, 6), (500, 1000, 45), (300, 700, 24), (40, 2, 9)]
)
def test_the_nearest_centre_is_found(count: int, centres: int, depth: int) -> None:
    points, books = clouds(count, centres, depth)
    labels = nearest(points, books)
    assert labels.dtype == np.int32
    distances = squared_distances(points, books)
    np.testing.assert_allclose(distances[np.arange(count), labels], distances.min(axis=1), rtol=1e-4, atol=1e-6)
    assert (labels == distances.argmin(axis=1)).mean() > 0.99


def test_of_equal_centres_the_first_is_taken() -> None:
    centres = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    np.testing.assert_array_equal(nearest(np.eye(3, dtype=np.float32), centres), [0, 50, 100])


def test_no_points_have_no_labels() -> None:
    assert nearest(np.empty((0, 3), np.float32), np.zeros((2, 3), np.float32)).shape == (0,)


def test_candidates_hold_the_nearest_nearly_always_and_else_one_hardly_farther() -> None:
    points, centres = clouds(1000, 2000, 45)
    labels, found = nearest_candidates(points, centres, candidates(points, centres))
    distances = squared_distances(points, centres)
    np.testing.assert_allclose(found, distances[np.arange(1000), labels], rtol=1e-4)
    assert (labels == distances.argmin(axis=1)).mean() > 0.9
    assert found.sum() < 1.01 * distances.min(axis=1).sum()


def test_candidates_of_fewer_centres_than_columns_name_only_those() -> None:
    points, centres = clouds(50, 5, 8)
    labels, _ = nearest_candidates(points, centres, candidates(points, centres))
    np.testing.assert_array_equal(labels, squared_distances(points, centres).argmin(axis=1))


def test_the_number_of_threads_changes_nothing() -> None:
    points, centres = clouds(2000, 300, 45)
    before = thread_count()
    found = []
    try:
        for count in {1, before}:
            set_thread_count(count)
            found.append((nearest(points, centres), candidates(points, centres)))
    finally:
        set_thread_count(before)
    for one, other in zip(found[0], found[-1], strict=True):
        np.testing.assert_array_equal(one, other)
