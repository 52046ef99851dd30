"""The gradient of `blending`, front to back like the forward pass.

With R the light that still comes from behind (weighted by the pixel's gradient), dL/dalpha_i = T_i (d . c_i) - R_i /
(1 - alpha_i): R starts as d . C and loses each splat's share as it is passed, so one sweep is enough and no list is
walked backwards. Nine sums per splat are taken over the tile's pixels in registers and added once per tile to the
thread's own buffer. Which tiles a thread gets is fixed by the forward pass' costs, so the same thread count gives the
same bits.
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
    MAX_ALPHA,
    MEAN_X,
    MEAN_Y,
    RECORD,
    RED,
    brightness_at,
)
from leansplat.engines.cpu.tile import BLOCK, BLOCKS, blend_step, block_pixels, pixels_inside, read_block
from leansplat.simd.across_lanes import sums_of
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, broadcast, fma, load, prefetch, select, store

_AHEAD = 6  # records to prefetch ahead
_STATE = 5 * LANES  # T, R, and the gradient's red, green and blue, of one block


def share_tiles(costs, threads):
    """Where each thread's run of consecutive tiles starts, (threads + 1,) int64, for about the same cost each."""
    done = np.concatenate([[0], np.cumsum(costs)])
    wanted = done[-1] * np.arange(1, threads) / threads
    return np.concatenate([[0], np.searchsorted(done, wanted), [costs.size]]).astype(np.int64)


@inlined
def _blend_tile_backward(
    tile, splats, start, end, pairs, drawn, columns, width, height, image, image_gradient, transmittance,
    with_alpha, alpha_gradient, sums, own, touched, own_touched,
):  # fmt: skip
    tile_x = (tile % columns) * TILE
    tile_y = (tile // columns) * TILE
    state = np.empty(BLOCKS * _STATE, np.float32)
    scratch = np.empty(LANES, np.float32)
    for block in range(BLOCKS):
        x0 = tile_x + (block & 3) * BLOCK
        y0 = tile_y + (block >> 2) * BLOCK
        at = block * _STATE
        store(state, at, select(bits_to_mask(pixels_inside(width, height, x0, y0)), 1.0, 0.0))
        behind = broadcast(0.0)
        for channel in range(3):
            d = read_block(image_gradient[channel], width, height, x0, y0, scratch)
            store(state, at + (2 + channel) * LANES, d)
            behind = fma(d, read_block(image[channel], width, height, x0, y0, scratch), behind)
        if with_alpha:
            d = read_block(alpha_gradient, width, height, x0, y0, scratch)
            behind = behind - d * read_block(transmittance, width, height, x0, y0, scratch)
        store(state, at + LANES, behind)

    zero = broadcast(0.0)
    for j in range(start, end):
        if j + _AHEAD < end:
            prefetch(splats, np.int64(pairs[j + _AHEAD]) * RECORD)
            prefetch(sums, own + np.int64(pairs[j + _AHEAD]) * RECORD)
        blocks = np.uint32(drawn[j])
        if blocks == 0:
            continue
        r = np.int64(pairs[j]) * RECORD
        mean_x = splats[r + MEAN_X]
        mean_y = splats[r + MEAN_Y]
        form_a = broadcast(splats[r + FORM_A])
        form_b = broadcast(splats[r + FORM_B])
        form_c = broadcast(splats[r + FORM_C])
        log2_opacity = broadcast(splats[r + LOG2_OPACITY])
        red = broadcast(splats[r + RED])
        green = broadcast(splats[r + GREEN])
        blue = broadcast(splats[r + BLUE])
        sum_p = zero
        sum_px = zero
        sum_py = zero
        sum_pxx = zero
        sum_pxy = zero
        sum_pyy = zero
        sum_red = zero
        sum_green = zero
        sum_blue = zero
        while blocks:
            block = lowest_bit(blocks)
            blocks &= blocks - np.uint32(1)
            at = np.int64(block) * _STATE
            x, y = block_pixels(tile_x, tile_y, block)
            dx = x - mean_x
            dy = y - mean_y
            brightness, reached, alpha = brightness_at(form_a, form_b, form_c, log2_opacity, dx, dy)
            T = load(state, at)
            T_next, draws, weight = blend_step(T, reached, alpha)
            store(state, at, T_next)
            d_red = load(state, at + 2 * LANES)
            d_green = load(state, at + 3 * LANES)
            d_blue = load(state, at + 4 * LANES)
            shade = fma(red, d_red, fma(green, d_green, blue * d_blue))
            behind = load(state, at + LANES) - weight * shade
            store(state, at + LANES, behind)
            d_alpha = T * shade - behind / (1.0 - alpha)
            # Where alpha is capped it does not depend on the Gaussian any more.
            d_p = select(draws & (brightness <= MAX_ALPHA), brightness * d_alpha, 0.0)
            px = d_p * dx
            py = d_p * dy
            sum_p = sum_p + d_p
            sum_px = sum_px + px
            sum_py = sum_py + py
            sum_pxx = fma(px, dx, sum_pxx)
            sum_pxy = fma(px, dy, sum_pxy)
            sum_pyy = fma(py, dy, sum_pyy)
            sum_red = fma(weight, d_red, sum_red)
            sum_green = fma(weight, d_green, sum_green)
            sum_blue = fma(weight, d_blue, sum_blue)
        total = sums_of((sum_p, sum_px, sum_py, sum_pxx, sum_pxy, sum_pyy, sum_red, sum_green, sum_blue))
        store(sums, own + r, load(sums, own + r) + total)
        touched[own_touched + np.int64(pairs[j]) // LANES] = 1


@kernel
def blend_backward(
    splats, offsets, ends, pairs, drawn, columns, width, height, image, image_gradient, transmittance,
    with_alpha, alpha_gradient, thread_tiles, sums, touched,
):  # fmt: skip
    """Add each splat's nine sums over pixels (`projection_backward.SUM_...`) to `sums`.

    Args:
        splats to transmittance: what `blend` took and made; image includes the background.
        image_gradient: (3, H, W); alpha_gradient: (H, W), read only if `with_alpha`.
        thread_tiles: (threads + 1,) from `share_tiles`.
        sums: (threads * blocks * 16 * 16,) float32, a record per thread and splat; zero on entry.
        touched: (threads * blocks,) uint8, set to 1 where a thread adds to a splat of a block; zero on entry.
    """
    threads = thread_tiles.size - 1
    per_thread = sums.size // threads
    blocks = touched.size // threads
    for thread in numba.prange(threads):
        for tile in range(thread_tiles[thread], thread_tiles[thread + 1]):
            _blend_tile_backward(
                tile, splats, offsets[tile], ends[tile], pairs, drawn, columns, width, height, image, image_gradient,
                transmittance, with_alpha, alpha_gradient, sums, thread * per_thread, touched, thread * blocks,
            )  # fmt: skip
