"""Masks as integers, a bit a lane, and what kernels do with such words: walk their set bits, collect where one is."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from leansplat.simd.lowering import BYTES, I8, I16, I32, I64, LANES, MASK, SHORTS, mask16, pointer_to, splat


@intrinsic
def mask_to_bits(typingctx, mask):
    """The mask as an integer: bit l is lane l."""

    def generate(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], I16), I32)

    return types.uint32(mask), generate


@intrinsic
def bits_to_mask(typingctx, bits):
    """The inverse of `mask_to_bits`."""

    def generate(context, builder, sig, args):
        bits32 = context.cast(builder, args[0], sig.args[0], types.uint32)
        return builder.bitcast(builder.trunc(bits32, I16), MASK)

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
        words_at = pointer_to(context, builder, sig.args[2], args[2], types.int64, start64, SHORTS)
        words = builder.load(words_at)
        words.align = 2
        one = builder.shl(I16(1), context.cast(builder, args[4], sig.args[4], types.uint16))
        zero = ir.Constant(SHORTS, [0] * LANES)
        chosen = builder.icmp_unsigned("!=", builder.and_(words, splat(builder, one, SHORTS)), zero)
        numbers = builder.add(splat(builder, builder.trunc(start64, I8), BYTES), ir.Constant(BYTES, list(range(LANES))))
        kind = ir.FunctionType(BYTES, [BYTES, MASK, BYTES])
        compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.experimental.vector.compress.v16i8")
        packed = builder.call(compress, [numbers, chosen, ir.Constant(BYTES, ir.Undefined)])
        length64 = context.cast(builder, args[1], sig.args[1], types.int64)
        builder.store(
            packed, pointer_to(context, builder, sig.args[0], args[0], types.int64, length64, BYTES)
        ).align = 1
        return builder.add(length64, builder.zext(builder.ctpop(builder.bitcast(chosen, I16)), I64))

    return types.int64(indices, length, bits, start, bit), generate
