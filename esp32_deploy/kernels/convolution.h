// Convolution by im2col: copies the window's cells for a strip of pixels, then runs a 1x1 convolution on them.
#pragma once

#include "pointwise.h"

namespace esp32_deploy {

// Weights are stored as in Pointwise. Their inputs are in the order [row][channel][column]. `strip` is the number of
// output pixels that are computed together.
struct Convolution {
  Pointwise product;
  uint16_t channels;
  uint16_t kernel_rows;
  uint16_t kernel_columns;
  uint16_t stride;
  uint16_t strip;
};

// Copies every `stride`-th byte.
inline void gather_line(const uint8_t* source, size_t stride, uint8_t* line, size_t pixels) {
  for (; pixels >= 4; pixels -= 4, line += 4, source += 4 * stride) {
    const uint8_t* const middle = source + 2 * stride;
    line[0] = source[0];
    line[1] = source[stride];
    line[2] = middle[0];
    line[3] = middle[stride];
  }
  for (; pixels > 0; --pixels, source += stride) *line++ = *source;
}

// Writes one line of `pixels` bytes for every cell of the window. `rows` point at the first pixel's window.
inline void gather(const Convolution& layer, const uint8_t* const* rows, size_t pitch, uint8_t* patches,
                   size_t pixels) {
  for (size_t y = 0; y < layer.kernel_rows; ++y)
    for (size_t channel = 0; channel < layer.channels; ++channel)
      for (size_t x = 0; x < layer.kernel_columns; ++x) {
        gather_line(rows[y] + channel * pitch + x, layer.stride, patches, pixels);
        patches += layer.strip;
      }
}

// `patches` has room for `strip` bytes for every cell of the window, `rows` for a pointer to every row of it.
inline void convolution(const Convolution& layer, const uint8_t* const* window, size_t pitch, Lines<uint8_t> out,
                        size_t pixels, uint8_t* patches, const uint8_t** rows, int32_t* corrections) {
  for (size_t y = 0; y < layer.kernel_rows; ++y) rows[y] = window[y];
  for (size_t x = 0; x < pixels; x += layer.strip) {
    const size_t strip = pixels - x < layer.strip ? pixels - x : layer.strip;
    gather(layer, rows, pitch, patches, strip);
    sum_pixels({patches, layer.strip}, layer.product.inputs, corrections, strip);
    pointwise(layer.product, {patches, layer.strip}, {out.data + x, out.pitch}, strip, 0, layer.product.outputs,
              corrections);
    for (size_t y = 0; y < layer.kernel_rows; ++y) rows[y] += static_cast<size_t>(layer.strip) * layer.stride;
  }
}

}  // namespace esp32_deploy
