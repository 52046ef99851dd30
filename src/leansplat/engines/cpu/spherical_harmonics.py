"""View-dependent colour: real spherical harmonics of degree 0 to 3, and their gradient.

The basis and its signs are those of 3DGS. Gaussians come in blocks of sixteen (see `packed.py`), so every number here
is a vector; coefficient k of colour channel c is row 11 + 3 k + c of a block.
"""

from leansplat.simd.compilation import inlined
from leansplat.simd.vector import LANES, broadcast, fma, load, store

SH_ROW = 11

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2_XY = 1.0925484305920792
C2_ZZ = 0.31539156525252005
C2_XX = 0.5462742152960396
C3_XXX = 0.5900435899266435
C3_XYZ = 2.890611442640554
C3_YZZ = 0.4570457994644658
C3_ZZZ = 0.3731763325901154
C3_XXZ = 1.445305721320277


@inlined
def _add(data, block, k, basis, red, green, blue):
    """Add coefficient k times its basis value to a colour."""
    row = block + (SH_ROW + 3 * k) * LANES
    return (
        fma(basis, load(data, row), red),
        fma(basis, load(data, row + LANES), green),
        fma(basis, load(data, row + 2 * LANES), blue),
    )


@inlined
def color(data, block, degree, x, y, z):
    """Colour (red, green, blue) + 0.5 of a block of Gaussians seen along the unit direction (x, y, z), not clamped."""
    half = broadcast(0.5)
    r, g, b = _add(data, block, 0, broadcast(C0), half, half, half)
    if degree >= 1:
        r, g, b = _add(data, block, 1, -C1 * y, r, g, b)
        r, g, b = _add(data, block, 2, C1 * z, r, g, b)
        r, g, b = _add(data, block, 3, -C1 * x, r, g, b)
    if degree >= 2:
        xx = x * x
        yy = y * y
        zz = z * z
        r, g, b = _add(data, block, 4, C2_XY * x * y, r, g, b)
        r, g, b = _add(data, block, 5, -C2_XY * y * z, r, g, b)
        r, g, b = _add(data, block, 6, C2_ZZ * (2.0 * zz - xx - yy), r, g, b)
        r, g, b = _add(data, block, 7, -C2_XY * x * z, r, g, b)
        r, g, b = _add(data, block, 8, C2_XX * (xx - yy), r, g, b)
        if degree >= 3:
            r, g, b = _add(data, block, 9, -C3_XXX * y * (3.0 * xx - yy), r, g, b)
            r, g, b = _add(data, block, 10, C3_XYZ * x * y * z, r, g, b)
            r, g, b = _add(data, block, 11, -C3_YZZ * y * (4.0 * zz - xx - yy), r, g, b)
            r, g, b = _add(data, block, 12, C3_ZZZ * z * (2.0 * zz - 3.0 * xx - 3.0 * yy), r, g, b)
            r, g, b = _add(data, block, 13, -C3_YZZ * x * (4.0 * zz - xx - yy), r, g, b)
            r, g, b = _add(data, block, 14, C3_XXZ * z * (xx - yy), r, g, b)
            r, g, b = _add(data, block, 15, -C3_XXX * x * (xx - 3.0 * yy), r, g, b)
    return r, g, b


@inlined
def _pull(data, block, gradient, at, k, basis, red, green, blue):
    """Store the gradient of coefficient k; return the gradient of its basis value."""
    row = block + (SH_ROW + 3 * k) * LANES
    out = at + (SH_ROW + 3 * k) * LANES
    store(gradient, out, basis * red)
    store(gradient, out + LANES, basis * green)
    store(gradient, out + 2 * LANES, basis * blue)
    return fma(red, load(data, row), fma(green, load(data, row + LANES), blue * load(data, row + 2 * LANES)))


