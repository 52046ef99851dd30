"""From Gaussians in space to splats on the image: records, depths, and the tiles each can reach.

Sixteen Gaussians at a time, one a lane; blocks are independent, so threads share them out.
"""

import numba
import numpy as np

from leansplat.engines.cpu.geometry import camera_depth, geometry, view_direction
from leansplat.engines.cpu.spherical_harmonics import color
from leansplat.engines.cpu.splat import LOG2_255, RECORD
from leansplat.simd.across_lanes import store_records
from leansplat.simd.bits import lowest_bit, mask_to_bits
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.math import LOG2_E, log2, sigmoid
from leansplat.simd.vector import LANES, floor, lane_numbers, load, maximum, minimum, select, square_root, store

TILE = 16
"""Side of a tile in pixels."""

_CHUNKS_PER_THREAD = 8  # parts of the work per thread, so that a slow part does not hold up the rest
_RADII = 4 * LANES  # where in the scratch memory the radii are
_INFINITY = float("inf")
_LARGEST = float(np.finfo(np.float32).max)
_TWO_LN2 = 1.3862943611198906  # -log2(e^(-r^2/2)) = r^2 / (2 ln 2): turns a bound on p into a squared radius


@inlined
def _project_block(data, index, rows, count, camera, degree, antialiased, splats, depths, tiles, scratch):
    """Write splats, depths and tile rectangles of one block; return which of its Gaussians are visible, as bits.

    The radii of the visible ones, ceil(3 standard deviations of the long axis), are left in `scratch` at `_RADII`.
    """
    block = index * rows * LANES
    first = index * LANES
    for i in range(4 * LANES):
        tiles[4 * first + i] = 0
    visible = (lane_numbers() < np.float32(count - first)) & (camera_depth(data, block, camera) > camera.near)
    # NaN passes no comparison; in means and rotations it and infinities show up as NaN below. A logit may be infinite,
    # and a logarithm minus infinity: sigmoid and exp know the limits.
    visible = visible & (load(data, block + 7 * LANES) <= _LARGEST) & (load(data, block + 8 * LANES) <= _LARGEST)
    visible = visible & (load(data, block + 9 * LANES) <= _LARGEST) & (load(data, block + 10 * LANES) <= _INFINITY)
    if mask_to_bits(visible) == 0:
        return np.uint32(0)
    g = geometry(data, block, camera)
    opacity = sigmoid(load(data, block + 10 * LANES))
    if antialiased:
        opacity = opacity * square_root(g.bare_determinant / g.determinant)
    log2_opacity = log2(maximum(opacity, 1e-8))
    headroom = log2_opacity + LOG2_255

    # Half extents of the ellipse alpha = 1/255, in pixels: tighter than 3 sigma for all but the most opaque.
    reach = _TWO_LN2 * maximum(headroom, 0.0)
    extent_x = square_root(reach * g.a)
    extent_y = square_root(reach * g.c)
    visible = visible & (headroom > 0.0) & (g.determinant > 0.0) & (g.determinant < 1e37)
    visible = visible & (g.mean_x + extent_x >= 0.5) & (g.mean_x - extent_x <= camera.width - np.float32(0.5))
    visible = visible & (g.mean_y + extent_y >= 0.5) & (g.mean_y - extent_y <= camera.height - np.float32(0.5))
    if mask_to_bits(visible) == 0:
        return np.uint32(0)
    x, y, z, _ = view_direction(data, block, camera)
    red, green, blue = color(data, block, degree, x, y, z)
    light = red + green + blue
    visible = visible & (light - light >= 0.0)  # infinite or NaN minus itself is NaN
    bits = mask_to_bits(visible)

    last_column = np.float32((int(camera.width) - 1) // TILE)
    last_line = np.float32((int(camera.height) - 1) // TILE)
    left = maximum(floor((g.mean_x - extent_x - 0.5) * (1.0 / TILE)), 0.0)
    right = minimum(floor((g.mean_x + extent_x - 0.5) * (1.0 / TILE)), last_column)
    top = maximum(floor((g.mean_y - extent_y - 0.5) * (1.0 / TILE)), 0.0)
    bottom = minimum(floor((g.mean_y + extent_y - 0.5) * (1.0 / TILE)), last_line)
    store(scratch, 0, select(visible, left, 0.0))
    store(scratch, LANES, select(visible, top, 0.0))
    store(scratch, 2 * LANES, select(visible, right - left + 1.0, 0.0))
    store(scratch, 3 * LANES, select(visible, bottom - top + 1.0, 0.0))
    for lane in range(LANES):
        for field in range(4):
            tiles[4 * (first + lane) + field] = np.int16(scratch[field * LANES + lane])

    half_difference = 0.5 * (g.a - g.c)
    largest_variance = 0.5 * (g.a + g.c) + square_root(half_difference * half_difference + g.b * g.b)
    store(scratch, _RADII, -floor(-3.0 * square_root(largest_variance)))

    scale = -0.5 * LOG2_E / g.determinant
    store(depths, first, g.depth)
    fields = (
        g.mean_x,
        g.mean_y,
        scale * g.c,
        -2.0 * scale * g.b,
        scale * g.a,
        log2_opacity,
        maximum(red, 0.0),
        maximum(green, 0.0),
        maximum(blue, 0.0),
        g.b / g.c,
        g.b / g.a,
    )
    store_records(splats, first * RECORD, fields)
    return bits


@inlined
def _count_views(bits, index, scratch, views_seen, max_radius):
    """Add a block's visible Gaussians to the statistics; their radii are where `_project_block` left them."""
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - np.uint32(1)
        i = index * LANES + lane
        views_seen[i] += 1
        max_radius[i] = max(max_radius[i], scratch[_RADII + lane])


@kernel
def project(
    data, rows, count, camera, degree, antialiased, splats, depths, tiles, visible, statistics, views_seen, max_radius,
    threads,
):  # fmt: skip
    """Project all Gaussians onto the image.

    Args:
        data: flat packed parameters; rows of a block; count of Gaussians.
        camera: `KernelCamera`; degree: SH degree to evaluate; antialiased: compensate opacity for the dilation.
        splats: (blocks * 16 * 16,) out, `splat.RECORD` floats per Gaussian; undefined where a Gaussian is not visible.
        depths: (blocks * 16,) out, view-space z.
        tiles: (blocks * 16 * 4,) int16 out: left, top, width, height of the rectangle of tiles; width 0 if not visible.
        visible: (blocks,) uint16 out, a bit a Gaussian.
        statistics: whether to update views_seen (count,) int32 and max_radius (count,) float32.
        threads: how many share the work.
    """
    blocks = visible.size
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        scratch = np.empty(5 * LANES, np.float32)
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            bits = _project_block(data, index, rows, count, camera, degree, antialiased, splats, depths, tiles, scratch)
            visible[index] = bits
            if statistics:
                _count_views(bits, index, scratch, views_seen, max_radius)
