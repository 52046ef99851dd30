"""The vector type: every operation against NumPy, lane by lane."""

from __future__ import annotations

import numba
import numpy as np

from leansplat.simd.across_lanes import largest_lane, load_records, store_records, sum_lanes, sums_of
from leansplat.simd.bits import append_where_bit, bits_to_mask, count_bits, lowest_bit, mask_to_bits
from leansplat.simd.math import exp, exp2, log2, sigmoid
from leansplat.simd.vector import (
    LANES,
    absolute,
    broadcast,
    floor,
    fma,
    lane_numbers,
    lane_numbers_in_4x4,
    load,
    load_where,
    maximum,
    minimum,
    select,
    square_root,
    store,
    store_where,
)

RANDOM = np.random.default_rng(0)


def lanes(low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return RANDOM.uniform(low, high, LANES).astype(np.float32)


@numba.njit
def _arithmetic(x, y, out):
    a = load(x, 0)
    b = load(y, 0)
    store(out, 0, a + b)
    store(out, 16, 2 * a - b / 3.0)
    store(out, 32, fma(a, b, 1.5))
    store(out, 48, minimum(a, b) + maximum(0.0, -a))
    store(out, 64, square_root(absolute(a)) + floor(b))
    store(out, 80, select((a > b) | ~(b <= 1.0), a, 0.25))


def test_operators_and_functions_agree_with_numpy_and_take_scalars() -> None:
    x, y = lanes(), lanes()
    out = np.zeros(96, np.float32)
    _arithmetic(x, y, out)
    expected = [
        x + y,
        2 * x - y / 3,
        x * y + 1.5,
        np.minimum(x, y) + np.maximum(0, -x),
        np.sqrt(abs(x)) + np.floor(y),
        np.where((x > y) | (y > 1), x, 0.25),
    ]
    np.testing.assert_allclose(out.reshape(6, LANES), expected, rtol=3e-7, atol=3e-7)


@numba.njit
def _comparisons(x, out):
    a = load(x, 0)
    out[0] = mask_to_bits(a >= 0.0)
    out[1] = mask_to_bits(a < 0.0)


def test_nan_passes_no_comparison() -> None:
    x = np.full(LANES, np.nan, np.float32)
    out = np.ones(2, np.uint32)
    _comparisons(x, out)
    assert out.tolist() == [0, 0]


@numba.njit
def _functions(x, out):
    a = load(x, 0)
    store(out, 0, exp2(a))
    store(out, 16, exp(a))
    store(out, 32, sigmoid(a))
    store(out, 48, log2(exp2(a)))


def test_exponentials_and_logarithm_are_as_accurate_as_float32() -> None:
    for _ in range(200):
        x = lanes(-80, 80)
        out = np.zeros(64, np.float32)
        _functions(x, out)
        wide = x.astype(np.float64)
        np.testing.assert_allclose(out[:16], np.exp2(wide), rtol=4e-7)
        # e^x = 2^(x log2 e): the rounded product is off by half a digit of the exponent's size.
        np.testing.assert_allclose(out[16:32], np.exp(wide), rtol=1e-5)
        np.testing.assert_allclose(out[32:48], 1 / (1 + np.exp(-wide)), rtol=1e-5)
        np.testing.assert_allclose(out[48:], wide, rtol=5e-7, atol=5e-7)


@numba.njit
def _across(x, out):
    a = load(x, 0)
    store(out, 0, sums_of((a, 2.0 * a, broadcast(1.0), a * a, -a, a, a, a, 3.0 * a)))
    out[16] = sum_lanes(a)
    out[17] = largest_lane(a)


def test_sums_of_several_vectors_land_in_order() -> None:
    x = lanes()
    out = np.zeros(18, np.float32)
    _across(x, out)
    total = x.astype(np.float64).sum()
    expected = [total, 2 * total, 16, (x.astype(np.float64) ** 2).sum(), -total, total, total, total, 3 * total]
    np.testing.assert_allclose(out[:9], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out[16:], [total, x.max()], rtol=1e-5, atol=1e-5)


@numba.njit
def _records(source, out):
    fields = load_records(source, 0)
    store_records(out, 0, (fields[3], fields[0], 7.0))


def test_records_are_fields_transposed() -> None:
    source = np.arange(256, dtype=np.float32)
    out = np.full(256, -1, np.float32)
    _records(source, out)
    table = source.reshape(16, 16)
    expected = np.zeros((16, 16), np.float32)
    expected[:, 0], expected[:, 1], expected[:, 2] = table[:, 3], table[:, 0], 7
    np.testing.assert_array_equal(out.reshape(16, 16), expected)


@numba.njit
def _partial(x, out, count):
    some = lane_numbers() < np.float32(count)
    store_where(out, 0, load_where(x, 0, some), some)


def test_partial_loads_and_stores_touch_only_their_lanes() -> None:
    for count in range(LANES + 1):
        x = lanes()[:count].copy()
        out = np.full(LANES, 9, np.float32)
        _partial(x, out, count)
        np.testing.assert_array_equal(out[:count], x)
        assert (out[count:] == 9).all()


@numba.njit
def _bits(word, out):
    out[0] = mask_to_bits(bits_to_mask(word))
    out[1] = lowest_bit(word)
    out[2] = count_bits(word)


def test_bits_go_to_a_mask_and_back() -> None:
    for word in (1, 0b1010, 0x8000, 0xFFFF, 0b110000):
        out = np.zeros(3, np.uint32)
        _bits(np.uint32(word), out)
        assert out.tolist() == [word, (word & -word).bit_length() - 1, bin(word).count("1")]


@numba.njit
def _append(words, bit, out):
    length = 0
    for start in range(0, words.size, LANES):
        length = append_where_bit(out, length, words, start, bit)
    return length


def test_appending_collects_the_numbers_whose_word_has_the_bit() -> None:
    words = RANDOM.integers(0, 1 << 16, 64).astype(np.uint16)
    for bit in range(16):
        out = np.zeros(64 + LANES, np.uint8)
        length = _append(words, np.uint32(bit), out)
        np.testing.assert_array_equal(out[:length], np.flatnonzero(words >> bit & 1))


@numba.njit
def _pixels(out):
    store(out, 0, lane_numbers_in_4x4(0))
    store(out, 16, lane_numbers_in_4x4(1))


def test_lanes_of_a_block_of_pixels_go_row_by_row() -> None:
    out = np.zeros(32, np.float32)
    _pixels(out)
    assert out[:16].tolist() == [0, 1, 2, 3] * 4
    assert out[16:].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
