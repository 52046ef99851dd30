"""Exponential and logarithm of vectors, by polynomials as accurate as float32 needs and no more."""

from leansplat.simd.compilation import inlined
from leansplat.simd.vector import exponent_of, fma, mantissa_of, maximum, minimum, scale_by_power_of_two, select

LOG2_E = 1.4426950408889634
_ROUNDING_MAGIC = 12582912.0  # 1.5 * 2^23: adding it rounds a float32 to a whole number that sits in its low bits


@inlined
def exp2(x):
    """2^x for |x| <= 126, relative error 3e-7. No range check: the caller knows its range."""
    shifted = x + _ROUNDING_MAGIC
    fraction = x - (shifted - _ROUNDING_MAGIC)
    p = fma(fraction, 1.3400432e-3, 9.6718751e-3)
    p = fma(p, fraction, 5.5503324e-2)
    p = fma(p, fraction, 2.4022198e-1)
    p = fma(p, fraction, 6.9314712e-1)
    p = fma(p, fraction, 1.0)
    return scale_by_power_of_two(shifted, p)


@inlined
def exp(x):
    """e^x, clamped to the range of normal float32 numbers."""
    return exp2(minimum(maximum(x * LOG2_E, -125.0), 125.0))


@inlined
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp(-x))


@inlined
def log2(x):
    """Base-2 logarithm of positive normal numbers, absolute error 2e-7 plus rounding."""
    exponent = exponent_of(x)
    mantissa = mantissa_of(x)
    above = mantissa > 1.41421356
    mantissa = select(above, 0.5 * mantissa, mantissa)
    exponent = select(above, exponent + 1.0, exponent)
    t = (mantissa - 1.0) / (mantissa + 1.0)
    t2 = t * t
    p = fma(t2, 0.3205989, 0.4121985)
    p = fma(p, t2, 0.5770780)
    p = fma(p, t2, 0.9617967)
    p = fma(p, t2, 2.8853901)
    return fma(p, t, exponent)
