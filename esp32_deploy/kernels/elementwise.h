// Operations on single pixels of planar rows: ADD, functions of one byte, and SOFTMAX over a pixel's channels.
#pragma once

#include "pointwise.h"
#include "softmax.h"

namespace esp32_deploy {

// The fast form is (first * x + second * y + offset) >> shift, proven equal to the definition for all pairs of bytes.
// Layers without one compute the definition (is_exact).
struct Addition {
  int32_t first;
  int32_t second;
  int32_t offset;
  uint8_t shift;
  bool is_exact;
  uint8_t first_zero;
  uint8_t second_zero;
  uint8_t zero;
  uint8_t low;
  uint8_t high;
  int32_t mantissas[3];
  int8_t exponents[3];
};

// Extra bits of the common scale to which both inputs are brought.
constexpr int addition_left_shift = 20;

inline uint8_t add_exactly(const Addition& layer, int32_t x, int32_t y) {
  const int32_t left =
      requantize((x - layer.first_zero) * (1 << addition_left_shift), layer.mantissas[0], layer.exponents[0]);
  const int32_t right =
      requantize((y - layer.second_zero) * (1 << addition_left_shift), layer.mantissas[1], layer.exponents[1]);
  const int32_t value = requantize(left + right, layer.mantissas[2], layer.exponents[2]) + layer.zero;
  return static_cast<uint8_t>(value < layer.low ? layer.low : value > layer.high ? layer.high : value);
}

inline void add_line(const Addition& layer, const uint8_t* x, const uint8_t* y, uint8_t* out, size_t pixels) {
  const uint32_t first = static_cast<uint32_t>(layer.first);
  const uint32_t second = static_cast<uint32_t>(layer.second);
  const uint32_t offset = static_cast<uint32_t>(layer.offset);
  const int shift = layer.shift;
  const uint8_t* const end = out + pixels;
  while (out != end) {
    const uint32_t sum = first * *x++ + second * *y++ + offset;
    *out++ = static_cast<uint8_t>(clamp_to_byte(static_cast<int32_t>(sum) >> shift));
  }
}

inline void add(const Addition& layer, Lines<const uint8_t> x, Lines<const uint8_t> y, Lines<uint8_t> out,
                size_t pixels, size_t channels) {
  for (size_t channel = 0; channel < channels; ++channel) {
    if (!layer.is_exact) {
      add_line(layer, x.data, y.data, out.data, pixels);
    } else {
      for (size_t p = 0; p < pixels; ++p) out.data[p] = add_exactly(layer, x.data[p], y.data[p]);
    }
    x.data += x.pitch;
    y.data += y.pitch;
    out.data += out.pitch;
  }
}

// A function of one byte, such as a change of scale or a sigmoid: its result for each of the 256 bytes.
struct Table {
  const uint8_t* values;
};

inline void look_up(const Table& layer, Lines<const uint8_t> in, Lines<uint8_t> out, size_t pixels, size_t channels) {
  for (size_t channel = 0; channel < channels; ++channel) {
    for (size_t p = 0; p < pixels; ++p) out.data[p] = layer.values[in.data[p]];
    in.data += in.pitch;
    out.data += out.pitch;
  }
}

inline void softmax(const Softmax& layer, Lines<const uint8_t> in, Lines<uint8_t> out, size_t pixels, size_t channels) {
  for (size_t p = 0; p < pixels; ++p) softmax_pixel(layer, in.data + p, in.pitch, out.data + p, out.pitch, channels);
}

}  // namespace esp32_deploy
