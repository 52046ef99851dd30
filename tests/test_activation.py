"""Activated values and back, by their definitions, and finite where a file says 0 or 1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leansplat.activation import color_of, log_of, logit_of, opacity_of, scale_of, sh0_of, unit

NUMBERS = np.linspace(-9, 9, 37, dtype=np.float32)


def test_activated_values_are_what_their_definitions_say():
    expected = [(1 / (1 + math.exp(-x)), 0.5 + x / (2 * math.sqrt(math.pi)), math.exp(x)) for x in NUMBERS.tolist()]
    found = np.stack([opacity_of(NUMBERS), color_of(NUMBERS), scale_of(NUMBERS)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("there", "back"), [(opacity_of, logit_of), (color_of, sh0_of), (scale_of, log_of)])
def test_the_way_back_is_the_inverse(there, back):
    np.testing.assert_allclose(back(there(NUMBERS)), NUMBERS, rtol=1e-9, atol=1e-12)


def test_nothing_overflows_on_the_way_and_back():
    extreme = np.array([-3e38, -1000, 1000, 3e38], np.float32)
    assert opacity_of(extreme).tolist() == [0, 0, 1, 1]
    for there, back in ((opacity_of, logit_of), (scale_of, log_of)):
        activated = there(extreme).astype(np.float32)
        assert np.isfinite(activated).all()
        again = back(activated)
        assert np.isfinite(again).all()
        assert (np.diff(again) >= 0).all()


def test_what_a_file_rounded_to_the_ends_keeps_its_meaning():
    logits = logit_of(np.array([0.0, 1.0])).astype(np.float32)
    assert opacity_of(logits).tolist() == pytest.approx([2.0**-24, 1 - 2.0**-24], rel=1e-5)
    assert math.exp(log_of(np.zeros(1))[0]) == pytest.approx(np.finfo(np.float32).tiny)


def test_what_is_not_a_number_stays_so():
    nan = np.array([np.nan], np.float32)
    for function in (opacity_of, logit_of, color_of, sh0_of, scale_of, log_of):
        assert np.isnan(function(nan)).all()
    assert np.isnan(log_of(np.array([-1.0]))).all()
    assert np.isnan(unit(np.full((1, 4), np.nan))).all()


def test_quaternions_get_length_one_and_those_without_become_the_identity():
    quats = np.array([[3e30, 0, 0, 4e30], [0, 0, 0, 0], [0, -1e-30, 0, 0]], np.float32)
    assert unit(quats).tolist() == [pytest.approx([0.6, 0, 0, 0.8]), [1, 0, 0, 0], [0, -1, 0, 0]]
