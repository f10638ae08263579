"""TensorFlow Lite Micro's softmax, sigmoid and change of scale on single bytes, bit for bit.

The source is the reference kernels of TensorFlow Lite Micro and the fixed-point functions of gemmlowp. Functions in
kernels/softmax.h bear the same names as here. Bytes are unsigned: u = int8 + 128.
"""

import numpy as np

from esp32_deploy.compile.arithmetic import (
    INT32_MAX,
    SOFTMAX_INTEGER_BITS,
    Multiplier,
    SoftmaxScaling,
    input_radius,
    quantize_multiplier,
    requantize,
    rounding_divide,
    rounding_multiply_high,
)
from esp32_deploy.words import SCORE_STEPS

BYTES = np.arange(256, dtype=np.int64)

# exp(-2^n) in Q0.31 for n = -2..4
EXP_FACTORS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EXP_OF_MINUS_EIGHTH = 1895147668
ONE_THIRD = 715827883
CONSTANT_48_OVER_17 = 1515870810
CONSTANT_MINUS_32_OVER_17 = -1010580540

# sums of exponentials are in Q12.19
SOFTMAX_SUM_BITS = 12
# the sigmoid scales its input to Q4.27: four integer bits
SIGMOID_INTEGER_BITS = 4
SIGMOID_FRACTION_BITS = 31 - SIGMOID_INTEGER_BITS
OUTPUT_BITS = SCORE_STEPS.bit_length() - 1


def requantization_table(source_scale: float, source_zero: int, target_scale: float, target_zero: int) -> np.ndarray:
    """The byte that QUANTIZE gives for every byte, (256,) uint8. Zero points are bytes."""
    multiplier = quantize_multiplier(source_scale / target_scale)
    return np.clip(requantize(BYTES - source_zero, multiplier) + target_zero, 0, 255).astype(np.uint8)


def sigmoid_table(scale: float, zero: int) -> np.ndarray:
    """The probability in 256ths that LOGISTIC gives for every byte of its input, (256,) uint8."""
    multiplier = quantize_multiplier(scale * (1 << SIGMOID_FRACTION_BITS))
    radius = input_radius(SIGMOID_INTEGER_BITS, multiplier.exponent)
    differences = BYTES - zero
    is_inside = np.abs(differences) < radius
    values = requantize(np.where(is_inside, differences, 0), multiplier)
    positive = reciprocal_of_one_plus(exponential(-np.abs(values), SIGMOID_INTEGER_BITS))
    probability = np.where(values > 0, positive, np.where(values < 0, INT32_MAX - positive, 1 << 30))
    steps = np.clip(rounding_divide(probability, 31 - OUTPUT_BITS), 0, 255)
    return np.where(is_inside, steps, np.where(differences > 0, 255, 0)).astype(np.uint8)


def softmax(logits: np.ndarray, scaling: SoftmaxScaling) -> np.ndarray:
    """Probabilities in 256ths for bytes of logits: (..., channels) uint8 -> the same shape, uint8."""
    values = logits.astype(np.int64)
    differences = values - values.max(axis=-1, keepdims=True)
    counts = differences >= scaling.least_difference
    scaled = _scaled(np.where(counts, differences, 0), scaling.multiplier)
    powers = np.where(counts, exponential(scaled, SOFTMAX_INTEGER_BITS), 0)
    sums = rounding_divide(powers, SOFTMAX_SUM_BITS).sum(axis=-1, keepdims=True)
    headroom = 32 - np.frexp(sums)[1]  # leading zeros of 32 bits; floats are exact up to 2^53
    reciprocal = reciprocal_of_one_plus((sums << headroom) - (1 << 31))
    shift = SOFTMAX_SUM_BITS - headroom + 31 - OUTPUT_BITS
    products = rounding_multiply_high(reciprocal, powers)
    return np.clip(_rounding_divide_each(products, shift), 0, 255).astype(np.uint8)


def exponential(values: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp(value) as Q0.31 for values <= 0 in fixed point with `integer_bits` integer bits.

    A series around -1/8 covers the bits below 1/4. Each higher bit multiplies by one factor.
    """
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    rest = (values & (quarter - 1)) - quarter
    x = rest * (1 << integer_bits) + (1 << 28)
    x2 = rounding_multiply_high(x, x)
    x3 = rounding_multiply_high(x2, x)
    x4 = rounding_multiply_high(x2, x2)
    cubic = rounding_multiply_high(rounding_divide(x4, 2) + x3, ONE_THIRD)
    series = x + rounding_divide(cubic + x2, 1)
    result = EXP_OF_MINUS_EIGHTH + rounding_multiply_high(series, EXP_OF_MINUS_EIGHTH)
    remainder = rest - values
    for bit, factor in enumerate(EXP_FACTORS[: integer_bits + 2], start=fraction_bits - 2):
        result = np.where(remainder >> bit & 1, rounding_multiply_high(result, factor), result)
    return np.where(values == 0, INT32_MAX, result)


def reciprocal_of_one_plus(a: np.ndarray) -> np.ndarray:
    """1 / (1 + a) for a in [0, 1), both Q0.31: three steps of Newton's method in Q2.29."""
    half = (a + INT32_MAX + 1) >> 1
    x = CONSTANT_48_OVER_17 + rounding_multiply_high(half, CONSTANT_MINUS_32_OVER_17)
    for _ in range(3):
        x = x + rounding_multiply_high(x, (1 << 29) - rounding_multiply_high(half, x)) * 4
    return np.minimum(x * 2, INT32_MAX)


def _scaled(values: np.ndarray, multiplier: Multiplier) -> np.ndarray:
    return rounding_multiply_high(values << max(multiplier.exponent, 0), multiplier.mantissa)


def _rounding_divide_each(values: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """`rounding_divide` of values >= 0 with an exponent for each."""
    return (values + ((np.int64(1) << exponents) >> 1)) >> exponents
