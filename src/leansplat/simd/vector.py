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
from numba.extending import intrinsic, models, register_model

LANES = 16

_F32 = ir.FloatType()
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOATS = ir.VectorType(_F32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_INTS = ir.VectorType(_I32, LANES)
_BYTES = ir.VectorType(_I8, LANES)
_SHORTS = ir.VectorType(_I16, LANES)

# Contraction to fused multiply-add and reciprocals are allowed; NaN and infinity keep their meaning.
_FAST = ("contract", "nsz", "arcp")


class Float32x16(types.Type):
    """Numba type of sixteen float32 lanes."""

    def __init__(self):
        super().__init__(name="float32x16")


class Mask16(types.Type):
    """Numba type of sixteen booleans, one a lane."""

    def __init__(self):
        super().__init__(name="mask16")


float32x16 = Float32x16()
mask16 = Mask16()


@register_model(Float32x16)
class _Float32x16Model(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _FLOATS)


@register_model(Mask16)
class _Mask16Model(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _MASK)


# ---------------------------------------------------------------------------------------------- lowering


def _splat(builder, scalar, vector_type):
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _as_floats(context, builder, numba_type, value):
    """The vector itself, or a scalar broadcast to all lanes."""
    if isinstance(numba_type, Float32x16):
        return value
    return _splat(builder, context.cast(builder, value, numba_type, types.float32), _FLOATS)


def _constant(value):
    return ir.Constant(_FLOATS, [value] * LANES)


def _pointer(context, builder, array_type, array, index_type, index, vector_type):
    data = context.make_array(array_type)(context, builder, array).data
    index = context.cast(builder, index, index_type, types.int64)
    return builder.bitcast(builder.gep(data, [index]), vector_type.as_pointer())


def _is_vector_or_number(numba_type):
    return isinstance(numba_type, (Float32x16, types.Number))


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
        left, right = (_as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return emit(builder, left, right)

    for operands in _OPERANDS:
        lower_builtin(function, *operands)(lower)


_register_operator(operator.add, float32x16, lambda b, x, y: b.fadd(x, y, flags=_FAST))
_register_operator(operator.sub, float32x16, lambda b, x, y: b.fsub(x, y, flags=_FAST))
_register_operator(operator.mul, float32x16, lambda b, x, y: b.fmul(x, y, flags=_FAST))
_register_operator(operator.truediv, float32x16, lambda b, x, y: b.fdiv(x, y, flags=_FAST))
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
        return _as_floats(context, builder, sig.args[0], args[0])

    return float32x16(scalar), generate


@intrinsic
def lane_numbers(typingctx):
    """(0, 1, ..., 15)."""

    def generate(context, builder, sig, args):
        return ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)])

    return float32x16(), generate


@intrinsic
def lane_numbers_in_4x4(typingctx, axis):
    """Column (axis 0) or row (axis 1) of each lane when the lanes are a 4x4 block of pixels, row by row."""
    if not isinstance(axis, types.IntegerLiteral):
        return None
    shift = 2 * axis.literal_value

    def generate(context, builder, sig, args):
        return ir.Constant(_FLOATS, [float((lane >> shift) & 3) for lane in range(LANES)])

    return float32x16(axis), generate


@intrinsic
def load(typingctx, array, index):
    """Sixteen consecutive elements of a 1-D float32 array from `index` on."""

    def generate(context, builder, sig, args):
        value = builder.load(_pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS))
        value.align = 4
        return value

    return float32x16(array, index), generate


@intrinsic
def store(typingctx, array, index, value):
    """Write sixteen consecutive elements of a 1-D float32 array from `index` on."""

    def generate(context, builder, sig, args):
        vector = _as_floats(context, builder, sig.args[2], args[2])
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS)
        builder.store(vector, pointer).align = 4
        return context.get_dummy_value()

    return types.none(array, index, value), generate


@intrinsic
def load_where(typingctx, array, index, mask):
    """Like `load`, but lanes outside `mask` are zero and their memory is not touched."""

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS)
        kind = ir.FunctionType(_FLOATS, [pointer.type, _I32, _MASK, _FLOATS])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.load.v16f32.p0")
        return builder.call(function, [pointer, _I32(4), args[2], _constant(0.0)])

    return float32x16(array, index, mask), generate


@intrinsic
def store_where(typingctx, array, index, value, mask):
    """Like `store`, but only the lanes of `mask` are written."""

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS)
        kind = ir.FunctionType(ir.VoidType(), [_FLOATS, pointer.type, _I32, _MASK])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.store.v16f32.p0")
        builder.call(function, [args[2], pointer, _I32(4), args[3]])
        return context.get_dummy_value()

    return types.none(array, index, value, mask), generate


