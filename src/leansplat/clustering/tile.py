"""A tile of dot products: POINTS points against WIDTH centres at once, all sums in registers.

A processor multiplies faster than it loads, so each number loaded must be used several times: a tile loads a coordinate
of its points and of its centres and multiplies all with all. With the sums that makes 19 vector registers of the 32 of
AVX-512 and NEON. Centres come packed: per block of WIDTH a line of starting values, then a line a coordinate.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from leansplat.simd.lowering import F32, FLOATS, I64, LANES, float32x16, pointer_to, splat

POINTS = 8
"""Points in a tile."""

_VECTORS = 2

WIDTH = _VECTORS * LANES
"""Centres in a block."""

_SUMS = types.UniTuple(float32x16, POINTS * _VECTORS)


def _load(builder, pointer, count):
    """Vectors one after the other in memory."""
    vectors = []
    for number in range(count):
        vector = builder.load(builder.gep(pointer, [I64(number)]))
        vector.align = 4
        vectors.append(vector)
    return vectors


def _store(builder, pointer, vectors):
    for number, vector in enumerate(vectors):
        builder.store(vector, builder.gep(pointer, [I64(number)])).align = 4


@intrinsic
def starting_sums(typingctx, centres, at):
    """The sums of a tile before the first coordinate: the line of `centres` at offset `at`, for every point."""

    def generate(context, builder, sig, args):
        line = pointer_to(context, builder, sig.args[0], args[0], sig.args[1], args[1], FLOATS)
        return context.make_tuple(builder, sig.return_type, _load(builder, line, _VECTORS) * POINTS)

    return _SUMS(centres, at), generate


@intrinsic
def add_products(typingctx, sums, points, place, stride, centres, at):
    """The sums with one more coordinate: `points[place + p * stride]` for point p, `centres` from `at` on.

    Both are one-dimensional float32 arrays.
    """

    def generate(context, builder, sig, args):
        line = pointer_to(context, builder, sig.args[4], args[4], sig.args[5], args[5], FLOATS)
        columns = _load(builder, line, _VECTORS)
        first = pointer_to(context, builder, sig.args[1], args[1], sig.args[2], args[2], F32)
        step = context.cast(builder, args[3], sig.args[3], types.int64)
        kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32")
        after = []
        for number, before in enumerate(cgutils.unpack_tuple(builder, args[0])):
            point, column = divmod(number, _VECTORS)
            if column == 0:
                coordinate = builder.load(builder.gep(first, [builder.mul(step, I64(point))]))
                everywhere = splat(builder, coordinate, FLOATS)
            after.append(builder.call(fma, [everywhere, columns[column], before]))
        return context.make_tuple(builder, sig.return_type, after)

    return _SUMS(sums, points, place, stride, centres, at), generate


@intrinsic
def keep_largest(typingctx, sums, number, largest, numbers, at):
    """Where a sum is above the value in `largest`, put it there, and `number` (below 2^24) into `numbers`.

    Both are float32 arrays with WIDTH values a point from offset `at` on. Of equal sums the first stays.
    """

    def generate(context, builder, sig, args):
        values_at = pointer_to(context, builder, sig.args[2], args[2], sig.args[4], args[4], FLOATS)
        numbers_at = pointer_to(context, builder, sig.args[3], args[3], sig.args[4], args[4], FLOATS)
        count = POINTS * _VECTORS
        mine = splat(builder, context.cast(builder, args[1], sig.args[1], types.float32), FLOATS)
        new, old = cgutils.unpack_tuple(builder, args[0]), _load(builder, values_at, count)
        above = [builder.fcmp_ordered(">", *pair) for pair in zip(new, old, strict=True)]
        before = _load(builder, numbers_at, count)
        _store(builder, values_at, [builder.select(*each) for each in zip(above, new, old, strict=True)])
        _store(builder, numbers_at, [builder.select(here, mine, was) for here, was in zip(above, before, strict=True)])
        return context.get_dummy_value()

    return types.none(sums, number, largest, numbers, at), generate
