// 1x1 convolution of planar rows. A planar row holds every channel as one line of bytes.
#pragma once

#include "requantize.h"

namespace esp32_deploy {

// Output channels that are computed together.
constexpr int block_channels = 4;

// Pixels that are computed together, so that each weight is loaded once for all of them. 4 x 4 sums fit in the 31
// registers of RISC-V, 4 x 2 in the 16 of Xtensa.
#if defined(__XTENSA__)
constexpr int block_pixels = 2;
#else
constexpr int block_pixels = 4;
#endif

// Makes the compiler load values from memory again after this point, so that they take no registers before it.
#define ESP32_DEPLOY_FORGET_REGISTERS() __asm__ volatile("" ::: "memory")

// Xtensa cannot load a signed byte. Its weights are stored as unsigned bytes (weight + 128). A correction then
// subtracts 128 times the sum of a pixel's inputs from each of its outputs.
#if defined(__XTENSA__)
using Weight = uint8_t;
constexpr int weight_offset = int8_offset;
#else
using Weight = int8_t;
constexpr int weight_offset = 0;
#endif

template <size_t Count>
struct Weights {
  Weight values[Count];
};

// Converts int8 weights to this processor's type at compile time.
template <size_t Count>
constexpr Weights<Count> stored(const int8_t (&weights)[Count]) {
  Weights<Count> result{};
  for (size_t n = 0; n < Count; ++n) result.values[n] = static_cast<Weight>(weights[n] + weight_offset);
  return result;
}

// Weights are in the order [block of output channels][input channel][channel of the block]. Zeros fill the last block.
struct Pointwise {
  const Weight* weights;
  Requantization requantization;
  uint16_t inputs;
  uint16_t outputs;
};

// A planar row. The lines of two adjacent channels are `pitch` bytes apart.
template <typename Byte>
struct Lines {
  Byte* data;
  size_t pitch;
};

// The state of the loop along a row for one block of output channels. `count` is the number of iterations left.
struct Block {
  const Requantization* requantization;
  const Weight* weights;
  const Weight* weights_end;
  const int32_t* constants;
  const uint8_t* in;
  const int32_t* corrections;
  uint8_t* out;
  size_t in_pitch;
  size_t out_pitch;
  int channels;
  size_t count;
};

template <int Pixels>
inline void sum_some_pixels(Lines<const uint8_t> in, size_t inputs, int32_t* corrections) {
  int32_t sums[Pixels] = {};
  for (size_t c = 0; c < inputs; ++c, in.data += in.pitch) {
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) sums[p] += in.data[p];
  }
#pragma GCC unroll 4
  for (int p = 0; p < Pixels; ++p) corrections[p] = -weight_offset * sums[p];
}

// Computes a correction for every pixel: minus what weight_offset adds to each of its sums.
__attribute__((noinline)) inline void sum_pixels(Lines<const uint8_t> in, size_t inputs, int32_t* corrections,
                                                 size_t pixels) {
  if (weight_offset == 0) return;
  for (; pixels >= 4; pixels -= 4, in.data += 4, corrections += 4) sum_some_pixels<4>(in, inputs, corrections);
  for (; pixels > 0; --pixels, ++in.data, ++corrections) sum_some_pixels<1>(in, inputs, corrections);
}

// Computes `count` times `Pixels` pixels of one block.
template <typename Requantizer, int Pixels>
__attribute__((noinline)) void run_block(Block& start) {
  // volatile keeps this pointer in memory while the sums need all registers
  Block* volatile where = &start;
  do {
    const Block& begin = *where;
    int32_t sums[block_channels][Pixels];
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) {
      const int32_t correction = weight_offset == 0 ? 0 : begin.corrections[p];
#pragma GCC unroll 4
      for (int c = 0; c < block_channels; ++c) sums[c][p] = correction;
    }
    const Weight* weights = begin.weights;
    const Weight* const end = begin.weights_end;
    const uint8_t* in = begin.in;
    const size_t pitch = begin.in_pitch;
    do {
      int32_t pixel[Pixels];
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) pixel[p] = in[p];
      in += pitch;
#pragma GCC unroll 4
      for (int c = 0; c < block_channels; ++c) {
        const int32_t weight = weights[c];
#pragma GCC unroll 4
        for (int p = 0; p < Pixels; ++p) sums[c][p] += weight * pixel[p];
      }
      weights += block_channels;
    } while (weights != end);
    ESP32_DEPLOY_FORGET_REGISTERS();
    Block& block = *where;
    const Requantization layer = *block.requantization;
    const int32_t* constants = block.constants;
    uint8_t* out = block.out;
    int channels = block.channels;
#pragma GCC unroll 4
    for (int c = 0; c < block_channels; ++c) {
      const Requantizer to_byte(layer, constants);
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) out[p] = static_cast<uint8_t>(to_byte(sums[c][p]));
      if (--channels == 0) break;
      constants += Requantizer::constants;
      out += block.out_pitch;
    }
    block.in += Pixels;
    block.out += Pixels;
    block.corrections += Pixels;
    --block.count;
    ESP32_DEPLOY_FORGET_REGISTERS();
  } while (where->count > 0);
}

// Computes output channels [first, first + count) of `pixels` pixels. `first` is a multiple of block_channels.
template <typename Requantizer>
__attribute__((noinline)) void pointwise_as(const Pointwise& layer, Lines<const uint8_t> in, Lines<uint8_t> out,
                                            size_t pixels, size_t first, size_t count, const int32_t* corrections) {
  const Weight* weights = layer.weights + first * layer.inputs;
  const int32_t* constants = layer.requantization.constants + first * Requantizer::constants;
  for (size_t done = 0; done < count; done += block_channels) {
    const Weight* const end = weights + static_cast<size_t>(block_channels) * layer.inputs;
    const int channels = count - done < block_channels ? static_cast<int>(count - done) : block_channels;
    Block block = {
        &layer.requantization, weights, end, constants, in.data, corrections, out.data, in.pitch, out.pitch, channels,
        pixels / block_pixels,
    };
    if (block.count > 0) run_block<Requantizer, block_pixels>(block);
    block.count = pixels % block_pixels;
    if (block.count > 0) run_block<Requantizer, 1>(block);
    weights = end;
    constants += block_channels * Requantizer::constants;
    out.data += block_channels * out.pitch;
  }
}

// sum_pixels computes `corrections` first.
inline void pointwise(const Pointwise& layer, Lines<const uint8_t> in, Lines<uint8_t> out, size_t pixels, size_t first,
                      size_t count, const int32_t* corrections) {
  switch (layer.requantization.form) {
    case Form::rising:
      if constexpr (Uses::pointwise_rising) pointwise_as<Rising>(layer, in, out, pixels, first, count, corrections);
      return;
    case Form::two_sided:
      if constexpr (Uses::pointwise_two_sided)
        pointwise_as<TwoSided>(layer, in, out, pixels, first, count, corrections);
      return;
    case Form::exact:
      if constexpr (Uses::pointwise_exact) pointwise_as<Exact>(layer, in, out, pixels, first, count, corrections);
      return;
  }
}

}  // namespace esp32_deploy
