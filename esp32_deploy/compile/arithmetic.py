"""TensorFlow Lite Micro's int8 arithmetic, exactly: multipliers, rounding, padding, scales.

Source: the reference kernels of TensorFlow Lite Micro with double rounding (its default). float32 and double are
kept apart as there, because a scale formed in the other precision moves outputs by one step. Arrays are int64.
"""

import math
from dataclasses import dataclass

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# ADD brings both inputs to a common scale with this many bits to spare
ADD_LEFT_SHIFT = 20

# Q5.26: five integer bits for the difference to the largest logit
SOFTMAX_INTEGER_BITS = 5
SOFTMAX_FRACTION_BITS = 31 - SOFTMAX_INTEGER_BITS
FINEST_LOGITS = 2**-SOFTMAX_FRACTION_BITS
"""Softmax takes no finer steps between logits."""

PROBABILITY_SCALE, PROBABILITY_ZERO_POINT = 1 / 256, INT8_MIN
"""Of every softmax's output."""


@dataclass(frozen=True)
class Multiplier:
    """A real factor as mantissa * 2^(exponent - 31), mantissa in [2^30, 2^31)."""

    mantissa: int
    exponent: int


def round_away(value: float) -> int:
    """To the nearest integer, halves away from zero, as C's round()."""
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
    """values / 2^exponent, halves away from zero."""
    if exponent == 0:
        return values
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (values < 0)
    return (values >> exponent) + ((values & mask) > threshold)


def high_multiply(values: np.ndarray, factors: np.ndarray | int) -> np.ndarray:
    """The upper half of twice the 64-bit product, halves up: (a * b + 2^30) >> 31."""
    return (values * factors + (1 << 30)) >> 31


def requantize(values: np.ndarray, multiplier: Multiplier) -> np.ndarray:
    """values * multiplier with two roundings: to the product's upper half, then to the exponent."""
    left, right = max(multiplier.exponent, 0), max(-multiplier.exponent, 0)
    return rounding_divide(high_multiply(values << left, multiplier.mantissa), right)


def convolution_factors(input_scale: float, weight_scales: tuple[float, ...], output_scale: float) -> list[float]:
    """input * weight / output, in double from left to right, one for every weight scale."""
    return [input_scale * scale / output_scale for scale in weight_scales]


def dense_factors(input_scale: float, weight_scales: tuple[float, ...], output_scale: float) -> list[float]:
    """Like convolutions, but with a single weight scale the product is rounded to float32 first."""
    if len(weight_scales) > 1:
        return convolution_factors(input_scale, weight_scales, output_scale)
    product = np.float32(input_scale) * np.float32(weight_scales[0])
    return [float(product) / output_scale]


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """Lowest and highest int8 that a fused activation lets through."""
    bounds = {"NONE": (None, None), "RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}
    low, high = bounds[activation]
    return (
        INT8_MIN if low is None else max(INT8_MIN, _quantized(low, scale, zero_point)),
        INT8_MAX if high is None else min(INT8_MAX, _quantized(high, scale, zero_point)),
    )


def _quantized(value: float, scale: float, zero_point: int) -> int:
    return zero_point + round_away(float(np.float32(value) / np.float32(scale)))


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells before and after so that ceil(extent / stride) windows fit; the odd one goes after."""
    outputs = -(-extent // stride)
    total = max((outputs - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class AddScaling:
    """ADD's three multipliers: of either input, left shifted, and of the sum."""

    first: Multiplier
    second: Multiplier
    total: Multiplier


def add_scaling(first_scale: float, second_scale: float, output_scale: float) -> AddScaling:
    """Both inputs are brought to twice the larger scale; scales are float32 values, the rest is double."""
    twice = 2.0 * max(first_scale, second_scale)
    return AddScaling(
        quantize_multiplier(first_scale / twice),
        quantize_multiplier(second_scale / twice),
        quantize_multiplier(twice / ((1 << ADD_LEFT_SHIFT) * output_scale)),
    )


def add(first: np.ndarray, second: np.ndarray, scaling: AddScaling) -> np.ndarray:
    """Sum of two zero-point-free inputs in steps of the output, without its zero point."""
    left = requantize(first << ADD_LEFT_SHIFT, scaling.first)
    right = requantize(second << ADD_LEFT_SHIFT, scaling.second)
    return requantize(left + right, scaling.total)


def mean_multiplier(input_scale: float, output_scale: float, cells: int) -> Multiplier:
    """The factor of a sum over `cells`: the division is folded in, truncated, with as many bits as fit."""
    scale = quantize_multiplier(input_scale / output_scale)
    shift = min(cells.bit_length() - 1, 32, 31 + scale.exponent)
    return Multiplier((scale.mantissa << shift) // cells, scale.exponent - shift)


@dataclass(frozen=True)
class SoftmaxScaling:
    """Softmax's multiplier of differences to the largest logit, and the least difference that still counts."""

    multiplier: Multiplier
    least_difference: int


def softmax_scaling(input_scale: float, beta: float) -> SoftmaxScaling:
    """Differences become Q5.26; below `least_difference` the result is zero."""
    multiplier = quantize_multiplier(min(beta * input_scale * (1 << SOFTMAX_FRACTION_BITS), float(INT32_MAX)))
    radius = math.floor(((1 << SOFTMAX_INTEGER_BITS) - 1) * (1 << SOFTMAX_FRACTION_BITS) / 2**multiplier.exponent)
    return SoftmaxScaling(multiplier, -radius)
