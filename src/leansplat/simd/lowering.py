"""The vector types themselves, and how values of them are made in LLVM's intermediate language.

Shared by the modules that define operations on vectors; kernels import those, not this one.
"""

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

LANES = 16

F32 = ir.FloatType()
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOATS = ir.VectorType(F32, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
INTS = ir.VectorType(I32, LANES)
BYTES = ir.VectorType(I8, LANES)
SHORTS = ir.VectorType(I16, LANES)

# Contraction to fused multiply-add and reciprocals are allowed; NaN and infinity keep their meaning.
FAST = ("contract", "nsz", "arcp")


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
        super().__init__(manager, numba_type, FLOATS)


@register_model(Mask16)
class _Mask16Model(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, MASK)


def splat(builder, scalar, vector_type):
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(INTS, [0] * LANES))


def as_floats(context, builder, numba_type, value):
    """The vector itself, or a scalar broadcast to all lanes."""
    if isinstance(numba_type, Float32x16):
        return value
    return splat(builder, context.cast(builder, value, numba_type, types.float32), FLOATS)


def constant(value):
    return ir.Constant(FLOATS, [value] * LANES)


def pointer_to(context, builder, array_type, array, index_type, index, vector_type):
    data = context.make_array(array_type)(context, builder, array).data
    index = context.cast(builder, index, index_type, types.int64)
    return builder.bitcast(builder.gep(data, [index]), vector_type.as_pointer())
