"""The gradient of `projection`: from splats on the image back to the parameters of the Gaussians.

The blending kernel leaves, for every splat and thread, nine sums over pixels (see `SUM_...`). Here they are added over
threads in a fixed order, turned into gradients of mean, covariance and colour, and led back through the geometry, which
is computed again. A thread marks the blocks it has touched: most are touched by one thread only, whose sums are then
all that is read. Sums and marks are set to zero as they are read, so the next backward pass finds them clean.
"""

import numba
import numpy as np

from leansplat.engines.cpu.geometry import DILATION, geometry, view_direction
from leansplat.engines.cpu.spherical_harmonics import SH_ROW, color_gradient
from leansplat.engines.cpu.splat import BLUE, GREEN, RECORD, RED
from leansplat.simd.across_lanes import load_records
from leansplat.simd.bits import bits_to_mask, lowest_bit
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.math import sigmoid
from leansplat.simd.vector import LANES, broadcast, load, select, square_root, store

SUM_P, SUM_PX, SUM_PY, SUM_PXX, SUM_PXY, SUM_PYY, SUM_RED, SUM_GREEN, SUM_BLUE = range(9)
"""Fields of the sums: with g = dL/d(log alpha), the sums of g, g dx, g dy, g dx^2, g dx dy, g dy^2 over pixels,
(dx, dy) the pixel minus the mean, and the gradient of the splat's colour."""

_CHUNKS_PER_THREAD = 8  # parts of the work per thread, so that a slow part does not hold up the rest


@inlined
def touched_by_any(touched, index, blocks, threads):
    """Whether any thread has left sums for a block."""
    found = False
    for thread in range(threads):
        found = found or touched[thread * blocks + index] != 0
    return found


@inlined
def take_sums(sums, touched, index, blocks, threads):
    """Add a block's sums over the threads that have touched it (at least one), and clear them and the marks."""
    own = blocks * LANES * RECORD
    first = index * LANES * RECORD
    zero = broadcast(0.0)
    total = np.int64(-1)
    for thread in range(threads):
        if touched[thread * blocks + index] == 0:
            continue
        touched[thread * blocks + index] = 0
        theirs = thread * own + first
        if total < 0:
            total = theirs
            continue
        for lane in range(LANES):
            store(sums, total + lane * RECORD, load(sums, total + lane * RECORD) + load(sums, theirs + lane * RECORD))
            store(sums, theirs + lane * RECORD, zero)
    fields = load_records(sums, total)
    for lane in range(LANES):
        store(sums, total + lane * RECORD, zero)
    return fields


@inlined
def colors_backward(data, index, rows, camera, degree, splats, visible, total, gradient, at):
    """Write the gradients of a block's colour coefficients to `gradient` from offset `at` on.

    Returns that of the means (x, y, z), which turn the direction that colours are seen from.
    """
    block = index * rows * LANES
    # The colour was clamped at zero: no gradient where it is not above.
    splat = load_records(splats, index * LANES * RECORD)
    red = select((splat[RED] > 0.0) & visible, total[SUM_RED], 0.0)
    green = select((splat[GREEN] > 0.0) & visible, total[SUM_GREEN], 0.0)
    blue = select((splat[BLUE] > 0.0) & visible, total[SUM_BLUE], 0.0)
    x, y, z, inverse_distance = view_direction(data, block, camera)
    x = select(visible, x, 0.0)
    y = select(visible, y, 0.0)
    z = select(visible, z, 0.0)
    direction_x, direction_y, direction_z = color_gradient(data, block, gradient, at, degree, x, y, z, red, green, blue)
    along = direction_x * x + direction_y * y + direction_z * z
    return (
        (direction_x - along * x) * inverse_distance,
        (direction_y - along * y) * inverse_distance,
        (direction_z - along * z) * inverse_distance,
    )


