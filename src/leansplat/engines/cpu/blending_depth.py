"""How deep the scene is at each pixel: the mean of what was blended there, and the half-way point.

With w_i = alpha_i T_i the blending weights of the splats that draw, nearest first, and z_i their depths:

    expected = sum_i w_i z_i / sum_i w_i
    median   = z_k of the first k with T_k (1 - alpha_k) <= 1/2

Both are 0 where there is no such depth. Follows the words that `blending` left, as `blending_weights` does. On request
only; it has no gradient.
"""

import numba
import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.engines.cpu.splat import FORM_A, FORM_B, FORM_C, LOG2_OPACITY, MEAN_X, MEAN_Y, RECORD, brightness_at
from leansplat.engines.cpu.tile import BLOCK, BLOCKS, blend_step, block_pixels, pixels_inside, write_block
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, broadcast, fma, load, select, store

_STATE = 4 * LANES  # T, sum of weights, sum of weighted depths, and the median, of one block


@inlined
def _tile_depths(tile, splats, depths, start, end, pairs, drawn, columns, width, height, expected, median):
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    state = np.empty(BLOCKS * _STATE, np.float32)
    scratch = np.empty(LANES, np.float32)
    for block in range(BLOCKS):
        inside = pixels_inside(width, height, tile_x + (block & 3) * BLOCK, tile_y + (block >> 2) * BLOCK)
        at = block * _STATE
        store(state, at, select(bits_to_mask(inside), 1.0, 0.0))
        for field in range(1, 4):
            store(state, at + field * LANES, 0.0)
    for j in range(start, end):
        blocks = np.uint32(drawn[j])
        splat = np.int64(pairs[j])
        r = splat * RECORD
        depth = broadcast(depths[splat])
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
            at = np.int64(block) * _STATE
            T = load(state, at)
            T_next, draws, weight = blend_step(T, reached, alpha)
            store(state, at, T_next)
            store(state, at + LANES, load(state, at + LANES) + weight)
            store(state, at + 2 * LANES, fma(weight, depth, load(state, at + 2 * LANES)))
            halves = draws & (T > 0.5) & (T_next <= 0.5)
            store(state, at + 3 * LANES, select(halves, depth, load(state, at + 3 * LANES)))
    for block in range(BLOCKS):
        x = tile_x + (block & 3) * BLOCK
        y = tile_y + (block >> 2) * BLOCK
        at = block * _STATE
        total = load(state, at + LANES)
        mean = select(total > 0.0, load(state, at + 2 * LANES) / select(total > 0.0, total, 1.0), 0.0)
        write_block(expected, width, height, x, y, scratch, mean)
        write_block(median, width, height, x, y, scratch, load(state, at + 3 * LANES))


@kernel
def blending_depth(
    splats, depths, offsets, ends, pairs, drawn, columns, width, height, thread_tiles, expected, median
):  # fmt: skip
    """Write the depths of one image to `expected` and `median`, (H, W) float32 each.

    Args:
        splats, offsets to thread_tiles: as `blending_backward.blend_backward`.
        depths: (padded count,) float32, view-space z of each splat.
    """
    for thread in numba.prange(thread_tiles.size - 1):
        for tile in range(thread_tiles[thread], thread_tiles[thread + 1]):
            _tile_depths(
                tile, splats, depths, offsets[tile], ends[tile], pairs, drawn, columns, width, height, expected, median
            )
