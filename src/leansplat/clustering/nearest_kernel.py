"""The inner loops of looking for the nearest of many centres.

|x - c|^2 is least where x.c - |c|^2 / 2 is largest, so the work is a matrix product whose results are compared and not
stored. Points and centres pass in tiles (see `tile.py`), a group of centres at a time, which stays in the second cache
while a batch of points passes it.
"""

import numba
import numpy as np

from leansplat.clustering.tile import POINTS, WIDTH, add_products, keep_largest, starting_sums
from leansplat.simd.across_lanes import sum_lanes
from leansplat.simd.compilation import kernel
from leansplat.simd.vector import LANES, broadcast, fma, lane_numbers, load_where

_BATCH = 16  # tiles of points that pass a group of centres together
_GROUP_FLOATS = 2**15


@kernel
def best_of_columns(points, depth, centres, best, scores):
    """The best centre in each column, for each point; a column is the centres at one place of their blocks.

    Args:
        points: (N * depth,) float32, row by row; N is a multiple of POINTS.
        centres: (B * (depth + 1) * WIDTH,) float32, B blocks: a line of -|c|^2 / 2, then a line a coordinate.
        best: (N, WIDTH) int32, output: the number of the centre, WIDTH times its block plus its column.
        scores: (N, WIDTH) float32, output: x.c - |c|^2 / 2 of it.
    """
    tiles = best.shape[0] // POINTS
    size = (depth + 1) * WIDTH
    blocks = centres.size // size
    group = max(1, _GROUP_FLOATS // size)
    for batch in numba.prange((tiles + _BATCH - 1) // _BATCH):
        first = batch * _BATCH
        last = min(tiles, first + _BATCH)
        largest = np.full(_BATCH * POINTS * WIDTH, -np.inf, np.float32)
        numbers = np.zeros(_BATCH * POINTS * WIDTH, np.float32)
        for start in range(0, blocks, group):
            for tile in range(first, last):
                row = tile * POINTS * depth
                at = (tile - first) * POINTS * WIDTH
                for block in range(start, min(blocks, start + group)):
                    line = block * size
                    sums = starting_sums(centres, line)
                    for k in range(depth):
                        sums = add_products(sums, points, row + k, depth, centres, line + (k + 1) * WIDTH)
                    keep_largest(sums, block, largest, numbers, at)
        for point in range((last - first) * POINTS):
            for column in range(WIDTH):
                at = point * WIDTH + column
                best[first * POINTS + point, column] = np.int32(numbers[at]) * WIDTH + column
                scores[first * POINTS + point, column] = largest[at]


@kernel
def nearest_of(points, centres, depth, candidates, labels, distances):
    """The nearest of some centres, those that each point lists.

    Args:
        points: (N * depth,) float32 and centres: (K * depth,) float32, row by row.
        candidates: (N, L) int32, numbers of centres; those that are not below K are passed over.
        labels: (N,) int32, output: of equally near ones the first in the list.
        distances: (N,) float32, output: the squared distance.
    """
    count = centres.size // depth
    for row in numba.prange(labels.size):
        label = candidates[row, 0]
        nearest = np.float32(np.inf)
        for entry in range(candidates.shape[1]):
            candidate = np.int64(candidates[row, entry])
            if candidate < count:
                total = broadcast(0.0)
                for k in range(0, depth, LANES):
                    inside = lane_numbers() < np.float32(depth - k)
                    difference = load_where(points, row * depth + k, inside) - load_where(
                        centres, candidate * depth + k, inside
                    )
                    total = fma(difference, difference, total)
                distance = sum_lanes(total)
                if distance < nearest:
                    nearest = distance
                    label = candidate
        labels[row] = label
        distances[row] = nearest
