"""Which splats each tile blends, front to back.

Splats are sorted once by depth (radix sort of the float's bits, which order like the numbers because depths are
positive), then dealt out to the tiles they reach in that order: a counting pass, a prefix sum, a scatter. The scatter
is stable, so every tile's list comes out sorted. Each thread has its own counters and its own contiguous part of the
input, which makes the result the same whatever the number of threads.
"""

import numba
import numpy as np

from leansplat.engines.cpu.projection import TILE
from leansplat.engines.cpu.splat import RECORD, rectangles_reached
from leansplat.simd.bits import lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import LANES, floor, fma, lane_numbers, prefetch

_RADIX_BITS = 11
_AHEAD = 8  # splats to prefetch ahead


@inlined
def _tiles_reached(splats, splat, left, top, width, start):
    """Which of tiles start..start+15 of a splat's rectangle (row by row) it reaches, as bits."""
    number = lane_numbers() + np.float32(start)
    line = floor((number + 0.5) * (np.float32(1.0) / np.float32(width)))
    column = number - line * np.float32(width)
    x = fma(column + np.float32(left), np.float32(TILE), np.float32(0.5))
    y = fma(line + np.float32(top), np.float32(TILE), np.float32(0.5))
    side = np.float32(TILE - 1)
    return rectangles_reached(splats, splat * RECORD, x, y, side, side)


@inlined
def _visit_tiles(splats, place, splat, tiles, columns, reached_tiles, counters, scatter, pairs):
    """Count a splat in at the tiles it reaches, or (scatter) write it to their lists, where `counters` says.

    The first visit leaves the tiles of a rectangle of up to sixteen in `reached_tiles[place]` for the second.
    """
    left = np.int64(tiles[4 * splat])
    top = np.int64(tiles[4 * splat + 1])
    width = np.int64(tiles[4 * splat + 2])
    total = width * np.int64(tiles[4 * splat + 3])
    corner = top * columns + left
    if total == 1:
        at = counters[corner]
        counters[corner] = at + 1
        if scatter:
            pairs[at] = splat
        return
    for start in range(0, total, LANES):
        if scatter and total <= LANES:
            reached = np.uint32(reached_tiles[place])
        else:
            reached = _tiles_reached(splats, splat, left, top, width, start)
            if total - start < LANES:
                reached &= np.uint32((1 << (total - start)) - 1)
            if total <= LANES:
                reached_tiles[place] = reached
        while reached:
            number = np.uint32(start) + lowest_bit(reached)
            reached &= reached - np.uint32(1)
            line = number // np.uint32(width)
            tile = corner + line * columns + (number - line * np.uint32(width))
            at = counters[tile]
            counters[tile] = at + 1
            if scatter:
                pairs[at] = splat


