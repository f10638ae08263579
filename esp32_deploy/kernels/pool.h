// Average pooling, max pooling, and the mean of a whole plane.
#pragma once

#include "pointwise.h"

namespace esp32_deploy {

// `left` is the padding at the left edge, `width` the input's width.
struct Pool {
  uint16_t kernel_rows;
  uint16_t kernel_columns;
  uint16_t stride;
  uint16_t left;
  uint16_t width;
  uint8_t low;
  uint8_t high;
  bool is_average;
};

// Clamps to the limits of the fused activation.
inline uint8_t limit(const Pool& layer, int32_t value) {
  return static_cast<uint8_t>(value < layer.low ? layer.low : value > layer.high ? layer.high : value);
}

// Halves round away from the int8 value 0.
inline int32_t average_byte(int32_t sum, int32_t cells) {
  const int32_t centred = sum - int8_offset * cells;
  return int8_offset + (centred > 0 ? centred + cells / 2 : centred - cells / 2) / cells;
}

// Padding holds byte 0, so it adds nothing to a sum and never exceeds another cell. `rows_inside` of the window's rows
// lie inside the image.
inline void pool(const Pool& layer, const uint8_t* const* rows, size_t pitch, Lines<uint8_t> out, size_t pixels,
                 size_t channels, int32_t rows_inside) {
  for (size_t channel = 0; channel < channels; ++channel) {
    for (size_t p = 0; p < pixels; ++p) {
      const size_t column = p * layer.stride;
      int32_t sum = 0;
      int32_t largest = 0;
      for (size_t y = 0; y < layer.kernel_rows; ++y) {
        const uint8_t* const line = rows[y] + channel * pitch + column;
        for (size_t x = 0; x < layer.kernel_columns; ++x) {
          sum += line[x];
          largest = line[x] > largest ? line[x] : largest;
        }
      }
      const int32_t from = static_cast<int32_t>(column) - layer.left;
      const int32_t to = from + layer.kernel_columns;
      const int32_t columns_inside = (to < layer.width ? to : layer.width) - (from > 0 ? from : 0);
      out.data[p] = limit(layer, layer.is_average ? average_byte(sum, rows_inside * columns_inside) : largest);
    }
    out.data += out.pitch;
  }
}

// `mantissa` and `exponent` multiply a plane's sum, and include the division by `cells`. Zero points are bytes.
struct Mean {
  int32_t mantissa;
  int32_t cells;
  int8_t exponent;
  uint8_t source_zero;
  uint8_t target_zero;
};

// Adds a row to the sums, one for every channel.
inline void accumulate(Lines<const uint8_t> in, int32_t* sums, size_t pixels, size_t channels) {
  for (size_t channel = 0; channel < channels; ++channel) {
    int32_t sum = 0;
    for (size_t p = 0; p < pixels; ++p) sum += in.data[p];
    sums[channel] += sum;
    in.data += in.pitch;
  }
}

inline void finish_mean(const Mean& layer, const int32_t* sums, Lines<uint8_t> out, size_t channels) {
  for (size_t channel = 0; channel < channels; ++channel) {
    const int32_t sum = sums[channel] - layer.source_zero * layer.cells;
    *out.data =
        static_cast<uint8_t>(clamp_to_byte(requantize(sum, layer.mantissa, layer.exponent) + layer.target_zero));
    out.data += out.pitch;
  }
}

}  // namespace esp32_deploy
