"""Operations that mix the lanes of vectors: sums and maxima over lanes, records of sixteen floats to fields and back.

All are built from shuffles of two vectors, log2(16) = 4 rounds of them, rather than from one lane after another.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from leansplat.simd.lowering import (
    F32,
    FAST,
    FLOATS,
    I32,
    I64,
    INTS,
    LANES,
    as_floats,
    constant,
    float32x16,
    pointer_to,
)


def _fold(builder, a, b, size):
    """Add neighbouring groups of `size` lanes; even places of the result come from a, odd ones from b (or nothing)."""
    low = [lane for lane in range(LANES) if (lane // size) % 2 == 0]
    high = [lane + size for lane in low]
    other = a if b is None else b
    kept = builder.shuffle_vector(a, other, ir.Constant(INTS, low + [LANES + lane for lane in low]))
    added = builder.shuffle_vector(a, other, ir.Constant(INTS, high + [LANES + lane for lane in high]))
    return builder.fadd(kept, added, flags=FAST)


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
        return builder.shuffle_vector(level[0], level[0], ir.Constant(INTS, order))

    return float32x16(vectors), generate


@intrinsic
def sum_lanes(typingctx, vector):
    """Sum of the sixteen lanes as a float32."""

    def generate(context, builder, sig, args):
        value = args[0]
        for size in (8, 4, 2, 1):
            value = _fold(builder, value, None, size)
        return builder.extract_element(value, I32(0))

    return types.float32(vector), generate


@intrinsic
def largest_lane(typingctx, vector):
    """Maximum of the sixteen lanes as a float32."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(F32, [FLOATS])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fmax.v16f32")
        return builder.call(function, [args[0]])

    return types.float32(vector), generate


def _transposed(builder, rows):
    """Transpose a 16x16 matrix held in sixteen vectors: exchange blocks of 8, 4, 2 and 1 lanes in turn."""
    for size in (8, 4, 2, 1):
        lower = [lane if (lane // size) % 2 == 0 else LANES + lane - size for lane in range(LANES)]
        upper = [lane + size if (lane // size) % 2 == 0 else LANES + lane for lane in range(LANES)]
        exchanged = list(rows)
        for i in range(LANES):
            if (i // size) % 2 == 0:
                pair = (rows[i], rows[i + size])
                exchanged[i] = builder.shuffle_vector(*pair, ir.Constant(INTS, lower))
                exchanged[i + size] = builder.shuffle_vector(*pair, ir.Constant(INTS, upper))
        rows = exchanged
    return rows


@intrinsic
def store_records(typingctx, array, index, fields):
    """Write sixteen records of sixteen floats: field f of record l is lane l of `fields[f]`; the rest is zero."""

    def generate(context, builder, sig, args):
        vectors = [
            as_floats(context, builder, t, v)
            for t, v in zip(sig.args[2].types, cgutils.unpack_tuple(builder, args[2]), strict=True)
        ]
        vectors += [constant(0.0)] * (LANES - len(vectors))
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        for record, vector in enumerate(_transposed(builder, vectors)):
            builder.store(vector, builder.gep(pointer, [I64(record)])).align = 4
        return context.get_dummy_value()

    return types.none(array, index, fields), generate


@intrinsic
def load_records(typingctx, array, index):
    """Read sixteen records of sixteen floats: lane l of field f is element f of record l; inverts `store_records`."""
    result = types.UniTuple(float32x16, LANES)

    def generate(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        vectors = []
        for record in range(LANES):
            vector = builder.load(builder.gep(pointer, [I64(record)]))
            vector.align = 4
            vectors.append(vector)
        return context.make_tuple(builder, sig.return_type, _transposed(builder, vectors))

    return result(array, index), generate
