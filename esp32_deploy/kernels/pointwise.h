// 1x1 convolution of planar rows: every channel of a row is one line of bytes.
#pragma once

#include "requantize.h"

namespace esp32_deploy {

constexpr int block_channels = 4;

// Pixels that share every weight load. 4 x 4 sums fit the 31 registers of RISC-V, 2 x 4 the 16 of Xtensa.
#if defined(__XTENSA__)
constexpr int block_pixels = 2;
#else
constexpr int block_pixels = 4;
#endif

// Weights lie as [block of 4 output channels][input channel][4], zeros beyond the last channel.
struct Pointwise {
  const int8_t* weights;
  Requantization requantization;
  uint16_t inputs;
  uint16_t outputs;
};

// A row of lines; `pitch` bytes lead from one channel's line to the next.
template <typename Byte>
struct Lines {
  Byte* data;
  size_t pitch;
};

template <int Pixels>
inline void multiply_block(const int8_t* weights, const uint8_t* in, size_t pitch, size_t inputs,
                           int32_t (&sums)[block_channels][Pixels]) {
  for (auto& channel : sums)
    for (int32_t& sum : channel) sum = 0;
  const int8_t* const end = weights + inputs * block_channels;
  do {
    const int32_t weight[block_channels] = {weights[0], weights[1], weights[2], weights[3]};
    weights += block_channels;
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) {
      const int32_t pixel = in[p];
#pragma GCC unroll 4
      for (int c = 0; c < block_channels; ++c) sums[c][p] += weight[c] * pixel;
    }
    in += pitch;
  } while (weights != end);
}

template <typename Requantizer, int Pixels>
inline void pointwise_block(const Pointwise& layer, const int8_t* weights, const int32_t* constants, int channels,
                            const uint8_t* in, size_t in_pitch, uint8_t* out, size_t out_pitch) {
  int32_t sums[block_channels][Pixels];
  multiply_block<Pixels>(weights, in, in_pitch, layer.inputs, sums);
#pragma GCC unroll 4
  for (int c = 0; c < block_channels; ++c) {
    if (c == channels) return;
    const Requantizer requantize(layer.requantization, constants);
    constants += Requantizer::constants;
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) out[p] = requantize(sums[c][p]);
    out += out_pitch;
  }
}

// Output channels [first, first + count) of `pixels` pixels; `first` is a multiple of 4.
template <typename Requantizer>
inline void pointwise_as(const Pointwise& layer, Lines<const uint8_t> in, Lines<uint8_t> out, size_t pixels,
                         size_t first, size_t count) {
  const int8_t* weights = layer.weights + first * layer.inputs;
  const int32_t* constants = layer.requantization.constants + first * Requantizer::constants;
  for (size_t done = 0; done < count; done += block_channels) {
    const int channels = count - done < block_channels ? static_cast<int>(count - done) : block_channels;
    size_t x = 0;
    for (; x + block_pixels <= pixels; x += block_pixels)
      pointwise_block<Requantizer, block_pixels>(layer, weights, constants, channels, in.data + x, in.pitch,
                                                 out.data + x, out.pitch);
    for (; x < pixels; ++x)
      pointwise_block<Requantizer, 1>(layer, weights, constants, channels, in.data + x, in.pitch, out.data + x,
                                      out.pitch);
    weights += static_cast<size_t>(block_channels) * layer.inputs;
    constants += block_channels * Requantizer::constants;
    out.data += block_channels * out.pitch;
  }
}

inline void pointwise(const Pointwise& layer, Lines<const uint8_t> in, Lines<uint8_t> out, size_t pixels, size_t first,
                      size_t count) {
  switch (layer.requantization.form) {
    case Form::rising:
      return pointwise_as<Rising>(layer, in, out, pixels, first, count);
    case Form::two_sided:
      return pointwise_as<TwoSided>(layer, in, out, pixels, first, count);
    case Form::exact:
      return pointwise_as<Exact>(layer, in, out, pixels, first, count);
  }
}

}  // namespace esp32_deploy
