// Depthwise convolution of planar rows: one channel's lines at a time, its weights in registers.
#pragma once

#include "pointwise.h"

namespace esp32_deploy {

// Weights lie as [output channel][row][column].
struct Depthwise {
  const int8_t* weights;
  Requantization requantization;
  uint16_t kernel_rows;
  uint16_t kernel_columns;
  uint16_t stride;
  uint16_t multiplier;
};

// One line of a 3x3 window: `Pixels` outputs at a time share the loads of their common columns.
template <typename Requantizer, int Stride, int Pixels>
inline void window_3x3_pixels(const int32_t (&weight)[9], const uint8_t* const (&rows)[3], uint8_t* out,
                              const Requantizer& requantize) {
  int32_t sums[Pixels] = {};
#pragma GCC unroll 3
  for (int y = 0; y < 3; ++y) {
#pragma GCC unroll 16
    for (int column = 0; column < (Pixels - 1) * Stride + 3; ++column) {
      const int32_t value = rows[y][column];
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) {
        const int tap = column - p * Stride;
        if (tap >= 0 && tap < 3) sums[p] += weight[y * 3 + tap] * value;
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < Pixels; ++p) out[p] = requantize(sums[p]);
}

template <typename Requantizer, int Stride>
inline void window_3x3_line(const int8_t* weights, const uint8_t* const (&lines)[3], uint8_t* out, size_t pixels,
                            const Requantizer& requantize) {
  const int32_t weight[9] = {weights[0], weights[1], weights[2], weights[3], weights[4],
                             weights[5], weights[6], weights[7], weights[8]};
  const uint8_t* rows[3] = {lines[0], lines[1], lines[2]};
  size_t left = pixels;
  for (; left >= block_pixels; left -= block_pixels) {
    window_3x3_pixels<Requantizer, Stride, block_pixels>(weight, rows, out, requantize);
    for (const uint8_t*& row : rows) row += block_pixels * Stride;
    out += block_pixels;
  }
  for (; left > 0; --left) {
    window_3x3_pixels<Requantizer, Stride, 1>(weight, rows, out, requantize);
    for (const uint8_t*& row : rows) row += Stride;
    ++out;
  }
}

template <typename Requantizer>
inline void window_line(const Depthwise& layer, const int8_t* weights, const uint8_t* const* rows, size_t channel_offset,
                        uint8_t* out, size_t pixels, const Requantizer& requantize) {
  for (size_t p = 0; p < pixels; ++p) {
    int32_t sum = 0;
    const int8_t* weight = weights;
    for (size_t y = 0; y < layer.kernel_rows; ++y) {
      const uint8_t* const row = rows[y] + channel_offset + p * layer.stride;
      for (size_t x = 0; x < layer.kernel_columns; ++x) sum += *weight++ * row[x];
    }
    out[p] = requantize(sum);
  }
}

// Input channels [first, first + count): `rows` point at the line of the first one, at the first window's left edge.
template <typename Requantizer>
inline void depthwise_as(const Depthwise& layer, const uint8_t* const* rows, size_t pitch, Lines<uint8_t> out,
                         size_t pixels, size_t first, size_t count) {
  const size_t taps = static_cast<size_t>(layer.kernel_rows) * layer.kernel_columns;
  const bool is_3x3 = layer.kernel_rows == 3 && layer.kernel_columns == 3;
  const int8_t* weights = layer.weights + first * layer.multiplier * taps;
  const int32_t* constants = layer.requantization.constants + first * layer.multiplier * Requantizer::constants;
  for (size_t channel = 0; channel < count; ++channel) {
    for (size_t copy = 0; copy < layer.multiplier; ++copy) {
      const Requantizer requantize(layer.requantization, constants);
      const size_t offset = channel * pitch;
      if (is_3x3 && layer.stride <= 2) {
        const uint8_t* const lines[3] = {rows[0] + offset, rows[1] + offset, rows[2] + offset};
        if (layer.stride == 1)
          window_3x3_line<Requantizer, 1>(weights, lines, out.data, pixels, requantize);
        else
          window_3x3_line<Requantizer, 2>(weights, lines, out.data, pixels, requantize);
      } else {
        window_line(layer, weights, rows, offset, out.data, pixels, requantize);
      }
      weights += taps;
      constants += Requantizer::constants;
      out.data += out.pitch;
    }
  }
}

inline void depthwise(const Depthwise& layer, const uint8_t* const* rows, size_t pitch, Lines<uint8_t> out,
                      size_t pixels, size_t first, size_t count) {
  switch (layer.requantization.form) {
    case Form::rising:
      return depthwise_as<Rising>(layer, rows, pitch, out, pixels, first, count);
    case Form::two_sided:
      return depthwise_as<TwoSided>(layer, rows, pitch, out, pixels, first, count);
    case Form::exact:
      return depthwise_as<Exact>(layer, rows, pitch, out, pixels, first, count);
  }
}

}  // namespace esp32_deploy
