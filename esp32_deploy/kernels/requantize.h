// Requantization: accumulators to bytes, bit for bit as TensorFlow Lite Micro computes them.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Defines XCHAL_HAVE_MUL32_HIGH: whether this Xtensa has an instruction for the upper half of a product.
#if defined(__XTENSA__)
#if defined(__has_include)
#if __has_include(<xtensa/config/core-isa.h>)
#include <xtensa/config/core-isa.h>
#endif
#endif
#endif

namespace esp32_deploy {

// For functions of a few instructions that run once for every output. A call would double their cost.
#define ESP32_DEPLOY_INLINE inline __attribute__((always_inline))

// Planes hold int8 values as unsigned bytes: value + int8_offset.
constexpr int int8_offset = 128;

// The upper half of a signed 64-bit product.
ESP32_DEPLOY_INLINE int32_t multiply_high(int32_t a, int32_t b) {
#if defined(__XTENSA__) && !(defined(XCHAL_HAVE_MUL32_HIGH) && XCHAL_HAVE_MUL32_HIGH)
  // this processor has no instruction for it: add up the four products of 16-bit halves
  const int32_t a_low = a & 0xFFFF;
  const int32_t a_high = a >> 16;
  const int32_t b_low = b & 0xFFFF;
  const int32_t b_high = b >> 16;
  const uint32_t lowest = static_cast<uint32_t>(a_low) * static_cast<uint32_t>(b_low);
  const int32_t middle = a_high * b_low + static_cast<int32_t>(lowest >> 16);
  return a_high * b_high + (middle >> 16) + ((a_low * b_high + (middle & 0xFFFF)) >> 16);
#else
  return static_cast<int32_t>((static_cast<int64_t>(a) * b) >> 32);
#endif
}

// Adds modulo 2^32. An intermediate sum may overflow as long as the final sum fits in 32 bits.
ESP32_DEPLOY_INLINE int32_t wrapping_add(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

// Clamps to 0..255. Only the lower eight bits of the result are valid, because the caller stores a byte.
ESP32_DEPLOY_INLINE int32_t clamp_to_byte(int32_t value) {
  return static_cast<uint32_t>(value) > 255U ? ~(value >> 31) : value;
}

// (a * b + 2^30) >> 31: the upper half of the doubled product. Halves round up.
inline int32_t rounding_multiply_high(int32_t a, int32_t b) {
  return static_cast<int32_t>((static_cast<int64_t>(a) * b + (int64_t{1} << 30)) >> 31);
}

// value / 2^exponent. Halves round away from zero. No step overflows, even for the largest value.
inline int32_t rounding_divide(int32_t value, int exponent) {
  const int32_t mask = static_cast<int32_t>((uint32_t{1} << exponent) - 1U);
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

// value * mantissa * 2^(exponent - 31), rounded twice as TensorFlow Lite Micro does.
inline int32_t requantize(int32_t value, int32_t mantissa, int exponent) {
  const int left = exponent > 0 ? exponent : 0;
  const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(value) << left);
  return rounding_divide(rounding_multiply_high(shifted, mantissa), left - exponent);
}

// Makes the compiler hold `value` in a register at this point, so that it does not reorder the additions.
ESP32_DEPLOY_INLINE void pin(int32_t& value) { __asm__("" : "+r"(value)); }

// How a layer requantizes: by Rising, TwoSided or Exact below.
enum class Form : uint8_t { rising, two_sided, exact };

// Requantization of one layer. For every channel, `constants` holds as many numbers as the form's struct says.
struct Requantization {
  const int32_t* constants;
  Form form;
  uint8_t shift;
  uint8_t post;
  uint8_t zero;
  uint8_t low;
  uint8_t high;
};

// The fast form. It is proven equal to the exact form for every accumulator that the layer can reach.
struct Rising {
  static constexpr size_t constants = 2;

  ESP32_DEPLOY_INLINE Rising(const Requantization& layer, const int32_t* channel)
      : offset(channel[0]), factor(channel[1]), shift(layer.shift), post(layer.post) {}

  ESP32_DEPLOY_INLINE int32_t operator()(int32_t sum) const {
    const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(sum) << shift);
    return clamp_to_byte(multiply_high(wrapping_add(shifted, offset), factor) >> post);
  }

  int32_t offset;
  int32_t factor;
  int shift;
  int post;
};

// The fast form for layers whose outputs come from values of both signs, because negative values round the other way.
// Accumulators less than `zero` also add `below`.
struct TwoSided {
  static constexpr size_t constants = 4;

  ESP32_DEPLOY_INLINE TwoSided(const Requantization& layer, const int32_t* channel)
      : rising(layer, channel), zero(channel[2]), below(channel[3]) {}

  ESP32_DEPLOY_INLINE int32_t operator()(int32_t sum) const {
    const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(sum) << rising.shift);
    int32_t total = wrapping_add(shifted, rising.offset);
    if (sum < zero) total = wrapping_add(total, below);
    return clamp_to_byte(multiply_high(total, rising.factor) >> rising.post);
  }

  Rising rising;
  int32_t zero;
  int32_t below;
};

// The definition, for layers without a fast form.
struct Exact {
  static constexpr size_t constants = 3;

  Exact(const Requantization& requantization, const int32_t* channel)
      : layer(requantization), bias(channel[0]), mantissa(channel[1]), exponent(channel[2]) {}

  int32_t operator()(int32_t sum) const {
    const int32_t value = requantize(wrapping_add(sum, bias), mantissa, exponent) + layer.zero;
    return value < layer.low ? layer.low : value > layer.high ? layer.high : value;
  }

  const Requantization& layer;
  int32_t bias;
  int32_t mantissa;
  int exponent;
};

}  // namespace esp32_deploy
