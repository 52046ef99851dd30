"""The pixels of a tile as the blending kernels hold them: sixteen 4x4 blocks, one vector a block.

A 16x16 tile is too coarse to skip work: most splats reach a few of its pixels. A 4x4 block fills one vector, and a
splat's record is tested against all sixteen blocks of the tile at once (`splat.rectangles_reached`).
"""

import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.simd.compilation import inlined
from leansplat.simd.vector import LANES, lane_numbers_in_4x4, load, select, store

BLOCK = 4
BLOCKS = 16

MIN_TRANSMITTANCE = 1e-4


@inlined
def block_corners(tile, columns):
    """Centres of the first pixel of each of a tile's sixteen blocks, as two vectors (x, y)."""
    x = np.float32((tile % columns) * TILE) + np.float32(0.5)
    y = np.float32((tile // columns) * TILE) + np.float32(0.5)
    return lane_numbers_in_4x4(0) * 4.0 + x, lane_numbers_in_4x4(1) * 4.0 + y


@inlined
def block_pixels(tile_x, tile_y, block):
    """Centres of the sixteen pixels of a block (uint32) of the tile at pixel column tile_x, row tile_y, as (x, y)."""
    x = np.float32(tile_x) + np.float32(0.5) + np.float32((block & np.uint32(3)) * np.uint32(BLOCK))
    y = np.float32(tile_y) + np.float32(0.5) + np.float32((block >> np.uint32(2)) * np.uint32(BLOCK))
    return lane_numbers_in_4x4(0) + x, lane_numbers_in_4x4(1) + y


@inlined
def blend_step(T, reached, alpha):
    """A splat in front of sixteen pixels of transmittance T: (T behind it, where it draws, its weight alpha T there).

    A splat that would leave less than `MIN_TRANSMITTANCE` ends the pixel and draws nothing, as published.
    """
    T_next = T - alpha * T
    draws = reached & (T_next >= MIN_TRANSMITTANCE)
    return T_next, draws, select(draws, alpha * T, 0.0)


@inlined
def pixels_inside(width, height, x, y):
    """Which pixels of the block at column x, row y lie in the image, as bits."""
    bits = 0
    for i in range(LANES):
        if x + (i & 3) < width and y + (i >> 2) < height:
            bits |= 1 << i
    return bits


@inlined
def pixels_counted(kept, width, height, x, y):
    """Which pixels of the block at column x, row y count, as bits: those in the image that no mask hides.

    Args:
        kept: (H, W) bool, or of no pixels where all of the image count.
    """
    bits = pixels_inside(width, height, x, y)
    if kept.size > 0:
        for i in range(LANES):
            if bits & (1 << i) and not kept[y + (i >> 2), x + (i & 3)]:
                bits &= ~(1 << i)
    return bits


@inlined
def read_block(plane, width, height, x, y, scratch):
    """The block at column x, row y of an image plane (H, W); zero outside the image."""
    for i in range(LANES):
        column = x + (i & 3)
        row = y + (i >> 2)
        scratch[i] = plane[row, column] if (column < width and row < height) else np.float32(0)
    return load(scratch, 0)


@inlined
def write_block(plane, width, height, x, y, scratch, value):
    """Write the part of a block that lies in the image."""
    store(scratch, 0, value)
    for i in range(LANES):
        column = x + (i & 3)
        row = y + (i >> 2)
        if column < width and row < height:
            plane[row, column] = scratch[i]
