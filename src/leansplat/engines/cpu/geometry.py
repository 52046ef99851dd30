"""A block of Gaussians under a camera: everything between their parameters and the covariance on the image.

The forward pass takes means and covariances from it; the backward pass computes it again, which is cheaper than storing
it, and leads gradients back through the same quantities.

Equations: Zwicker et al., "EWA Volume Splatting"; Kerbl et al., "3D Gaussian Splatting", section 4 (Sigma = R S S R^T,
Sigma' = J W Sigma W^T J^T), plus the 0.3 px^2 that 3DGS adds to the diagonal.
"""

from typing import Any, NamedTuple

from leansplat.simd.compilation import inlined
from leansplat.simd.math import exp
from leansplat.simd.vector import LANES, fma, load, maximum, minimum, square_root

DILATION = 0.3
"""Added to the diagonal of the covariance on the image, in square pixels."""


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