@inlined
def color_gradient(data, block, gradient, at, degree, x, y, z, red, green, blue):
    """Store the gradients of a block's coefficients up to `degree`; return that of the direction (x, y, z).

    The gradients go to `gradient`, whose block starts at offset `at`.
    `red`, `green` and `blue` are the gradients of the colour that `color` returned.
    """
    dx = broadcast(0.0)
    dy = broadcast(0.0)
    dz = broadcast(0.0)
    _pull(data, block, gradient, at, 0, broadcast(C0), red, green, blue)
    if degree >= 1:
        dy = dy - C1 * _pull(data, block, gradient, at, 1, -C1 * y, red, green, blue)
        dz = dz + C1 * _pull(data, block, gradient, at, 2, C1 * z, red, green, blue)
        dx = dx - C1 * _pull(data, block, gradient, at, 3, -C1 * x, red, green, blue)
    if degree >= 2:
        xx = x * x
        yy = y * y
        zz = z * z
        h = C2_XY * _pull(data, block, gradient, at, 4, C2_XY * x * y, red, green, blue)
        dx = fma(h, y, dx)
        dy = fma(h, x, dy)
        h = -C2_XY * _pull(data, block, gradient, at, 5, -C2_XY * y * z, red, green, blue)
        dy = fma(h, z, dy)
        dz = fma(h, y, dz)
        h = 2.0 * C2_ZZ * _pull(data, block, gradient, at, 6, C2_ZZ * (2.0 * zz - xx - yy), red, green, blue)
        dx = fma(-h, x, dx)
        dy = fma(-h, y, dy)
        dz = fma(h, 2.0 * z, dz)
        h = -C2_XY * _pull(data, block, gradient, at, 7, -C2_XY * x * z, red, green, blue)
        dx = fma(h, z, dx)
        dz = fma(h, x, dz)
        h = 2.0 * C2_XX * _pull(data, block, gradient, at, 8, C2_XX * (xx - yy), red, green, blue)
        dx = fma(h, x, dx)
        dy = fma(-h, y, dy)
        if degree >= 3:
            h = -3.0 * C3_XXX * _pull(data, block, gradient, at, 9, -C3_XXX * y * (3.0 * xx - yy), red, green, blue)
            dx = fma(h, 2.0 * x * y, dx)
            dy = fma(h, xx - yy, dy)
            h = C3_XYZ * _pull(data, block, gradient, at, 10, C3_XYZ * x * y * z, red, green, blue)
            dx = fma(h, y * z, dx)
            dy = fma(h, x * z, dy)
            dz = fma(h, x * y, dz)
            h = -C3_YZZ * _pull(data, block, gradient, at, 11, -C3_YZZ * y * (4.0 * zz - xx - yy), red, green, blue)
            dx = fma(h, -2.0 * x * y, dx)
            dy = fma(h, 4.0 * zz - xx - 3.0 * yy, dy)
            dz = fma(h, 8.0 * y * z, dz)
            basis = C3_ZZZ * z * (2.0 * zz - 3.0 * xx - 3.0 * yy)
            h = 3.0 * C3_ZZZ * _pull(data, block, gradient, at, 12, basis, red, green, blue)
            dx = fma(h, -2.0 * x * z, dx)
            dy = fma(h, -2.0 * y * z, dy)
            dz = fma(h, 2.0 * zz - xx - yy, dz)
            h = -C3_YZZ * _pull(data, block, gradient, at, 13, -C3_YZZ * x * (4.0 * zz - xx - yy), red, green, blue)
            dx = fma(h, 4.0 * zz - 3.0 * xx - yy, dx)
            dy = fma(h, -2.0 * x * y, dy)
            dz = fma(h, 8.0 * x * z, dz)
            h = C3_XXZ * _pull(data, block, gradient, at, 14, C3_XXZ * z * (xx - yy), red, green, blue)
            dx = fma(h, 2.0 * x * z, dx)
            dy = fma(h, -2.0 * y * z, dy)
            dz = fma(h, xx - yy, dz)
            h = -3.0 * C3_XXX * _pull(data, block, gradient, at, 15, -C3_XXX * x * (xx - 3.0 * yy), red, green, blue)
            dx = fma(h, xx - yy, dx)
            dy = fma(h, -2.0 * x * y, dy)
    return dx, dy, dz
