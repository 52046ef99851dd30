"""How much each splat contributes to an image: the sum and the maximum over pixels of its blending weight alpha T.

Follows the words that `blending` left, like the backward pass, but needs no gradient. On request only. Pixels that do
not count start without light, as those outside the image do.
"""

import numba
import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.engines.cpu.splat import FORM_A, FORM_B, FORM_C, LOG2_OPACITY, MEAN_X, MEAN_Y, RECORD, brightness_at
from leansplat.engines.cpu.tile import BLOCK, BLOCKS, blend_step, block_pixels, pixels_counted
from leansplat.simd.across_lanes import largest_lane, sum_lanes
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, broadcast, load, maximum, select, store


@inlined
def _tile_weights(tile, splats, start, end, pairs, drawn, columns, width, height, kept, weight_sum, weight_max):
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    transmittance = np.empty(BLOCKS * LANES, np.float32)
    for block in range(BLOCKS):
        inside = pixels_counted(kept, width, height, tile_x + (block & 3) * BLOCK, tile_y + (block >> 2) * BLOCK)
        store(transmittance, block * LANES, select(bits_to_mask(inside), 1.0, 0.0))
    for j in range(start, end):
        blocks = np.uint32(drawn[j])
        splat = np.int64(pairs[j])
        r = splat * RECORD
        total = broadcast(0.0)
        largest = broadcast(0.0)
        while blocks:
            block = lowest_bit(blocks)
            blocks &= blocks - np.uint32(1)
            x, y = block_pixels(tile_x, tile_y, block)
            _, reached, alpha = brightness_at(
                splats[r + FORM_A],
                splats[r + FORM_B],
                splats[r + FORM_C],
                broadcast(splats[r + LOG2_OPACITY]),
                x - splats[r + MEAN_X],
                y - splats[r + MEAN_Y],
            )
            T, _, weight = blend_step(load(transmittance, np.int64(block) * LANES), reached, alpha)
            store(transmittance, np.int64(block) * LANES, T)
            total = total + weight
            largest = maximum(largest, weight)
        weight_sum[splat] += sum_lanes(total)
        weight_max[splat] = max(weight_max[splat], largest_lane(largest))


@kernel
def blending_weights(
    splats,
    offsets,
    ends,
    pairs,
    drawn,
    columns,
    width,
    height,
    kept,
    thread_tiles,
    sums,
    maxima,
    weight_sum,
    weight_max,
):
    """Add to `weight_sum` and raise `weight_max`, (count,) float32 each, by one image.

    Args:
        splats to thread_tiles: as `blending_backward.blend_backward`.
        kept: (H, W) bool, pixels that count, or of no pixels where all do.
        sums, maxima: (threads, count) float32 scratch.
    """
    threads = thread_tiles.size - 1
    for thread in numba.prange(threads):
        sums[thread, :] = 0
        maxima[thread, :] = 0
        for tile in range(thread_tiles[thread], thread_tiles[thread + 1]):
            _tile_weights(
                tile, splats, offsets[tile], ends[tile], pairs, drawn, columns, width, height, kept,
                sums[thread], maxima[thread],
            )  # fmt: skip
    for thread in range(threads):
        for i in range(weight_sum.size):
            weight_sum[i] += sums[thread, i]
            weight_max[i] = max(weight_max[i], maxima[thread, i])