@inlined
def block_backward(
    data, index, rows, camera, degree, antialiased, splats, bits, sums, touched, blocks, threads, gradient, at
):  # fmt: skip
    """Write the gradients of one touched block's visible Gaussians to `gradient` from offset `at` on.

    Returns the gradient of their means on the image, (x, y) in pixels.
    """
    block = index * rows * LANES
    visible = bits_to_mask(bits)
    total = take_sums(sums, touched, index, blocks, threads)
    g = geometry(data, block, camera)

    # Inverse covariance Q = [[qa, qb], [qb, qc]]; log alpha = -1/2 d^T Q d + log opacity.
    inverse_determinant = 1.0 / g.determinant
    qa = g.c * inverse_determinant
    qb = -g.b * inverse_determinant
    qc = g.a * inverse_determinant
    mean_x = qa * total[SUM_PX] + qb * total[SUM_PY]
    mean_y = qb * total[SUM_PX] + qc * total[SUM_PY]
    q00 = -0.5 * total[SUM_PXX]
    q01 = -0.5 * total[SUM_PXY]
    q11 = -0.5 * total[SUM_PYY]
    # Sigma' = B B^T + 0.3 I with B = (J W R) S, so dL/dB = 2 (dL/dSigma') B = -2 Q (dL/dQ) X with X = Q B. The adjugate
    # of B B^T times B is a double cross product of B's rows (y), which does not cancel for needles as c a - b b would.
    m0 = g.b01 * g.b12 - g.b02 * g.b11
    m1 = g.b02 * g.b10 - g.b00 * g.b12
    m2 = g.b00 * g.b11 - g.b01 * g.b10
    y00 = g.b11 * m2 - g.b12 * m1
    y01 = g.b12 * m0 - g.b10 * m2
    y02 = g.b10 * m1 - g.b11 * m0
    y10 = m1 * g.b02 - m2 * g.b01
    y11 = m2 * g.b00 - m0 * g.b02
    y12 = m0 * g.b01 - m1 * g.b00
    x00 = (DILATION * g.b00 + y00) * inverse_determinant
    x01 = (DILATION * g.b01 + y01) * inverse_determinant
    x02 = (DILATION * g.b02 + y02) * inverse_determinant
    x10 = (DILATION * g.b10 + y10) * inverse_determinant
    x11 = (DILATION * g.b11 + y11) * inverse_determinant
    x12 = (DILATION * g.b12 + y12) * inverse_determinant
    z00 = -2.0 * (q00 * x00 + q01 * x10)
    z01 = -2.0 * (q00 * x01 + q01 * x11)
    z02 = -2.0 * (q00 * x02 + q01 * x12)
    z10 = -2.0 * (q01 * x00 + q11 * x10)
    z11 = -2.0 * (q01 * x01 + q11 * x11)
    z12 = -2.0 * (q01 * x02 + q11 * x12)
    b00 = qa * z00 + qb * z10
    b01 = qa * z01 + qb * z11
    b02 = qa * z02 + qb * z12
    b10 = qb * z00 + qc * z10
    b11 = qb * z01 + qc * z11
    b12 = qb * z02 + qc * z12
    # d/d(log s_k) = b_k . dL/db_k = x_k . z_k
    scale_0 = x00 * z00 + x10 * z10
    scale_1 = x01 * z01 + x11 * z11
    scale_2 = x02 * z02 + x12 * z12
    if antialiased:
        # log opacity has + 1/2 log(det bare / det dilated), whose derivative by B is y / det bare - X.
        inverse_bare = 1.0 / g.bare_determinant
        w00 = total[SUM_P] * (y00 * inverse_bare - x00)
        w01 = total[SUM_P] * (y01 * inverse_bare - x01)
        w02 = total[SUM_P] * (y02 * inverse_bare - x02)
        w10 = total[SUM_P] * (y10 * inverse_bare - x10)
        w11 = total[SUM_P] * (y11 * inverse_bare - x11)
        w12 = total[SUM_P] * (y12 * inverse_bare - x12)
        scale_0 = scale_0 + w00 * g.b00 + w10 * g.b10
        scale_1 = scale_1 + w01 * g.b01 + w11 * g.b11
        scale_2 = scale_2 + w02 * g.b02 + w12 * g.b12
        b00 = b00 + w00
        b01 = b01 + w01
        b02 = b02 + w02
        b10 = b10 + w10
        b11 = b11 + w11
        b12 = b12 + w12
    store(gradient, at + 7 * LANES, select(visible, scale_0, 0.0))
    store(gradient, at + 8 * LANES, select(visible, scale_1, 0.0))
    store(gradient, at + 9 * LANES, select(visible, scale_2, 0.0))

    # 1 - opacity, as the sigmoid of the negative logit: a difference would lose the digits of nearly opaque ones.
    transparency = sigmoid(-load(data, block + 10 * LANES))
    store(gradient, at + 10 * LANES, select(visible, total[SUM_P] * transparency, 0.0))

    e00 = b00 * g.s0
    e01 = b01 * g.s1
    e02 = b02 * g.s2
    e10 = b10 * g.s0
    e11 = b11 * g.s1
    e12 = b12 * g.s2

    r00 = g.j00 * e00 + g.j10 * e10
    r01 = g.j00 * e01 + g.j10 * e11
    r02 = g.j00 * e02 + g.j10 * e12
    r10 = g.j01 * e00 + g.j11 * e10
    r11 = g.j01 * e01 + g.j11 * e11
    r12 = g.j01 * e02 + g.j11 * e12
    r20 = g.j02 * e00 + g.j12 * e10
    r21 = g.j02 * e01 + g.j12 * e11
    r22 = g.j02 * e02 + g.j12 * e12
    w = g.qw
    x = g.qx
    y = g.qy
    z = g.qz
    quat_w = 2.0 * (x * (r21 - r12) + y * (r02 - r20) + z * (r10 - r01))
    quat_x = 2.0 * (y * (r01 + r10) + z * (r02 + r20) + w * (r21 - r12) - 2.0 * x * (r11 + r22))
    quat_y = 2.0 * (x * (r01 + r10) + z * (r12 + r21) + w * (r02 - r20) - 2.0 * y * (r00 + r22))
    quat_z = 2.0 * (x * (r02 + r20) + y * (r12 + r21) + w * (r10 - r01) - 2.0 * z * (r00 + r11))
    # Normalisation: only the part across the quaternion survives.
    along = quat_w * w + quat_x * x + quat_y * y + quat_z * z
    store(gradient, at + 3 * LANES, select(visible, (quat_w - along * w) * g.inverse_length, 0.0))
    store(gradient, at + 4 * LANES, select(visible, (quat_x - along * x) * g.inverse_length, 0.0))
    store(gradient, at + 5 * LANES, select(visible, (quat_y - along * y) * g.inverse_length, 0.0))
    store(gradient, at + 6 * LANES, select(visible, (quat_z - along * z) * g.inverse_length, 0.0))

    j00 = e00 * g.r00 + e01 * g.r01 + e02 * g.r02
    j01 = e00 * g.r10 + e01 * g.r11 + e02 * g.r12
    j02 = e00 * g.r20 + e01 * g.r21 + e02 * g.r22
    j10 = e10 * g.r00 + e11 * g.r01 + e12 * g.r02
    j11 = e10 * g.r10 + e11 * g.r11 + e12 * g.r12
    j12 = e10 * g.r20 + e11 * g.r21 + e12 * g.r22
    depth = -g.inverse_z * (j00 * g.j00 + j01 * g.j01 + j02 * g.j02 + j10 * g.j10 + j11 * g.j11 + j12 * g.j12)
    u = -camera.fx * g.inverse_z * (j00 * camera.r20 + j01 * camera.r21 + j02 * camera.r22)
    v = -camera.fy * g.inverse_z * (j10 * camera.r20 + j11 * camera.r21 + j12 * camera.r22)
    u = select(g.u_inside, u, 0.0) + camera.fx * mean_x
    v = select(g.v_inside, v, 0.0) + camera.fy * mean_y
    camera_x = u * g.inverse_z
    camera_y = v * g.inverse_z
    camera_z = depth - (u * g.u + v * g.v) * g.inverse_z
    position_x = camera.r00 * camera_x + camera.r10 * camera_y + camera.r20 * camera_z
    position_y = camera.r01 * camera_x + camera.r11 * camera_y + camera.r21 * camera_z
    position_z = camera.r02 * camera_x + camera.r12 * camera_y + camera.r22 * camera_z

    turned_x, turned_y, turned_z = colors_backward(
        data, index, rows, camera, degree, splats, visible, total, gradient, at
    )
    store(gradient, at, select(visible, position_x + turned_x, 0.0))
    store(gradient, at + LANES, select(visible, position_y + turned_y, 0.0))
    store(gradient, at + 2 * LANES, select(visible, position_z + turned_z, 0.0))
    return mean_x, mean_y


