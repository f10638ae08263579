"""TensorFlow Lite Micro's int8 arithmetic, bit for bit: multipliers, rounding, padding, scales.

The source is the reference kernels of TensorFlow Lite Micro with double rounding, its default. Each scale is computed
in float32 or double as in the source, because the other precision can change an output by one step. Arrays are int64.
Functions in kernels/requantize.h bear the same names as here.
"""

import math
from dataclasses import dataclass

import numpy as np

from esp32_deploy.words import SCORE_STEPS

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# extra bits of the common scale to which ADD brings both inputs
ADD_LEFT_SHIFT = 20

# softmax scales the differences to the largest logit to Q5.26: five integer bits
SOFTMAX_INTEGER_BITS = 5
SOFTMAX_FRACTION_BITS = 31 - SOFTMAX_INTEGER_BITS
FINEST_LOGITS = 2**-SOFTMAX_FRACTION_BITS
"""The smallest scale of logits that softmax supports."""

MOST_AVERAGED_CELLS = 4096
"""The most cells for which a factor is compared with a division, for every possible sum."""

PROBABILITY_SCALE, PROBABILITY_ZERO_POINT = 1 / SCORE_STEPS, INT8_MIN
"""Scale and zero point of every softmax output."""


@dataclass(frozen=True)
class Multiplier:
    """A real factor as mantissa * 2^(exponent - 31), mantissa in [2^30, 2^31)."""

    mantissa: int
    exponent: int


def round_away(value: float) -> int:
    """Rounds to the nearest integer, halves away from zero, like C's round()."""
    whole, rest = divmod(abs(value), 1)
    rounded = int(whole) + (rest >= 0.5)
    return rounded if value >= 0 else -rounded


def quantize_multiplier(factor: float) -> Multiplier:
    """A positive factor in fixed point; factors below 2^-32 become zero."""
    fraction, exponent = math.frexp(factor)
    mantissa = round_away(fraction * 2**31)
    if mantissa == 2**31:
        mantissa, exponent = mantissa // 2, exponent + 1
    return Multiplier(0, 0) if exponent < -31 else Multiplier(mantissa, exponent)


def rounding_divide(values: np.ndarray, exponent: int) -> np.ndarray:
    """values / 2^exponent. Halves round away from zero."""
    if exponent == 0:
        return values
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (values < 0)
    return (values >> exponent) + ((values & mask) > threshold)


def rounding_multiply_high(values: np.ndarray, factors: np.ndarray | int) -> np.ndarray:
    """(a * b + 2^30) >> 31: the upper half of the doubled product. Halves round up."""
    return (values * factors + (1 << 30)) >> 31


def requantize(values: np.ndarray, multiplier: Multiplier) -> np.ndarray:
    """values * multiplier, rounded twice: for the product's upper half, then for the division by 2^-exponent."""
    left, right = max(multiplier.exponent, 0), max(-multiplier.exponent, 0)
    return rounding_divide(rounding_multiply_high(values << left, multiplier.mantissa), right)


def convolution_factors(input_scale: float, weight_scales: tuple[float, ...], output_scale: float) -> list[float]:
    """input * weight / output for every weight scale, computed in double from left to right."""
    return [input_scale * scale / output_scale for scale in weight_scales]


def dense_factors(input_scale: float, weight_scales: tuple[float, ...], output_scale: float) -> list[float]:
    """The factors of a dense layer. With a single weight scale, the product is rounded to float32 first."""
    if len(weight_scales) > 1:
        return convolution_factors(input_scale, weight_scales, output_scale)
    product = np.float32(input_scale) * np.float32(weight_scales[0])
    return [float(product) / output_scale]


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """The lowest and highest int8 output of a fused activation."""
    bounds = {"NONE": (None, None), "RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}
    low, high = bounds[activation]
    return (
        INT8_MIN if low is None else max(INT8_MIN, _quantized(low, scale, zero_point)),
        INT8_MAX if high is None else min(INT8_MAX, _quantized(high, scale, zero_point)),
    )


def _quantized(value: float, scale: float, zero_point: int) -> int:
    return zero_point + round_away(float(np.float32(value) / np.float32(scale)))


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after, for ceil(extent / stride) windows. An odd cell of padding goes after."""
    outputs = -(-extent // stride)
    total = max((outputs - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class AddScaling:
    """ADD's three multipliers: one for each input after the left shift, and one for the sum."""

    first: Multiplier
    second: Multiplier
    total: Multiplier


def add_scaling(first_scale: float, second_scale: float, output_scale: float) -> AddScaling:
    """The multipliers that bring both inputs to twice the larger scale. Scales are float32, the rest is double."""
    twice = 2.0 * max(first_scale, second_scale)
    return AddScaling(
        quantize_multiplier(first_scale / twice),
        quantize_multiplier(second_scale / twice),
        quantize_multiplier(twice / ((1 << ADD_LEFT_SHIFT) * output_scale)),
    )


def add(first: np.ndarray, second: np.ndarray, scaling: AddScaling) -> np.ndarray:
    """The sum in steps of the output scale. Inputs and result are without their zero points."""
    left = requantize(first << ADD_LEFT_SHIFT, scaling.first)
    right = requantize(second << ADD_LEFT_SHIFT, scaling.second)
    return requantize(left + right, scaling.total)


def mean_multiplier(input_scale: float, output_scale: float, cells: int) -> Multiplier:
    """The factor that turns a sum over `cells` into their mean. It is truncated, with as many bits as fit."""
    scale = quantize_multiplier(input_scale / output_scale)
    shift = min(cells.bit_length() - 1, 32, 31 + scale.exponent)
    return Multiplier((scale.mantissa << shift) // cells, scale.exponent - shift)


def average_multiplier(cells: int) -> Multiplier | None:
    """The factor that turns every sum of int8 values over `cells` into the average of AVERAGE_POOL.

    That operator divides, and rounds halves away from zero. None if no single factor is known to give the same.
    """
    if cells > MOST_AVERAGED_CELLS:
        return None
    # A little more than 1 / cells, so that halves round away from zero.
    multiplier = Multiplier(min(2**31 // cells + 1, INT32_MAX), 0)
    sums = np.arange(INT8_MIN * cells, INT8_MAX * cells + 1)
    averages = np.sign(sums) * ((abs(sums) + cells // 2) // cells)
    return multiplier if np.array_equal(requantize(sums, multiplier), averages) else None


@dataclass(frozen=True)
class SoftmaxScaling:
    """The multiplier of differences to the largest logit. Below `least_difference` the probability is 0."""

    multiplier: Multiplier
    least_difference: int


def softmax_scaling(input_scale: float, beta: float) -> SoftmaxScaling:
    """The scaling that brings differences of logits to Q5.26."""
    multiplier = quantize_multiplier(min(beta * input_scale * (1 << SOFTMAX_FRACTION_BITS), float(INT32_MAX)))
    return SoftmaxScaling(multiplier, -input_radius(SOFTMAX_INTEGER_BITS, multiplier.exponent))


def input_radius(integer_bits: int, exponent: int) -> int:
    """The largest input that stays in `integer_bits` integer bits after a multiplication with this exponent."""
    return math.floor(((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) / 2**exponent)
