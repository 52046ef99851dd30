"""Morton order against the definition."""

from __future__ import annotations

import torch

from leansplat.ordering import morton_order


def interleaved(cell: list[int]) -> int:
    return sum(((cell[axis] >> bit) & 1) << (3 * bit + 2 - axis) for bit in range(21) for axis in range(3))


def test_order_is_that_of_interleaved_bits() -> None:
    # The corners fix the range, so that each coordinate is its own cell of 2^21.
    cells = torch.randint(0, 2**21, (300, 3), generator=torch.Generator().manual_seed(0))
    cells[0], cells[1] = 0, 2**21 - 1
    centres = (cells.double() + 0.5).clamp(0, 2**21)
    centres[0], centres[1] = 0.0, float(2**21)
    codes = [interleaved(cell) for cell in cells.tolist()]
    order = morton_order(centres)
    assert [codes[i] for i in order.tolist()] == sorted(codes)


def test_equal_centres_keep_their_order() -> None:
    assert morton_order(torch.ones(10, 3)).tolist() == list(range(10))


def test_it_is_a_permutation_even_with_values_that_are_not_finite() -> None:
    centres = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    centres[7, 0], centres[9, 2] = float("nan"), float("inf")
    assert sorted(morton_order(centres).tolist()) == list(range(50))
    assert sorted(morton_order(torch.full((4, 3), float("nan"))).tolist()) == [0, 1, 2, 3]


def test_nothing_has_an_order_too() -> None:
    assert morton_order(torch.zeros(0, 3)).tolist() == []


def test_neighbours_in_order_are_near_each_other() -> None:
    centres = torch.rand(4096, 3, generator=torch.Generator().manual_seed(2))

    def mean_gap(points: torch.Tensor) -> float:
        return float((points[1:] - points[:-1]).norm(dim=1).mean())

    # Random pairs in a unit cube are 0.66 apart; 4096 cells have sides of 1/16.
    assert mean_gap(centres[morton_order(centres)]) < 2 / 16 < mean_gap(centres)


def test_more_centres_than_are_handled_at_once_are_in_order_too() -> None:
    generator = torch.Generator().manual_seed(3)
    distinct = torch.rand(250, 3, generator=generator)
    rank = morton_order(distinct).argsort()
    which = torch.randint(250, (70_000,), generator=generator)
    which[:250] = torch.arange(250)  # so that both have the same range
    order = morton_order(distinct[which])
    assert torch.equal(order, rank[which].argsort(stable=True))
