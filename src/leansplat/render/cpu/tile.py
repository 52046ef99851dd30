"""The pixels of a tile as the blending kernels hold them: sixteen 4x4 blocks, one vector a block.

A 16x16 tile is too coarse to skip work: most splats reach a few of its pixels. A 4x4 block fills one vector, and a
splat's record is tested against all sixteen blocks of the tile at once (`splat.rectangles_reached`).
"""

import numpy as np

from leansplat.render.cpu.projection import TILE
from leansplat.simd.compilation import inlined
from leansplat.simd.vector import LANES, lane_numbers_in_4x4, load, store

BLOCK = 4
BLOCKS = 16

MAX_ALPHA = 0.99
MIN_TRANSMITTANCE = 1e-4


@inlined
def block_corners(tile, columns):
    """Centres of the first pixel of each of a tile's sixteen blocks, as two vectors (x, y)."""
    x = np.float32((tile % columns) * TILE) + np.float32(0.5)
    y = np.float32((tile // columns) * TILE) + np.float32(0.5)
    return lane_numbers_in_4x4(0) * 4.0 + x, lane_numbers_in_4x4(1) * 4.0 + y


@inlined
def pixels_inside(width, height, x, y):
    """Which pixels of the block at column x, row y lie in the image, as bits."""
    bits = 0
    for i in range(LANES):
        if x + (i & 3) < width and y + (i >> 2) < height:
            bits |= 1 << i
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
