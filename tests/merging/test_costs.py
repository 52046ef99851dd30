"""The closed form of what a merge changes, against pictures of it summed pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.rendered_scenes import scene, surfaces

from leansplat.gaussians import Gaussians
from leansplat.merging import simplify
from leansplat.merging.costs import pair_costs
from leansplat.merging.moments import axes, mix, moments, share_of_first


def cost_of(two: Gaussians, worth: tuple[float, float] = (1.0, 1.0), exposure: tuple[float, float] = (0, 0)) -> float:
    rows, costs = moments(two.arrays()), np.empty(1, np.float32)
    sh0, shN = two.sh0.reshape(2, -1).numpy(), two.shN.reshape(2, -1).numpy()
    pair = np.array([0]), np.array([1])
    pair_costs(rows, sh0, shN, np.array(worth), np.array(exposure, float), *pair, costs)
    return float(costs[0])


def pictures(two: Gaussians, size: int = 160) -> list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """Along each axis of the merged one: the area of a pixel, and brightness (size, size) of both and of that one."""
    rows = moments(two.arrays())
    mean, matrix, values, vectors = np.empty(3), np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    mix(rows[0], rows[1], share_of_first(rows[0], rows[1]), mean, matrix)
    merged = simplify(two, 1).gaussians
    axes(matrix.copy(), values, vectors)
    every = [*rows, moments(merged.arrays())[0]]
    found = []
    for along in range(3):
        plane = np.delete(vectors, along, axis=1)
        reach = 6 * np.sqrt(values[0])
        line = (np.arange(size) + 0.5) / size * 2 * reach - reach
        grid = np.stack(np.meshgrid(line, line), axis=-1)
        drawn = []
        for row in every:
            full = np.zeros((3, 3))
            full[np.triu_indices(3)] = row[3:9]
            full = full + np.triu(full, 1).T
            offset = grid - (row[:3] - mean) @ plane
            inverse = np.linalg.inv(plane.T @ full @ plane)
            drawn.append(row[9] * np.exp(-0.5 * np.einsum("xyi,ij,xyj->xy", offset, inverse, offset)))
        found.append(((2 * reach / size) ** 2, *drawn))
    return found


@pytest.fixture
def two() -> Gaussians:
    """Two that overlap in part, of unlike size, opacity and colour, none thin from any side."""
    both = surfaces(2, sh_degree=1)
    both.means[:] = torch.tensor([[0.0, 0.0, 0.0], [0.12, 0.05, -0.03]])
    both.scales[:] = torch.tensor([[0.1, 0.07, 0.05], [0.06, 0.12, 0.04]]).log()
    both.opacities[:] = torch.tensor([-0.5, -1.0])
    return both


def test_the_shape_costs_what_the_pictures_differ_by_relative_to_both(two: Gaussians) -> None:
    two.sh0[1], two.shN[1] = two.sh0[0], two.shN[0]
    apart = sum(area * ((a + b - one) ** 2).sum() for area, a, b, one in pictures(two))
    whole = sum(area * ((a**2).sum() + (b**2).sum()) for area, a, b, _ in pictures(two))
    assert cost_of(two, worth=(2.0, 3.0)) == pytest.approx(5 * apart / whole, rel=1e-3)


def test_the_tint_costs_what_the_colours_differ_by_over_all_directions(two: Gaussians) -> None:
    rows = moments(two.arrays())
    share = share_of_first(rows[0], rows[1])
    step = sum(float(((getattr(two, name)[0] - getattr(two, name)[1]) ** 2).sum()) for name in ("sh0", "shN"))
    tinted = sum(area * (((1 - share) * a - share * b) ** 2).sum() for area, a, b, _ in pictures(two))
    exposed = share * 2 + (1 - share) * 7
    expected = exposed * tinted * step / (4 * np.pi)
    assert cost_of(two, worth=(0, 0), exposure=(2, 7)) == pytest.approx(expected, rel=1e-3)


def test_two_of_the_same_cost_almost_nothing_and_more_the_farther_they_are() -> None:
    costs = []
    for distance in (0.0, 0.02, 0.1, 0.5):
        both = scene(torch.tensor([[0.0, 0, 0], [distance, 0, 0]]), opacities=torch.full((2,), -2.0))
        both.sh0[1], both.shN[1] = both.sh0[0], both.shN[0]
        costs.append(cost_of(both))
    assert costs[0] == pytest.approx(0, abs=1e-9)
    assert costs == sorted(costs)
