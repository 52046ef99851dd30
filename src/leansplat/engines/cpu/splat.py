"""What a Gaussian becomes on the image plane: the record that every later stage reads, and which pixels it can reach.

A splat is sixteen floats, one cache line. Its brightness at a pixel is alpha = 2^p with

    p = a dx^2 + b dx dy + c dy^2 + log2_opacity,

(dx, dy) the pixel centre minus the mean. Everything is kept in powers of two because that is what the exponential
needs; alpha >= 1/255 is then p >= -log2(255), a fixed bound.
"""

from leansplat.simd.bits import mask_to_bits
from leansplat.simd.compilation import inlined
from leansplat.simd.math import exp2
from leansplat.simd.vector import fma, maximum, minimum, select

RECORD = 16
"""Floats per splat."""

MEAN_X, MEAN_Y, FORM_A, FORM_B, FORM_C, LOG2_OPACITY, RED, GREEN, BLUE, SLOPE_X, SLOPE_Y = range(11)
"""Fields of the record. `SLOPE_X` = b/c and `SLOPE_Y` = b/a of the 2D covariance [[a, b], [b, c]]: along a line of
constant dy the form is largest at dx = SLOPE_X dy, and the other way round."""

MAX_ALPHA = 0.99
LOG2_255 = 7.9943534
_SLACK = 1e-3  # keeps rounding from dropping a pixel that the exact test would draw


@inlined
def rectangles_reached(splats, record, left, top, width, height):
    """Which of sixteen rectangles of pixel centres a splat reaches with alpha >= 1/255, as bits.

    The quadratic form is concave, so its maximum over a rectangle is at the point nearest to the mean in x or in y,
    slid along the other axis to where the form is largest.

    Args:
        record: offset of the splat in `splats`.
        left, top: (16 lanes) first pixel centre of each rectangle.
        width, height: distance from the first to the last pixel centre.
    """
    x_low = left - splats[record + MEAN_X]
    x_high = x_low + width
    y_low = top - splats[record + MEAN_Y]
    y_high = y_low + height
    x_near = minimum(maximum(0.0, x_low), x_high)
    y_near = minimum(maximum(0.0, y_low), y_high)
    y_best = minimum(maximum(splats[record + SLOPE_Y] * x_near, y_low), y_high)
    x_best = minimum(maximum(splats[record + SLOPE_X] * y_near, x_low), x_high)
    a = splats[record + FORM_A]
    b = splats[record + FORM_B]
    c = splats[record + FORM_C]
    at_near_x = fma(fma(a, x_near, b * y_best), x_near, c * y_best * y_best)
    at_near_y = fma(fma(a, x_best, b * y_near), x_best, c * y_near * y_near)
    return mask_to_bits(maximum(at_near_x, at_near_y) >= -LOG2_255 - _SLACK - splats[record + LOG2_OPACITY])


@inlined
def brightness_at(a, b, c, log2_opacity, dx, dy):
    """A splat at sixteen pixels: (2^p, whether it reaches the pixel, alpha), alpha being 0 where it does not.

    Alpha is 2^p capped at `MAX_ALPHA`. A form that rounding made positive (p above log2_opacity) counts as not reached,
    as published.

    Args:
        a, b, c, log2_opacity: fields of the record, scalars or broadcast.
        dx, dy: (16 lanes) pixel centres minus the mean.
    """
    p = fma(fma(a, dx, b * dy), dx, fma(c * dy, dy, log2_opacity))
    reached = (p >= -LOG2_255) & (p <= log2_opacity)
    brightness = exp2(p)
    return brightness, reached, select(reached, minimum(brightness, MAX_ALPHA), 0.0)