def _transposed(builder, rows):
    """Transpose a 16x16 matrix held in sixteen vectors: exchange blocks of 8, 4, 2 and 1 lanes in turn."""
    for size in (8, 4, 2, 1):
        lower = [lane if (lane // size) % 2 == 0 else LANES + lane - size for lane in range(LANES)]
        upper = [lane + size if (lane // size) % 2 == 0 else LANES + lane for lane in range(LANES)]
        exchanged = list(rows)
        for i in range(LANES):
            if (i // size) % 2 == 0:
                pair = (rows[i], rows[i + size])
                exchanged[i] = builder.shuffle_vector(*pair, ir.Constant(_INTS, lower))
                exchanged[i + size] = builder.shuffle_vector(*pair, ir.Constant(_INTS, upper))
        rows = exchanged
    return rows


@intrinsic
def store_records(typingctx, array, index, fields):
    """Write sixteen records of sixteen floats: field f of record l is lane l of `fields[f]`; the rest is zero."""

    def generate(context, builder, sig, args):
        vectors = [
            _as_floats(context, builder, t, v)
            for t, v in zip(sig.args[2].types, cgutils.unpack_tuple(builder, args[2]), strict=True)
        ]
        vectors += [_constant(0.0)] * (LANES - len(vectors))
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS)
        for record, vector in enumerate(_transposed(builder, vectors)):
            builder.store(vector, builder.gep(pointer, [_I64(record)])).align = 4
        return context.get_dummy_value()

    return types.none(array, index, fields), generate


@intrinsic
def load_records(typingctx, array, index):
    """Read sixteen records of sixteen floats: lane l of field f is element f of record l; inverts `store_records`."""
    result = types.UniTuple(float32x16, LANES)

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _FLOATS)
        vectors = []
        for record in range(LANES):
            vector = builder.load(builder.gep(pointer, [_I64(record)]))
            vector.align = 4
            vectors.append(vector)
        return context.make_tuple(builder, sig.return_type, _transposed(builder, vectors))

    return result(array, index), generate


# ---------------------------------------------------------------------------------------------- lane by lane


def _lane_function(name, count, doc):
    """An LLVM intrinsic that maps `count` vectors to one, lane by lane."""

    def generate(context, builder, sig, args):
        vectors = [_as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True)]
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * count)
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
        left, right = (_as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return builder.select(builder.fcmp_ordered("<", left, right), left, right)

    return float32x16(x, y), generate


@intrinsic
def maximum(typingctx, x, y):
    """The larger of two; y where x is NaN."""

    def generate(context, builder, sig, args):
        left, right = (_as_floats(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return builder.select(builder.fcmp_ordered(">", left, right), left, right)

    return float32x16(x, y), generate


@intrinsic
def select(typingctx, mask, chosen, otherwise):
    """`chosen` in the lanes of the mask, `otherwise` in the rest."""

    def generate(context, builder, sig, args):
        left, right = (_as_floats(context, builder, t, a) for t, a in zip(sig.args[1:], args[1:], strict=True))
        return builder.select(args[0], left, right)

    return float32x16(mask, chosen, otherwise), generate


# ---------------------------------------------------------------------------------------------- masks and bits


@intrinsic
def mask_to_bits(typingctx, mask):
    """The mask as an integer: bit l is lane l."""

    def generate(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], _I16), _I32)

    return types.uint32(mask), generate


@intrinsic
def bits_to_mask(typingctx, bits):
    """The inverse of `mask_to_bits`."""

    def generate(context, builder, sig, args):
        bits32 = context.cast(builder, args[0], sig.args[0], types.uint32)
        return builder.bitcast(builder.trunc(bits32, _I16), _MASK)

    return mask16(bits), generate


@intrinsic
def lowest_bit(typingctx, bits):
    """Position of the lowest set bit of a non-zero integer."""

    def generate(context, builder, sig, args):
        return builder.cttz(context.cast(builder, args[0], sig.args[0], types.uint32), ir.IntType(1)(1))

    return types.uint32(bits), generate


@intrinsic
def count_bits(typingctx, bits):
    """Number of set bits."""

    def generate(context, builder, sig, args):
        return builder.ctpop(context.cast(builder, args[0], sig.args[0], types.uint32))

    return types.uint32(bits), generate


@intrinsic
def append_where_bit(typingctx, indices, length, bits, start, bit):
    """Append the numbers `start` to `start + 15` (as uint8) whose 16-bit word in `bits` has bit `bit` set.

    `bits` is uint16, `indices` uint8 with room for sixteen more from `length` on. Returns the new length.
    """

    def generate(context, builder, sig, args):
        start64 = context.cast(builder, args[3], sig.args[3], types.int64)
        words_at = _pointer(context, builder, sig.args[2], args[2], types.int64, start64, _SHORTS)
        words = builder.load(words_at)
        words.align = 2
        one = builder.shl(_I16(1), context.cast(builder, args[4], sig.args[4], types.uint16))
        zero = ir.Constant(_SHORTS, [0] * LANES)
        chosen = builder.icmp_unsigned("!=", builder.and_(words, _splat(builder, one, _SHORTS)), zero)
        numbers = builder.add(
            _splat(builder, builder.trunc(start64, _I8), _BYTES), ir.Constant(_BYTES, list(range(LANES)))
        )
        kind = ir.FunctionType(_BYTES, [_BYTES, _MASK, _BYTES])
        compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.experimental.vector.compress.v16i8")
        packed = builder.call(compress, [numbers, chosen, ir.Constant(_BYTES, ir.Undefined)])
        length64 = context.cast(builder, args[1], sig.args[1], types.int64)
        builder.store(packed, _pointer(context, builder, sig.args[0], args[0], types.int64, length64, _BYTES)).align = 1
        return builder.add(length64, builder.zext(builder.ctpop(builder.bitcast(chosen, _I16)), _I64))

    return types.int64(indices, length, bits, start, bit), generate


# ---------------------------------------------------------------------------------------------- across lanes


def _fold(builder, a, b, size):
    """Add neighbouring groups of `size` lanes; even places of the result come from a, odd ones from b (or nothing)."""
    low = [lane for lane in range(LANES) if (lane // size) % 2 == 0]
    high = [lane + size for lane in low]
    other = a if b is None else b
    kept = builder.shuffle_vector(a, other, ir.Constant(_INTS, low + [LANES + lane for lane in low]))
    added = builder.shuffle_vector(a, other, ir.Constant(_INTS, high + [LANES + lane for lane in high]))
    return builder.fadd(kept, added, flags=_FAST)


@intrinsic
def sums_of(typingctx, vectors):
    """One vector whose lane i is the sum over the lanes of `vectors[i]`; a tuple of at most sixteen.

    Four rounds of fold-and-interleave add all the vectors at once, instead of one horizontal sum after another.
    """

    def generate(context, builder, sig, args):
        level = cgutils.unpack_tuple(builder, args[0])
        level = level + [None] * (LANES - len(level))
        size = LANES // 2
        while size:
            level = [None if level[i] is None else _fold(builder, level[i], level[i + size], size) for i in range(size)]
            size //= 2
        # The folds leave the sums in bit-reversed lanes.
        order = [int(f"{lane:04b}"[::-1], 2) for lane in range(LANES)]
        return builder.shuffle_vector(level[0], level[0], ir.Constant(_INTS, order))

    return float32x16(vectors), generate


@intrinsic
def sum_lanes(typingctx, vector):
    """Sum of the sixteen lanes as a float32."""

    def generate(context, builder, sig, args):
        value = args[0]
        for size in (8, 4, 2, 1):
            value = _fold(builder, value, None, size)
        return builder.extract_element(value, _I32(0))

    return types.float32(vector), generate


@intrinsic
def largest_lane(typingctx, vector):
    """Maximum of the sixteen lanes as a float32."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(_F32, [_FLOATS])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fmax.v16f32")
        return builder.call(function, [args[0]])

    return types.float32(vector), generate


# ---------------------------------------------------------------------------------------------- memory


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of an element ahead of its use."""

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], _I8)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.none(array, index), generate


# ---------------------------------------------------------------------------------------------- for math.py


@intrinsic
def scale_by_power_of_two(typingctx, exponent_plus_magic, value):
    """value * 2^n, where the first argument is n + 1.5 * 2^23: its low bits then hold n."""

    def generate(context, builder, sig, args):
        shifted = builder.shl(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(args[1], _INTS), shifted), _FLOATS)

    return float32x16(exponent_plus_magic, value), generate


@intrinsic
def exponent_of(typingctx, value):
    """e of value = m 2^e with m in [1, 2), for positive normal numbers."""

    def generate(context, builder, sig, args):
        shifted = builder.ashr(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.sitofp(builder.sub(shifted, ir.Constant(_INTS, [127] * LANES)), _FLOATS)

    return float32x16(value), generate


@intrinsic
def mantissa_of(typingctx, value):
    """m of value = m 2^e with m in [1, 2), for positive normal numbers."""

    def generate(context, builder, sig, args):
        bits = builder.and_(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [0x7FFFFF] * LANES))
        return builder.bitcast(builder.or_(bits, ir.Constant(_INTS, [0x3F800000] * LANES)), _FLOATS)

    return float32x16(value), generate