@kernel
def sort_by_depth(depths, tiles, keys, keys_swap, order, order_swap, threads):
    """Indices of the visible splats, nearest first; ties keep the order of the Gaussians.

    Args:
        depths: uint32 view of the float32 depths; tiles: as `project` made them.
        keys, keys_swap: (blocks * 16,) uint32 scratch; order, order_swap: (blocks * 16,) int32 scratch.

    Returns:
        number of visible splats, and whether they are in `order_swap` rather than `order`.
    """
    count = depths.size
    starts = np.zeros(threads + 1, np.int64)
    smallest = np.full(threads, np.uint32(0xFFFFFFFF), np.uint32)
    largest = np.zeros(threads, np.uint32)
    for thread in numba.prange(threads):
        seen = 0
        low = np.uint32(0xFFFFFFFF)
        high = np.uint32(0)
        for i in range(count * thread // threads, count * (thread + 1) // threads):
            if tiles[4 * i + 2] != 0:
                seen += 1
                low = min(low, depths[i])
                high = max(high, depths[i])
        starts[thread + 1] = seen
        smallest[thread] = low
        largest[thread] = high
    for thread in range(threads):
        starts[thread + 1] += starts[thread]
    visible = starts[threads]
    if visible == 0:
        return 0, False
    base = smallest.min()
    for thread in numba.prange(threads):
        place = starts[thread]
        for i in range(count * thread // threads, count * (thread + 1) // threads):
            if tiles[4 * i + 2] != 0:
                keys[place] = depths[i] - base
                order[place] = i
                place += 1

    # Only the bits in which the depths differ need sorting.
    spread = np.int64(largest.max() - base)
    bits = 1
    while (spread >> bits) > 0:
        bits += 1
    passes = (bits + _RADIX_BITS - 1) // _RADIX_BITS
    bits_per_pass = (bits + passes - 1) // passes
    digit = np.uint32((1 << bits_per_pass) - 1)
    counts = np.zeros((threads, 1 << _RADIX_BITS), np.int64)
    for number in range(passes):
        shift = np.uint32(number * bits_per_pass)
        if number % 2 == 0:
            keys_in, keys_out, order_in, order_out = keys, keys_swap, order, order_swap
        else:
            keys_in, keys_out, order_in, order_out = keys_swap, keys, order_swap, order
        for thread in numba.prange(threads):
            counts[thread, :] = 0
            for i in range(visible * thread // threads, visible * (thread + 1) // threads):
                counts[thread, (keys_in[i] >> shift) & digit] += 1
        total = 0
        for value in range(np.int64(digit) + 1):
            for thread in range(threads):
                here = counts[thread, value]
                counts[thread, value] = total
                total += here
        for thread in numba.prange(threads):
            for i in range(visible * thread // threads, visible * (thread + 1) // threads):
                key = keys_in[i]
                value = (key >> shift) & digit
                place = counts[thread, value]
                counts[thread, value] = place + 1
                keys_out[place] = key
                order_out[place] = order_in[i]
    return visible, passes % 2 == 1


@kernel
def count_pairs(splats, tiles, order, columns, reached_tiles, counters, offsets):
    """How many splats each tile blends.

    Args:
        order: indices of the visible splats, nearest first; columns: tiles in a line of the image.
        reached_tiles: (visible,) uint16 out, kept for `scatter_pairs`.
        counters: (threads, tiles) int32 out, where each thread's next splat of a tile goes.
        offsets: (tiles + 1,) int32 out, where each tile's list starts; the last entry is the number of pairs.

    Returns:
        the number of pairs; above 2^31 - 1 the other results are undefined.
    """
    threads = counters.shape[0]
    visible = order.size
    nothing = np.empty(0, np.int32)
    for thread in numba.prange(threads):
        counters[thread, :] = 0
        last = visible * (thread + 1) // threads
        for i in range(visible * thread // threads, last):
            if i + _AHEAD < last:
                prefetch(splats, np.int64(order[i + _AHEAD]) * RECORD)
                prefetch(tiles, np.int64(order[i + _AHEAD]) * 4)
            _visit_tiles(splats, i, np.int64(order[i]), tiles, columns, reached_tiles, counters[thread], False, nothing)
    total = 0
    for tile in range(offsets.size - 1):
        offsets[tile] = total
        for thread in range(threads):
            here = counters[thread, tile]
            counters[thread, tile] = total
            total += here
    offsets[offsets.size - 1] = total
    return total


@kernel
def scatter_pairs(splats, tiles, order, columns, reached_tiles, counters, pairs):
    """Write each tile's list of splats, nearest first, into `pairs` at its offset; arguments as `count_pairs`."""
    threads = counters.shape[0]
    visible = order.size
    for thread in numba.prange(threads):
        last = visible * (thread + 1) // threads
        for i in range(visible * thread // threads, last):
            if i + _AHEAD < last:
                prefetch(splats, np.int64(order[i + _AHEAD]) * RECORD)
                prefetch(tiles, np.int64(order[i + _AHEAD]) * 4)
            _visit_tiles(splats, i, np.int64(order[i]), tiles, columns, reached_tiles, counters[thread], True, pairs)
