"""How space is cut into blocks, and how many Gaussians each may keep."""

from __future__ import annotations

import numpy as np
import pytest

from leansplat.blocks.cutting import cut, distances_to
from leansplat.blocks.number import Blocks, parse_blocks
from leansplat.blocks.shares import shared
from leansplat.errors import InputError


def scattered(count: int, seed: int = 0) -> np.ndarray:
    """Centres in a long room, many more at one end, with a few far out."""
    random = np.random.default_rng(seed)
    means = random.random((count, 3)) ** [3, 1, 1] * [20, 4, 2]
    means[:5] *= 1000
    return means.astype(np.float32)


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 16])
def test_blocks_have_as_many_gaussians_as_each_other(blocks: int) -> None:
    found = cut(scattered(1003), blocks)
    counts = np.bincount(found.labels, minlength=blocks)
    assert counts.sum() == 1003
    assert counts.max() - counts.min() <= 1


def test_a_block_is_a_part_of_space() -> None:
    means = scattered(2000)
    found = cut(means, 8)
    inside = means[5:]
    for number in range(8):
        mine = inside[found.labels[5:] == number]
        others = inside[found.labels[5:] != number]
        low, high = mine.min(axis=0), mine.max(axis=0)
        assert not ((others > low) & (others < high)).all(axis=1).any()


def test_the_tree_names_every_block_once_and_halves_where_it_is_long() -> None:
    found = cut(scattered(900), 4)
    assert found.tree == ((0, 1), (2, 3))
    assert found.boxes[:2, 1, 0].max() <= found.boxes[2:, 0, 0].min()


def test_equal_centres_are_cut_in_the_order_of_the_file() -> None:
    found = cut(np.zeros((10, 3), np.float32), 2)
    assert found.labels.tolist() == [0] * 5 + [1] * 5


def test_centres_that_are_not_finite_belong_to_a_block_too() -> None:
    means = scattered(100)
    means[7] = np.nan
    means[8, 1] = np.inf
    found = cut(means, 4)
    assert np.bincount(found.labels).tolist() == [25] * 4
    assert np.isfinite(found.boxes).all()


def test_distances_are_counted_from_the_sides_of_a_box() -> None:
    box = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    points = np.array([[0.5, 1.0, 1.0], [-2.0, 1.0, 1.0], [2.0, 5.0, 1.0], [np.nan, 0, 0]])
    assert distances_to(box, points)[:3].tolist() == [0.0, 2.0, 3.0]
    assert np.isnan(distances_to(box, points)[3])


@pytest.mark.parametrize("count", [4, 17, 250, 399, 400, 401, 555, 600])
def test_counts_of_blocks_add_up_to_what_was_asked_for(count: int) -> None:
    given, drawable = (100, 200, 150, 150), (100, 50, 149, 101)
    found = shared(count, given, drawable)
    assert sum(found) == count
    assert all(1 <= mine <= whole for mine, whole in zip(found, given, strict=True))


def test_what_cannot_be_drawn_goes_everywhere_before_anything_that_can() -> None:
    assert shared(300, (100, 200, 200), (100, 0, 200))[1] == 1
    assert shared(150, (100, 100), (100, 50)) == (100, 50)


def test_fewer_gaussians_than_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="3 Gaussians cannot be shared among 4 blocks"):
        shared(3, (10, 10, 10, 10), (10, 10, 10, 10))


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("40", Blocks(count=40)),
        ("500k", Blocks(most=500_000)),
        ("0.5M", Blocks(most=500_000)),
        (" 2 M ", Blocks(most=2_000_000)),
    ],
)
def test_blocks_are_a_number_or_gaussians(text: str, blocks: Blocks) -> None:
    assert parse_blocks(text) == blocks


@pytest.mark.parametrize("text", ["", "0", "-3", "many", "1.5", "10 MB", "20000", "0.01k"])
def test_other_blocks_are_one_sentence(text: str) -> None:
    with pytest.raises(InputError):
        parse_blocks(text)


def test_a_block_is_never_so_small_that_it_shows_nothing() -> None:
    assert Blocks(count=40).of(1000) == 10
    assert Blocks(count=2).of(150) == 1
    assert Blocks(most=500_000).of(20_000_000) == 40
    assert Blocks(most=500_000).of(20_000_001) == 41
    with pytest.raises(InputError, match="at most 9,999"):
        Blocks(most=100).of(10**7)
