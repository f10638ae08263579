// Softmax: logits to probabilities in 256ths, bit for bit as TensorFlow Lite Micro computes them.
#pragma once

#include "requantize.h"

namespace esp32_deploy {

// Differences to the largest logit are scaled to Q5.26.
constexpr int softmax_integer_bits = 5;
constexpr int softmax_fraction_bits = 26;

// `mantissa` and `left_shift` scale the differences. Below `least_difference` the probability is 0.
struct Softmax {
  int32_t mantissa;
  int32_t least_difference;
  uint8_t left_shift;
};

// exp(value) as Q0.31 for a Q5.26 value <= 0. A series around -1/8 covers the bits below 1/4. Each higher bit
// multiplies by one factor.
inline int32_t exponential(int32_t value) {
  constexpr int32_t quarter = 1 << (softmax_fraction_bits - 2);
  constexpr int32_t exp_of_minus_eighth = 1895147668;
  constexpr int32_t one_third = 715827883;
  // exp(-2^n) for n = -2..4
  constexpr int32_t factors[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  if (value == 0) return INT32_MAX;
  const int32_t rest = (value & (quarter - 1)) - quarter;
  const int32_t x = rest * (1 << softmax_integer_bits) + (1 << 28);
  const int32_t x2 = rounding_multiply_high(x, x);
  const int32_t x3 = rounding_multiply_high(x2, x);
  const int32_t x4 = rounding_multiply_high(x2, x2);
  const int32_t cubic = rounding_multiply_high(rounding_divide(x4, 2) + x3, one_third);
  const int32_t series = x + rounding_divide(cubic + x2, 1);
  int32_t result = exp_of_minus_eighth + rounding_multiply_high(series, exp_of_minus_eighth);
  const int32_t remainder = rest - value;
  int bit = softmax_fraction_bits - 2;
  for (const int32_t factor : factors) {
    if ((remainder >> bit++) & 1) result = rounding_multiply_high(result, factor);
  }
  return result;
}

// 1 / (1 + a) for a in [0, 1), both Q0.31: three steps of Newton's method in Q2.29. The first estimate is
// 48/17 - 32/17 * half.
inline int32_t reciprocal_of_one_plus(int32_t a) {
  constexpr int32_t constant_48_over_17 = 1515870810;
  constexpr int32_t constant_minus_32_over_17 = -1010580540;
  const int32_t half = static_cast<int32_t>((static_cast<int64_t>(a) + INT32_MAX + 1) >> 1);
  int32_t x = constant_48_over_17 + rounding_multiply_high(half, constant_minus_32_over_17);
  for (int step = 0; step < 3; ++step) x += rounding_multiply_high(x, (1 << 29) - rounding_multiply_high(half, x)) * 4;
  return x >= (1 << 30) ? INT32_MAX : x * 2;
}

// The softmax of one pixel. Its channels are `in_pitch` and `out_pitch` bytes apart.
inline void softmax_pixel(const Softmax& layer, const uint8_t* in, size_t in_pitch, uint8_t* out, size_t out_pitch,
                          size_t channels) {
  constexpr int sum_bits = 12;
  constexpr int output_bits = 8;
  int32_t largest = 0;
  for (size_t c = 0; c < channels; ++c) largest = in[c * in_pitch] > largest ? in[c * in_pitch] : largest;
  const auto power = [&](size_t c) {
    const int32_t difference = in[c * in_pitch] - largest;
    if (difference < layer.least_difference) return int32_t{-1};
    const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(difference) << layer.left_shift);
    return exponential(rounding_multiply_high(shifted, layer.mantissa));
  };
  int32_t sum = 0;
  for (size_t c = 0; c < channels; ++c) {
    const int32_t value = power(c);
    if (value >= 0) sum += rounding_divide(value, sum_bits);
  }
  int headroom = 0;
  while ((static_cast<uint32_t>(sum) << headroom >> 31) == 0U) ++headroom;
  const int32_t reciprocal =
      reciprocal_of_one_plus(static_cast<int32_t>((static_cast<uint32_t>(sum) << headroom) - (uint32_t{1} << 31)));
  const int shift = sum_bits - headroom + 31 - output_bits;
  for (size_t c = 0; c < channels; ++c) {
    const int32_t value = power(c);
    const int32_t scaled = rounding_divide(rounding_multiply_high(reciprocal, value < 0 ? 0 : value), shift);
    out[c * out_pitch] = static_cast<uint8_t>(clamp_to_byte(scaled));
  }
}

}  // namespace esp32_deploy
