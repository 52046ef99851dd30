"""An explicit vector type inside Numba: sixteen float32 lanes, and the mask that comparing two of them gives.

Numba's auto-vectoriser loses a factor of six on the blending loops, so the kernels say themselves what a vector is.
`Float32x16` lowers to LLVM's `<16 x float>`, which LLVM turns into one AVX-512, two AVX2 or four NEON registers: the
same kernel source runs on all of them. Operators and the functions below accept a scalar wherever they accept a
vector, so that a kernel reads like the formula it computes: `0.5 * x + maximum(y, 0.0)`.

Everything here exists only inside functions compiled by Numba. `infer_global` and the lowering API are semi-internal
to Numba, which is why pyproject.toml pins the tested range.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic

from leansplat.simd.lowering import (
    FAST,
    FLOATS,
    I8,
    I32,
    INTS,
    LANES,
    MASK,
    as_floats,
    constant,
    float32x16,
    mask16,
    pointer_to,
)

_SCALARS = (types.float32, types.float64, types.int64)
_OPERANDS = [(float32x16, float32x16)] + [
    pair for scalar in _SCALARS for pair in ((float32x16, scalar), (scalar, float32x16))
]


def _register_operator(function, result, emit):
    """Define `function` (an operator) on two vectors, or on a vector and a scalar either way round."""

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = tuple(signature(result, *operands) for operands in _OPERANDS)

    def lower(context, builder, sig, args):
        left, right = (as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return emit(builder, left, right)

    for operands in _OPERANDS:
        lower_builtin(function, *operands)(lower)


_register_operator(operator.add, float32x16, lambda b, x, y: b.fadd(x, y, flags=FAST))
_register_operator(operator.sub, float32x16, lambda b, x, y: b.fsub(x, y, flags=FAST))
_register_operator(operator.mul, float32x16, lambda b, x, y: b.fmul(x, y, flags=FAST))
_register_operator(operator.truediv, float32x16, lambda b, x, y: b.fdiv(x, y, flags=FAST))
for _function, _symbol in ((operator.ge, ">="), (operator.le, "<="), (operator.gt, ">"), (operator.lt, "<")):
    # Ordered comparisons: NaN compares false, so a NaN never passes a visibility test.
    _register_operator(_function, mask16, lambda b, x, y, symbol=_symbol: b.fcmp_ordered(symbol, x, y))


@infer_global(operator.neg)
class _Negate(ConcreteTemplate):
    cases = (signature(float32x16, float32x16),)


@lower_builtin(operator.neg, float32x16)
def _lower_negate(context, builder, sig, args):
    return builder.fneg(args[0])


@infer_global(operator.and_)
class _MaskAnd(ConcreteTemplate):
    cases = (signature(mask16, mask16, mask16),)


@lower_builtin(operator.and_, mask16, mask16)
def _lower_and(context, builder, sig, args):
    return builder.and_(*args)


@infer_global(operator.or_)
class _MaskOr(ConcreteTemplate):
    cases = (signature(mask16, mask16, mask16),)


@lower_builtin(operator.or_, mask16, mask16)
def _lower_or(context, builder, sig, args):
    return builder.or_(*args)


@infer_global(operator.invert)
class _MaskInvert(ConcreteTemplate):
    cases = (signature(mask16, mask16),)


@lower_builtin(operator.invert, mask16)
def _lower_invert(context, builder, sig, args):
    return builder.not_(args[0])


# ---------------------------------------------------------------------------------------------- making vectors


@intrinsic
def broadcast(typingctx, scalar):
    """All lanes equal to one number."""

    def generate(context, builder, sig, args):
        return as_floats(context, builder, sig.args[0], args[0])

    return float32x16(scalar), generate


@intrinsic
def lane_numbers(typingctx):
    """(0, 1, ..., 15)."""

    def generate(context, builder, sig, args):
        return ir.Constant(FLOATS, [float(lane) for lane in range(LANES)])

    return float32x16(), generate


@intrinsic
def lane_numbers_in_4x4(typingctx, axis):
    """Column (axis 0) or row (axis 1) of each lane when the lanes are a 4x4 block of pixels, row by row."""
    if not isinstance(axis, types.IntegerLiteral):
        return None
    shift = 2 * axis.literal_value

    def generate(context, builder, sig, args):
        return ir.Constant(FLOATS, [float((lane >> shift) & 3) for lane in range(LANES)])

    return float32x16(axis), generate


@intrinsic
def load(typingctx, array, index):
    """Sixteen consecutive elements of a 1-D float32 array from `index` on."""

    def generate(context, builder, sig, args):
        value = builder.load(pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS))
        value.align = 4
        return value

    return float32x16(array, index), generate


@intrinsic
def store(typingctx, array, index, value):
    """Write sixteen consecutive elements of a 1-D float32 array from `index` on."""

    def generate(context, builder, sig, args):
        vector = as_floats(context, builder, sig.args[2], args[2])
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        builder.store(vector, pointer).align = 4
        return context.get_dummy_value()

    return types.none(array, index, value), generate


@intrinsic
def load_where(typingctx, array, index, mask):
    """Like `load`, but lanes outside `mask` are zero and their memory is not touched."""

    def generate(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        kind = ir.FunctionType(FLOATS, [pointer.type, I32, MASK, FLOATS])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.load.v16f32.p0")
        return builder.call(function, [pointer, I32(4), args[2], constant(0.0)])

    return float32x16(array, index, mask), generate


@intrinsic
def store_where(typingctx, array, index, value, mask):
    """Like `store`, but only the lanes of `mask` are written."""

    def generate(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        kind = ir.FunctionType(ir.VoidType(), [FLOATS, pointer.type, I32, MASK])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.store.v16f32.p0")
        builder.call(function, [args[2], pointer, I32(4), args[3]])
        return context.get_dummy_value()

    return types.none(array, index, value, mask), generate


# ---------------------------------------------------------------------------------------------- lane by lane


def _lane_function(name, count, doc):
    """An LLVM intrinsic that maps `count` vectors to one, lane by lane."""

    def generate(context, builder, sig, args):
        vectors = [as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True)]
        kind = ir.FunctionType(FLOATS, [FLOATS] * count)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), vectors)

    if count == 1:

        def function(typingctx, x):
            return float32x16(x), generate
    else:

        def function(typingctx, x, y, z):
            return float32x16(x, y, z), generate

    function.__doc__ = doc
    return intrinsic(function)


floor = _lane_function("llvm.floor.v16f32", 1, "Largest whole number not above x.")
square_root = _lane_function("llvm.sqrt.v16f32", 1, "Square root.")
absolute = _lane_function("llvm.fabs.v16f32", 1, "Absolute value.")
fma = _lane_function("llvm.fma.v16f32", 3, "x * y + z, rounded once.")


@intrinsic
def minimum(typingctx, x, y):
    """The smaller of two; y where x is NaN."""

    def generate(context, builder, sig, args):
        left, right = (as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return builder.select(builder.fcmp_ordered("<", left, right), left, right)

    return float32x16(x, y), generate


@intrinsic
def maximum(typingctx, x, y):
    """The larger of two; y where x is NaN."""

    def generate(context, builder, sig, args):
        left, right = (as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return builder.select(builder.fcmp_ordered(">", left, right), left, right)

    return float32x16(x, y), generate


@intrinsic
def select(typingctx, mask, chosen, otherwise):
    """`chosen` in the lanes of the mask, `otherwise` in the rest."""

    def generate(context, builder, sig, args):
        left, right = (as_floats(context, builder, t, a) for t, a in zip(sig.args[1:], args[1:], strict=True))
        return builder.select(args[0], left, right)

    return float32x16(mask, chosen, otherwise), generate


# ---------------------------------------------------------------------------------------------- memory


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of an element ahead of its use."""

    def generate(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], I8)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.none(array, index), generate


