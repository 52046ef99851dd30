"""From Gaussians in space to splats on the image: EWA projection, colour, and the tiles each can reach.

Sixteen Gaussians at a time, one a lane; blocks are independent, so threads share them out. `geometry` holds everything
between parameters and 2D covariance and is computed again by the backward pass, which is cheaper than storing it.

Equations: Zwicker et al., "EWA Volume Splatting"; Kerbl et al., "3D Gaussian Splatting", section 4 (Sigma = R S S R^T,
Sigma' = J W Sigma W^T J^T), plus the 0.3 px^2 that 3DGS adds to the diagonal.
"""

from typing import Any, NamedTuple

import numba
import numpy as np

from leansplat.render.cpu.spherical_harmonics import color
from leansplat.render.cpu.splat import LOG2_255, RECORD
from leansplat.simd.across_lanes import store_records
from leansplat.simd.bits import lowest_bit, mask_to_bits
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.math import LOG2_E, exp, log2, sigmoid
from leansplat.simd.vector import LANES, floor, fma, lane_numbers, load, maximum, minimum, select, square_root, store

TILE = 16
"""Side of a tile in pixels."""

NEAR = 0.2
_CHUNKS_PER_THREAD = 8  # parts of the work per thread, so that a slow part does not hold up the rest
DILATION = 0.3
_TWO_LN2 = 1.3862943611198906  # -log2(e^(-r^2/2)) = r^2 / (2 ln 2): turns a bound on p into a squared radius


class Geometry(NamedTuple):
    """A block's Gaussians on the way to the image (every field sixteen lanes).

    x/z and y/z (u, v), 1/z, the rows of J W (j00..j12), the unit quaternion and 1 / its length before normalisation,
    the rotation (r..), the scales (s0..s2), J W R without and with scales (e.., b..), the 2D covariance
    [[a, b], [b, c]] with dilation and its determinant, the determinant without dilation.
    """

    mean_x: Any
    mean_y: Any
    depth: Any
    u: Any
    v: Any
    inverse_z: Any
    u_inside: Any
    v_inside: Any
    j00: Any
    j01: Any
    j02: Any
    j10: Any
    j11: Any
    j12: Any
    qw: Any
    qx: Any
    qy: Any
    qz: Any
    inverse_length: Any
    r00: Any
    r01: Any
    r02: Any
    r10: Any
    r11: Any
    r12: Any
    r20: Any
    r21: Any
    r22: Any
    s0: Any
    s1: Any
    s2: Any
    e00: Any
    e01: Any
    e02: Any
    e10: Any
    e11: Any
    e12: Any
    b00: Any
    b01: Any
    b02: Any
    b10: Any
    b11: Any
    b12: Any
    a: Any
    b: Any
    c: Any
    determinant: Any
    bare_determinant: Any


@inlined
def camera_depth(data, block, camera):
    """z along the viewing axis."""
    x = load(data, block)
    y = load(data, block + LANES)
    z = load(data, block + 2 * LANES)
    return fma(camera.r20, x, fma(camera.r21, y, fma(camera.r22, z, camera.t2)))


