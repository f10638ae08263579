from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esp32_deploy.compile.arithmetic import (
    MOST_AVERAGED_CELLS,
    Multiplier,
    activation_range,
    add_scaling,
    average_multiplier,
    dense_factors,
    mean_multiplier,
    quantize_multiplier,
    requantize,
    round_away,
    rounding_divide,
    same_padding,
    softmax_scaling,
)

MANTISSAS = st.integers(2**30, 2**31 - 1)


def away_from_zero(value):
    # exact rational numbers, independent of the code under test
    magnitude = int(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.5, 1), (-0.5, -1), (2.5, 3), (0.49999999999999994, 0), (-1.2, -1), (7.0, 7)]
)
def test_round_away_rounds_halves_away_from_zero(value, rounded):
    assert round_away(value) == rounded


@given(st.floats(1e-9, 1e4))
def test_multiplier_equals_factor_to_31_bits(factor):
    multiplier = quantize_multiplier(factor)
    assert 2**30 <= multiplier.mantissa < 2**31
    value = multiplier.mantissa * 2.0 ** (multiplier.exponent - 31)
    assert abs(value - factor) <= factor * 2.0**-31


def test_tiny_factor_becomes_zero():
    assert quantize_multiplier(2.0**-34) == Multiplier(0, 0)


def test_mantissa_that_rounds_up_to_one_increases_exponent():
    assert quantize_multiplier(1 - 2.0**-40) == Multiplier(2**30, 1)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 31))
def test_rounding_divide_rounds_halves_away_from_zero(value, exponent):
    assert rounding_divide(np.int64(value), exponent) == away_from_zero(Fraction(value, 2**exponent))


@given(st.integers(-(2**30), 2**30), MANTISSAS, st.integers(-20, 0))
def test_requantize_rounds_twice(value, mantissa, exponent):
    upper = (2 * value * mantissa + 2**31) >> 32  # halves round up
    expected = away_from_zero(Fraction(upper, 2**-exponent))
    assert requantize(np.int64(value), Multiplier(mantissa, exponent)) == expected


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 4))
def test_same_padding_fits_every_window(extent, kernel, stride):
    before, after = same_padding(extent, kernel, stride)
    outputs = -(-extent // stride)
    assert before <= after <= before + 1
    padded = extent + before + after
    assert (padded - kernel) // stride + 1 == outputs or (before, after) == (0, 0)


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "limits"),
    [
        ("NONE", 0.1, 3, (-128, 127)),
        ("RELU", 0.1, 3, (3, 127)),
        ("RELU6", 6 / 255, -128, (-128, 127)),
        ("RELU6", 0.1, -128, (-128, -68)),
        ("RELU_N1_TO_1", 0.1, 0, (-10, 10)),
    ],
)
def test_activation_range_of_fused_activations(activation, scale, zero_point, limits):
    assert activation_range(activation, scale, zero_point) == limits


def test_single_dense_scale_is_multiplied_in_float32():
    input_scale, weight_scale = float(np.float32(0.1)), float(np.float32(0.3))
    alone, together = (dense_factors(input_scale, (weight_scale,) * count, 1.0)[0] for count in (1, 2))
    assert alone == float(np.float32(input_scale) * np.float32(weight_scale)) != together


@given(st.floats(1e-4, 10), st.floats(1e-4, 10), st.floats(1e-4, 10))
def test_larger_scale_of_addition_has_multiplier_one_half(first, second, output):
    scaling = add_scaling(first, second, output)
    larger = scaling.first if first >= second else scaling.second
    assert larger == Multiplier(2**30, 0)


@given(st.floats(1e-3, 1.0), st.integers(1, 5000))
def test_mean_multiplier_includes_division(scale, cells):
    multiplier = mean_multiplier(scale, 1.0, cells)
    value = multiplier.mantissa * 2.0 ** (multiplier.exponent - 31)
    assert value == pytest.approx(scale / cells, rel=2e-9 * cells)
    assert multiplier.mantissa < 2**31


def test_softmax_ignores_differences_beyond_31():
    scaling = softmax_scaling(0.1, 1.0)
    assert scaling.multiplier.exponent > 0
    assert -scaling.least_difference * 0.1 == pytest.approx(31, abs=0.2 * 31)


@pytest.mark.parametrize("cells", [1, 2, 3, 7, 9, 25, 36, 64, 125, 144, 256, 576, 1024, 1600])
def test_one_factor_averages_like_average_pool(cells):
    multiplier = average_multiplier(cells)
    sums = np.array([-128 * cells, *range(-3 * cells, 3 * cells + 1), 127 * cells])
    divided = [int(Fraction(abs(int(value)), cells) + Fraction(1, 2)) * (1 if value > 0 else -1) for value in sums]
    np.testing.assert_array_equal(requantize(sums, multiplier), divided)


def test_averages_of_very_many_cells_are_left_to_the_division():
    assert average_multiplier(MOST_AVERAGED_CELLS + 1) is None