@inlined
def add_screen_gradient(mean_x, mean_y, camera, bits, index, scratch, gradient_sum):
    """Add the norm of a block's screen-space position gradient, in normalised device units, to the statistics."""
    across_x = mean_x * (0.5 * camera.width)
    across_y = mean_y * (0.5 * camera.height)
    store(scratch, 0, square_root(across_x * across_x + across_y * across_y))
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - np.uint32(1)
        gradient_sum[index * LANES + lane] += scratch[lane]


@inlined
def evaluated_rows(degree):
    """Rows of a block that rendering with a spherical harmonics degree depends on."""
    return SH_ROW + 3 * (degree + 1) ** 2


@inlined
def clear_rows(gradient, at, first, rows):
    """Zero the rows from `first` on of the block of gradients at offset `at`."""
    zero = broadcast(0.0)
    for row in range(first, rows):
        store(gradient, at + row * LANES, zero)


@kernel
def project_backward(
    data, rows, camera, degree, antialiased, splats, visible, sums, touched, threads, gradient, statistics, gradient_sum
):
    """Gradients of the packed parameters.

    Args:
        data, rows, camera, degree, antialiased, splats, visible: as `projection.project` took and made them.
        sums: (threads * blocks * 16 * 16,), touched: (threads * blocks,) uint8, what blending's backward pass left;
            zero on return.
        gradient: (blocks * rows * 16,) out; zero where Gaussians are not drawn, and above `degree`.
        statistics: whether to add to gradient_sum (count,) the norm of the gradient of the projected mean, in
            normalised device units.
    """
    blocks = visible.size
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        scratch = np.empty(LANES, np.float32)
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            block = index * rows * LANES
            bits = np.uint32(visible[index])
            drawn = touched_by_any(touched, index, blocks, threads)
            clear_rows(gradient, block, evaluated_rows(degree) if drawn else 0, rows)
            if not drawn:
                continue
            mean_x, mean_y = block_backward(
                data, index, rows, camera, degree, antialiased, splats, bits, sums, touched, blocks, threads, gradient,
                block,
            )  # fmt: skip
            if statistics:
                add_screen_gradient(mean_x, mean_y, camera, bits, index, scratch, gradient_sum)