# ---------------------------------------------------------------------------------------------- for math.py


@intrinsic
def scale_by_power_of_two(typingctx, exponent_plus_magic, value):
    """value * 2^n, where the first argument is n + 1.5 * 2^23: its low bits then hold n."""

    def generate(context, builder, sig, args):
        shifted = builder.shl(builder.bitcast(args[0], INTS), ir.Constant(INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(args[1], INTS), shifted), FLOATS)

    return float32x16(exponent_plus_magic, value), generate


@intrinsic
def exponent_of(typingctx, value):
    """e of value = m 2^e with m in [1, 2), for positive normal numbers."""

    def generate(context, builder, sig, args):
        shifted = builder.ashr(builder.bitcast(args[0], INTS), ir.Constant(INTS, [23] * LANES))
        return builder.sitofp(builder.sub(shifted, ir.Constant(INTS, [127] * LANES)), FLOATS)

    return float32x16(value), generate


@intrinsic
def mantissa_of(typingctx, value):
    """m of value = m 2^e with m in [1, 2), for positive normal numbers."""

    def generate(context, builder, sig, args):
        bits = builder.and_(builder.bitcast(args[0], INTS), ir.Constant(INTS, [0x7FFFFF] * LANES))
        return builder.bitcast(builder.or_(bits, ir.Constant(INTS, [0x3F800000] * LANES)), FLOATS)

    return float32x16(value), generate
