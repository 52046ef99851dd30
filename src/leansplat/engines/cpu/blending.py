"""Front-to-back blending of a tile's splats into its pixels: C = sum_i c_i alpha_i prod_{j<i} (1 - alpha_j).

A tile is 16x16 pixels in sixteen 4x4 blocks. Its splats are taken in chunks: each is tested once against all blocks,
which gives a 16-bit word; then every block walks only the splats whose word names it, with its sixteen pixels in one
vector and its state in registers. Transmittance T only falls, so a pixel is alive while the next T would be at least
1e-4, and no other flag is needed.

The kernel leaves, for each pair of tile and splat, the word of blocks in which the splat really drew, or ended a pixel.
The backward pass follows these words and repeats no test.
"""

import numba
import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.engines.cpu.splat import (
    BLUE,
    FORM_A,
    FORM_B,
    FORM_C,
    GREEN,
    LOG2_OPACITY,
    MEAN_X,
    MEAN_Y,
    RECORD,
    RED,
    brightness_at,
    rectangles_reached,
)
from leansplat.engines.cpu.tile import (
    BLOCK,
    BLOCKS,
    MIN_TRANSMITTANCE,
    blend_step,
    block_corners,
    block_pixels,
    pixels_inside,
    write_block,
)
from leansplat.simd.bits import append_where_bit, bits_to_mask, count_bits, lowest_bit, mask_to_bits
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, broadcast, fma, load, prefetch, select, store

_CHUNK = 128  # splats whose words and records are held at a time; their numbers fit a byte
_AHEAD = 6  # records to prefetch ahead
_STATE = 5 * LANES  # running T, red, green, blue, and the T of the last splat drawn, of one block
_PAIR_COST = 2  # cost of a pair besides its blocks, in blocks


@inlined
def _blend_tile(tile, splats, offsets, pairs, columns, width, height, background, image, transmittance, drawn):
    """Blend one tile; return how many of its pairs were looked at, and a measure of the work they make backward."""
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    start = offsets[tile]
    end = offsets[tile + 1]
    state = np.empty(BLOCKS * _STATE, np.float32)
    records = np.empty(_CHUNK * RECORD, np.float32)
    words = np.empty(_CHUNK, np.uint16)
    drew = np.empty(_CHUNK, np.uint16)
    chosen = np.empty(_CHUNK + LANES, np.uint8)
    scratch = np.empty(LANES, np.float32)

    alive = np.uint32(0)  # blocks with a pixel that is not opaque yet
    for block in range(BLOCKS):
        inside = pixels_inside(width, height, tile_x + (block & 3) * BLOCK, tile_y + (block >> 2) * BLOCK)
        if inside:
            alive |= np.uint32(1 << block)
        # Pixels outside the image start opaque.
        clear = select(bits_to_mask(inside), 1.0, 0.0)
        at = block * _STATE
        store(state, at, clear)
        for channel in range(1, 4):
            store(state, at + channel * LANES, 0.0)
        store(state, at + 4 * LANES, clear)

    corner_x, corner_y = block_corners(tile, columns)
    cost = np.int64(0)
    seen = start
    while seen < end and alive != 0:
        count = min(_CHUNK, end - seen)
        for j in range(count):
            if seen + j + _AHEAD < end:
                prefetch(splats, np.int64(pairs[seen + j + _AHEAD]) * RECORD)
            record = np.int64(pairs[seen + j]) * RECORD
            store(records, j * RECORD, load(splats, record))
            side = np.float32(BLOCK - 1)
            words[j] = rectangles_reached(splats, record, corner_x, corner_y, side, side)
            drew[j] = 0
        for j in range(count, (count + LANES - 1) // LANES * LANES):
            words[j] = 0

        waiting = alive
        while waiting:
            block = lowest_bit(waiting)
            waiting &= waiting - np.uint32(1)
            chosen_count = np.int64(0)
            for j in range(0, count, LANES):
                chosen_count = append_where_bit(chosen, chosen_count, words, j, block)
            at = np.int64(block) * _STATE
            T = load(state, at)
            red = load(state, at + LANES)
            green = load(state, at + 2 * LANES)
            blue = load(state, at + 3 * LANES)
            T_drawn = load(state, at + 4 * LANES)
            x, y = block_pixels(tile_x, tile_y, block)
            for i in range(chosen_count):
                r = np.int64(chosen[i]) * RECORD
                _, reached, alpha = brightness_at(
                    records[r + FORM_A],
                    records[r + FORM_B],
                    records[r + FORM_C],
                    broadcast(records[r + LOG2_OPACITY]),
                    x - records[r + MEAN_X],
                    y - records[r + MEAN_Y],
                )
                T_next, draws, weight = blend_step(T, reached, alpha)
                # The splat that ends a pixel draws nothing there, but the backward pass has to end it too.
                changes = mask_to_bits(reached & (T >= MIN_TRANSMITTANCE)) != 0
                drew[chosen[i]] |= np.uint16(np.uint32(changes) << block)
                T = T_next
                T_drawn = select(draws, T_next, T_drawn)
                red = fma(weight, records[r + RED], red)
                green = fma(weight, records[r + GREEN], green)
                blue = fma(weight, records[r + BLUE], blue)
                if (i & 7) == 7 and mask_to_bits(T >= MIN_TRANSMITTANCE) == 0:
                    break
            store(state, at, T)
            store(state, at + LANES, red)
            store(state, at + 2 * LANES, green)
            store(state, at + 3 * LANES, blue)
            store(state, at + 4 * LANES, T_drawn)
            if mask_to_bits(T >= MIN_TRANSMITTANCE) == 0:
                alive &= ~(np.uint32(1) << block)
        for j in range(count):
            drawn[seen + j] = drew[j]
            if drew[j] != 0:
                cost += np.int64(count_bits(drew[j])) + _PAIR_COST
        seen += count

    for block in range(BLOCKS):
        x0 = tile_x + (block & 3) * BLOCK
        y0 = tile_y + (block >> 2) * BLOCK
        T = load(state, block * _STATE + 4 * LANES)
        write_block(transmittance, width, height, x0, y0, scratch, T)
        for channel in range(3):
            value = fma(T, background[channel], load(state, block * _STATE + (channel + 1) * LANES))
            write_block(image[channel], width, height, x0, y0, scratch, value)
    return seen, cost


@kernel
def blend(splats, offsets, pairs, columns, width, height, background, image, transmittance, drawn, ends, costs):
    """Blend every tile.

    Args:
        splats: records; offsets, pairs: each tile's splats, nearest first; columns: tiles in a line.
        background: (3,) colour behind everything.
        image: (3, H, W) out; transmittance: (H, W) out, what is left of the light after the last splat.
        drawn: (pairs,) uint16 out, the blocks in which each splat drew or ended a pixel; defined up to `ends`.
        ends: (tiles,) int32 out, where each tile stopped in `pairs` because all its pixels were opaque.
        costs: (tiles,) int64 out, work for the backward pass.
    """
    for tile in numba.prange(offsets.size - 1):
        end, cost = _blend_tile(
            tile, splats, offsets, pairs, columns, width, height, background, image, transmittance, drawn
        )
        ends[tile] = end
        costs[tile] = cost
