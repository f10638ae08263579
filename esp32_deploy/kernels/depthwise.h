// Depthwise convolution of planar rows, one channel at a time, with the channel's weights in registers.
#pragma once

#include "pointwise.h"

namespace esp32_deploy {

// Adjacent outputs that are computed together, so that each input column is loaded once for all of them.
constexpr int line_pixels = 4;

// Kernels of this many rows and columns run in an unrolled loop, up to this stride.
constexpr int unrolled_kernel = 3;
constexpr int most_unrolled_stride = 2;

// Xtensa can load signed 16-bit values, but not signed 8-bit values.
#if defined(__XTENSA__)
using Tap = int16_t;
#else
using Tap = int8_t;
#endif

// Weights are in the order [output channel][row][column]. Every input channel has `multiplier` output channels.
struct Depthwise {
  const Tap* weights;
  Requantization requantization;
  uint16_t kernel_rows;
  uint16_t kernel_columns;
  uint16_t stride;
  uint16_t multiplier;
};

// The state of the loop along one channel's line. `count` is the number of iterations left.
template <typename Requantizer>
struct Line {
  Requantizer to_byte;
  const Tap* weights;
  const uint8_t* rows[3];
  uint8_t* out;
  size_t count;
};

// Computes `count` times `Pixels` outputs of a 3x3 window.
template <typename Requantizer, int Stride, int Pixels>
__attribute__((noinline)) void run_line(Line<Requantizer>& line) {
  const Requantizer to_byte = line.to_byte;
  const uint8_t* rows[3] = {line.rows[0], line.rows[1], line.rows[2]};
  const Tap* const weights = line.weights;
  uint8_t* out = line.out;
  size_t count = line.count;
#if !defined(__XTENSA__)
  const int32_t weight[9] = {weights[0], weights[1], weights[2], weights[3], weights[4],
                             weights[5], weights[6], weights[7], weights[8]};
#endif
  do {
    int32_t sums[Pixels] = {};
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y) {
#if defined(__XTENSA__)
      // nine weights and the sums do not fit in 16 registers: load three weights for every row
      ESP32_DEPLOY_FORGET_REGISTERS();
      const int32_t taps[3] = {weights[y * 3], weights[y * 3 + 1], weights[y * 3 + 2]};
#else
      const int32_t taps[3] = {weight[y * 3], weight[y * 3 + 1], weight[y * 3 + 2]};
#endif
#pragma GCC unroll 16
      for (int column = 0; column < (Pixels - 1) * Stride + 3; ++column) {
        const int32_t value = rows[y][column];
#pragma GCC unroll 4
        for (int p = 0; p < Pixels; ++p) {
          const int tap = column - p * Stride;
          if (tap >= 0 && tap < 3) sums[p] += taps[tap] * value;
        }
      }
      rows[y] += Pixels * Stride;
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) pin(sums[p]);
    }
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) out[p] = static_cast<uint8_t>(to_byte(sums[p]));
    out += Pixels;
  } while (--count > 0);
  for (int y = 0; y < 3; ++y) line.rows[y] = rows[y];
  line.out = out;
}

template <typename Requantizer, int Stride>
inline void unrolled_line(Line<Requantizer>& line, size_t pixels) {
  line.count = pixels / line_pixels;
  if (line.count > 0) run_line<Requantizer, Stride, line_pixels>(line);
  line.count = pixels % line_pixels;
  if (line.count > 0) run_line<Requantizer, Stride, 1>(line);
}

template <typename Requantizer>
inline void window_line(const Depthwise& layer, const Tap* weights, const uint8_t* const* rows, size_t channel_offset,
                        uint8_t* out, size_t pixels, const Requantizer& to_byte) {
  for (size_t p = 0; p < pixels; ++p) {
    int32_t sum = 0;
    const Tap* weight = weights;
    for (size_t y = 0; y < layer.kernel_rows; ++y) {
      const uint8_t* const row = rows[y] + channel_offset + p * layer.stride;
      for (size_t x = 0; x < layer.kernel_columns; ++x) sum += *weight++ * row[x];
    }
    out[p] = static_cast<uint8_t>(to_byte(sum));
  }
}

// Convolves input channels [first, first + count). `rows` point at the line of channel `first`, at the left edge of the
// first window.
template <typename Requantizer>
__attribute__((noinline)) void depthwise_as(const Depthwise& layer, const uint8_t* const* rows, size_t pitch,
                                            Lines<uint8_t> out, size_t pixels, size_t first, size_t count) {
  const size_t taps = static_cast<size_t>(layer.kernel_rows) * layer.kernel_columns;
  const bool has_unrolled_kernel = layer.kernel_rows == unrolled_kernel && layer.kernel_columns == unrolled_kernel;
  const Tap* weights = layer.weights + first * layer.multiplier * taps;
  const int32_t* constants = layer.requantization.constants + first * layer.multiplier * Requantizer::constants;
  for (size_t channel = 0; channel < count; ++channel) {
    const size_t offset = channel * pitch;
    for (size_t copy = 0; copy < layer.multiplier; ++copy) {
      const Requantizer to_byte(layer.requantization, constants);
      if (has_unrolled_kernel && layer.stride <= most_unrolled_stride) {
        Line<Requantizer> line = {
            to_byte, weights, {rows[0] + offset, rows[1] + offset, rows[2] + offset}, out.data, 0};
        if (layer.stride == 1)
          unrolled_line<Requantizer, 1>(line, pixels);
        else
          unrolled_line<Requantizer, 2>(line, pixels);
      } else if constexpr (Uses::depthwise_other_windows) {
        window_line(layer, weights, rows, offset, out.data, pixels, to_byte);
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
      if constexpr (Uses::depthwise_rising) depthwise_as<Rising>(layer, rows, pitch, out, pixels, first, count);
      return;
    case Form::two_sided:
      if constexpr (Uses::depthwise_two_sided) depthwise_as<TwoSided>(layer, rows, pitch, out, pixels, first, count);
      return;
    case Form::exact:
      if constexpr (Uses::depthwise_exact) depthwise_as<Exact>(layer, rows, pitch, out, pixels, first, count);
      return;
  }
}

}  // namespace esp32_deploy
