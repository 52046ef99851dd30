"""What an image would lose with each splat: exact, from one sweep over the tiles, because a pixel is affine in alpha.

Without splat i a pixel changes by dC_i = -alpha_i d_i, with d_i = T_i c_i - R_i / (1 - alpha_i) and R_i the light that
comes from behind it, background included. (A pixel that ended early stays ended; the light that would then reach it is
below `MIN_TRANSMITTANCE`.) Sums over pixels and channels of simple functions of d_i are what several published criteria
ask for. The sweep follows the words that `blending` left, like the backward pass. Pixels that do not
count start without light, as those outside the image do.
"""

import numba
import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.engines.cpu.splat import (
    FORM_A,
    FORM_B,
    FORM_C,
    LOG2_OPACITY,
    MEAN_X,
    MEAN_Y,
    RECORD,
    RED,
    brightness_at,
)
from leansplat.engines.cpu.tile import BLOCK, BLOCKS, blend_step, block_pixels, pixels_counted, read_block
from leansplat.simd.across_lanes import sums_of
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.math import exp2
from leansplat.simd.vector import LANES, broadcast, fma, load, select, store

CHANGE, SLOPE, VALUE_GRADIENT, VISIBILITY = range(4)
"""Columns of the result: sum of |dC|^2, of 2 e . dC with e the image minus the photo, of |opacity d|^2 (the gradient by
the Gaussian's value, its brightness apart from the opacity), and of opacity T over the pixels where a splat draws."""

COLUMNS = 4
_STATE = 7 * LANES  # T, R as red, green, blue, and e as red, green, blue, of one block


@inlined
def _tile_removal(tile, splats, start, end, pairs, drawn, columns, width, height, image, difference, kept, sums, own):
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    state = np.empty(BLOCKS * _STATE, np.float32)
    scratch = np.empty(LANES, np.float32)
    for block in range(BLOCKS):
        x0 = tile_x + (block & 3) * BLOCK
        y0 = tile_y + (block >> 2) * BLOCK
        at = block * _STATE
        store(state, at, select(bits_to_mask(pixels_counted(kept, width, height, x0, y0)), 1.0, 0.0))
        for channel in range(3):
            store(state, at + (1 + channel) * LANES, read_block(image[channel], width, height, x0, y0, scratch))
            store(state, at + (4 + channel) * LANES, read_block(difference[channel], width, height, x0, y0, scratch))

    zero = broadcast(0.0)
    for j in range(start, end):
        blocks = np.uint32(drawn[j])
        if blocks == 0:
            continue
        r = np.int64(pairs[j]) * RECORD
        log2_opacity = broadcast(splats[r + LOG2_OPACITY])
        change = zero
        slope = zero
        squares = zero
        through = zero
        while blocks:
            block = lowest_bit(blocks)
            blocks &= blocks - np.uint32(1)
            at = np.int64(block) * _STATE
            x, y = block_pixels(tile_x, tile_y, block)
            _, reached, alpha = brightness_at(
                splats[r + FORM_A],
                splats[r + FORM_B],
                splats[r + FORM_C],
                log2_opacity,
                x - splats[r + MEAN_X],
                y - splats[r + MEAN_Y],
            )
            T = load(state, at)
            T_next, draws, weight = blend_step(T, reached, alpha)
            store(state, at, T_next)
            square = zero
            along_error = zero
            for channel in range(3):
                color = splats[r + RED + channel]
                behind = load(state, at + (1 + channel) * LANES) - weight * color
                store(state, at + (1 + channel) * LANES, behind)
                d = T * color - behind / (1.0 - alpha)
                square = fma(d, d, square)
                along_error = fma(d, load(state, at + (4 + channel) * LANES), along_error)
            change = change + select(draws, alpha * alpha * square, 0.0)
            slope = slope + select(draws, alpha * along_error, 0.0)
            squares = squares + select(draws, square, 0.0)
            through = through + select(draws, T, 0.0)
        opacity = exp2(log2_opacity)
        total = sums_of((change, -2.0 * slope, opacity * opacity * squares, opacity * through))
        store(sums, own + r, load(sums, own + r) + total)


@kernel
def removal_effects(
    splats, offsets, ends, pairs, drawn, columns, width, height, image, difference, kept, thread_tiles, sums, effects
):
    """Add the four sums of one image to `effects`, (count, 4) float32.

    Args:
        splats to thread_tiles: as `blending_backward.blend_backward`; image includes the background.
        difference: (3, H, W) image minus photo.
        kept: (H, W) bool, pixels that count, or of no pixels where all do.
        sums: (threads * blocks * 16 * 16,) float32 scratch, a record per thread and splat.
    """
    threads = thread_tiles.size - 1
    per_thread = sums.size // threads
    for thread in numba.prange(threads):
        own = thread * per_thread
        sums[own : own + per_thread] = 0
        for tile in range(thread_tiles[thread], thread_tiles[thread + 1]):
            _tile_removal(
                tile, splats, offsets[tile], ends[tile], pairs, drawn, columns, width, height, image, difference, kept,
                sums, own,
            )  # fmt: skip
    for i in numba.prange(effects.shape[0]):
        for column in range(COLUMNS):
            for thread in range(threads):
                effects[i, column] += sums[thread * per_thread + i * RECORD + column]