@inlined
def geometry(data, block, camera):
    """Project a block of sixteen Gaussians; see `Geometry`."""
    x = load(data, block)
    y = load(data, block + LANES)
    z = load(data, block + 2 * LANES)
    camera_x = fma(camera.r00, x, fma(camera.r01, y, fma(camera.r02, z, camera.t0)))
    camera_y = fma(camera.r10, x, fma(camera.r11, y, fma(camera.r12, z, camera.t1)))
    depth = camera_depth(data, block, camera)
    inverse_z = 1.0 / depth
    u = camera_x * inverse_z
    v = camera_y * inverse_z
    u_inside = (u >= camera.left) & (u <= camera.right)
    v_inside = (v >= camera.top) & (v <= camera.bottom)
    u_clamped = minimum(maximum(u, camera.left), camera.right)
    v_clamped = minimum(maximum(v, camera.top), camera.bottom)

    # J W: rows of the projection's Jacobian, already turned to world axes.
    fx = camera.fx * inverse_z
    fy = camera.fy * inverse_z
    j00 = fx * (camera.r00 - u_clamped * camera.r20)
    j01 = fx * (camera.r01 - u_clamped * camera.r21)
    j02 = fx * (camera.r02 - u_clamped * camera.r22)
    j10 = fy * (camera.r10 - v_clamped * camera.r20)
    j11 = fy * (camera.r11 - v_clamped * camera.r21)
    j12 = fy * (camera.r12 - v_clamped * camera.r22)

    qw = load(data, block + 3 * LANES)
    qx = load(data, block + 4 * LANES)
    qy = load(data, block + 5 * LANES)
    qz = load(data, block + 6 * LANES)
    inverse_length = 1.0 / square_root(maximum(qw * qw + qx * qx + qy * qy + qz * qz, 1e-30))
    qw = qw * inverse_length
    qx = qx * inverse_length
    qy = qy * inverse_length
    qz = qz * inverse_length
    r00 = 1.0 - 2.0 * (qy * qy + qz * qz)
    r01 = 2.0 * (qx * qy - qw * qz)
    r02 = 2.0 * (qx * qz + qw * qy)
    r10 = 2.0 * (qx * qy + qw * qz)
    r11 = 1.0 - 2.0 * (qx * qx + qz * qz)
    r12 = 2.0 * (qy * qz - qw * qx)
    r20 = 2.0 * (qx * qz - qw * qy)
    r21 = 2.0 * (qy * qz + qw * qx)
    r22 = 1.0 - 2.0 * (qx * qx + qy * qy)

    s0 = exp(load(data, block + 7 * LANES))
    s1 = exp(load(data, block + 8 * LANES))
    s2 = exp(load(data, block + 9 * LANES))
    e00 = j00 * r00 + j01 * r10 + j02 * r20
    e01 = j00 * r01 + j01 * r11 + j02 * r21
    e02 = j00 * r02 + j01 * r12 + j02 * r22
    e10 = j10 * r00 + j11 * r10 + j12 * r20
    e11 = j10 * r01 + j11 * r11 + j12 * r21
    e12 = j10 * r02 + j11 * r12 + j12 * r22
    b00 = e00 * s0
    b01 = e01 * s1
    b02 = e02 * s2
    b10 = e10 * s0
    b11 = e11 * s1
    b12 = e12 * s2

    bare_a = b00 * b00 + b01 * b01 + b02 * b02
    b = b00 * b10 + b01 * b11 + b02 * b12
    bare_c = b10 * b10 + b11 * b11 + b12 * b12
    # det(B B^T) as a sum of squared minors (Cauchy-Binet): a c - b^2 would cancel for needles.
    minor0 = b01 * b12 - b02 * b11
    minor1 = b02 * b10 - b00 * b12
    minor2 = b00 * b11 - b01 * b10
    bare_determinant = minor0 * minor0 + minor1 * minor1 + minor2 * minor2
    determinant = bare_determinant + DILATION * (bare_a + bare_c) + DILATION * DILATION
    return Geometry(
        fma(camera.fx, u, camera.cx),
        fma(camera.fy, v, camera.cy),
        depth,
        u,
        v,
        inverse_z,
        u_inside,
        v_inside,
        j00,
        j01,
        j02,
        j10,
        j11,
        j12,
        qw,
        qx,
        qy,
        qz,
        inverse_length,
        r00,
        r01,
        r02,
        r10,
        r11,
        r12,
        r20,
        r21,
        r22,
        s0,
        s1,
        s2,
        e00,
        e01,
        e02,
        e10,
        e11,
        e12,
        b00,
        b01,
        b02,
        b10,
        b11,
        b12,
        bare_a + DILATION,
        b,
        bare_c + DILATION,
        determinant,
        bare_determinant,
    )


@inlined
def view_direction(data, block, camera):
    """Unit vector from the camera to the means, and 1 / distance."""
    x = load(data, block) - camera.px
    y = load(data, block + LANES) - camera.py
    z = load(data, block + 2 * LANES) - camera.pz
    inverse_distance = 1.0 / square_root(x * x + y * y + z * z)
    return x * inverse_distance, y * inverse_distance, z * inverse_distance, inverse_distance


@inlined
def _project_block(data, index, rows, count, camera, degree, antialiased, splats, depths, tiles, scratch):
    """Write splats, depths and tile rectangles of one block; return which of its Gaussians are visible, as bits."""
    block = index * rows * LANES
    first = index * LANES
    for i in range(4 * LANES):
        tiles[4 * first + i] = 0
    # Infinite or NaN minus itself is NaN, which passes no comparison; means and rotations show up as NaN below.
    activated = load(data, block + 7 * LANES) + load(data, block + 8 * LANES) + load(data, block + 9 * LANES)
    activated = activated + load(data, block + 10 * LANES)
    visible = (lane_numbers() < np.float32(count - first)) & (camera_depth(data, block, camera) > NEAR)
    visible = visible & (activated - activated >= 0.0)
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
    bits = mask_to_bits(visible)
    if bits == 0:
        return bits

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

    x, y, z, _ = view_direction(data, block, camera)
    red, green, blue = color(data, block, degree, x, y, z)
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
def _count_views(bits, index, data, rows, camera, scratch, views_seen, max_radius):
    """Add a block's visible Gaussians to the statistics."""
    g = geometry(data, index * rows * LANES, camera)
    middle = 0.5 * (g.a + g.c)
    half_difference = 0.5 * (g.a - g.c)
    largest = middle + square_root(half_difference * half_difference + g.b * g.b)
    store(scratch, 0, -floor(-3.0 * square_root(largest)))
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - np.uint32(1)
        i = index * LANES + lane
        views_seen[i] += 1
        max_radius[i] = max(max_radius[i], scratch[lane])


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
        scratch = np.empty(4 * LANES, np.float32)
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            bits = _project_block(data, index, rows, count, camera, degree, antialiased, splats, depths, tiles, scratch)
            visible[index] = bits
            if statistics:
                _count_views(bits, index, data, rows, camera, scratch, views_seen, max_radius)
