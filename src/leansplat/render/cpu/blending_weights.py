"""How much each splat contributes to an image: the sum and the maximum over pixels of its blending weight alpha T.

Follows the words that `blending` left, like the backward pass, but needs no gradient. On request only.
"""

import numba
import numpy as np

from leansplat.render.cpu.projection import TILE
from leansplat.render.cpu.splat import FORM_A, FORM_B, FORM_C, LOG2_255, LOG2_OPACITY, MEAN_X, MEAN_Y, RECORD
from leansplat.render.cpu.tile import BLOCK, BLOCKS, MAX_ALPHA, MIN_TRANSMITTANCE, pixels_inside
from leansplat.simd.across_lanes import largest_lane, sum_lanes
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.math import exp2
from leansplat.simd.vector import LANES, broadcast, fma, lane_numbers_in_4x4, load, maximum, minimum, select, store


@inlined
def _tile_weights(tile, splats, start, end, pairs, drawn, columns, width, height, weight_sum, weight_max):
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    transmittance = np.empty(BLOCKS * LANES, np.float32)
    for block in range(BLOCKS):
        inside = pixels_inside(width, height, tile_x + (block & 3) * BLOCK, tile_y + (block >> 2) * BLOCK)
        store(transmittance, block * LANES, select(bits_to_mask(inside), 1.0, 0.0))
    first_x = np.float32(tile_x) + np.float32(0.5)
    first_y = np.float32(tile_y) + np.float32(0.5)
    for j in range(start, end):
        blocks = np.uint32(drawn[j])
        splat = np.int64(pairs[j])
        r = splat * RECORD
        total = broadcast(0.0)
        largest = broadcast(0.0)
        while blocks:
            block = lowest_bit(blocks)
            blocks &= blocks - np.uint32(1)
            dx = lane_numbers_in_4x4(0) + (
                first_x + np.float32((block & np.uint32(3)) * np.uint32(4)) - splats[r + MEAN_X]
            )
            dy = lane_numbers_in_4x4(1) + (
                first_y + np.float32((block >> np.uint32(2)) * np.uint32(4)) - splats[r + MEAN_Y]
            )
            log2_opacity = splats[r + LOG2_OPACITY]
            p = fma(
                fma(splats[r + FORM_A], dx, splats[r + FORM_B] * dy), dx, fma(splats[r + FORM_C] * dy, dy, log2_opacity)
            )
            T = load(transmittance, np.int64(block) * LANES)
            reached = (p >= -LOG2_255) & (p <= log2_opacity)
            alpha = select(reached, minimum(exp2(p), MAX_ALPHA), 0.0)
            T_next = T - alpha * T
            store(transmittance, np.int64(block) * LANES, T_next)
            weight = select(reached & (T_next >= MIN_TRANSMITTANCE), alpha * T, 0.0)
            total = total + weight
            largest = maximum(largest, weight)
        weight_sum[splat] += sum_lanes(total)
        weight_max[splat] = max(weight_max[splat], largest_lane(largest))


@kernel
def blending_weights(
    splats, offsets, ends, pairs, drawn, columns, width, height, thread_tiles, sums, maxima, weight_sum, weight_max
):
    """Add to `weight_sum` and raise `weight_max`, (count,) float32 each, by one image.

    Args:
        splats to thread_tiles: as `blending_backward.blend_backward`.
        sums, maxima: (threads, count) float32 scratch.
    """
    threads = thread_tiles.size - 1
    for thread in numba.prange(threads):
        sums[thread, :] = 0
        maxima[thread, :] = 0
        for tile in range(thread_tiles[thread], thread_tiles[thread + 1]):
            _tile_weights(
                tile, splats, offsets[tile], ends[tile], pairs, drawn, columns, width, height, sums[thread],
                maxima[thread],
            )  # fmt: skip
    for thread in range(threads):
        for i in range(weight_sum.size):
            weight_sum[i] += sums[thread, i]
            weight_max[i] = max(weight_max[i], maxima[thread, i])
