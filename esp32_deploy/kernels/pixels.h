// Crops, resizes and converts a camera's frame into rows of the network's input, with integers only, exactly as the
// training images were.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace esp32_deploy {

// rgb565: two bytes for a pixel, the upper byte first, as cameras send it. rgb888: red, green, blue.
enum class PixelFormat : uint8_t { rgb565, rgb888, grayscale };

// An image in memory. `stride` is the number of bytes from one row to the next, or 0 for rows without a gap.
struct Frame {
  const uint8_t* pixels;
  size_t width;
  size_t height;
  PixelFormat format;
  size_t stride = 0;
};

// How an image becomes square: squeezed, its centre cropped, or whole with black borders.
enum class Resize : uint8_t { squash, crop, fit };

// Up to this many pixels the sums fit in 32 bits: 255 * pixels + pixels / 2 < 2^32. Lengths fit up to this side.
constexpr size_t most_frame_pixels = 16810048;
constexpr size_t most_frame_side = 65535;

// Sums that FrameRows keeps for every pixel of a row: one for every colour.
constexpr size_t sums_per_pixel = 3;

// The weights of red, green and blue in gray add up to 1 << gray_weight_bits.
constexpr uint32_t gray_weights[3] = {77, 150, 29};
constexpr int gray_weight_bits = 8;

// The rectangle of the frame, in its pixels, and the rectangle of the input that it fills, in pixels of the input.
struct Placement {
  size_t source_x;
  size_t source_y;
  size_t source_width;
  size_t source_height;
  size_t target_x;
  size_t target_y;
  size_t target_width;
  size_t target_height;
};

// side * size / longer, rounded, but at least 1.
inline size_t fitted(size_t side, size_t longer, size_t size) {
  const size_t result = (side * size + longer / 2) / longer;
  return result > 0 ? result : 1;
}

inline Placement placement(size_t width, size_t height, size_t size, Resize resize) {
  const size_t shorter = width < height ? width : height;
  const size_t longer = width < height ? height : width;
  if (resize == Resize::crop)
    return {(width - shorter) / 2, (height - shorter) / 2, shorter, shorter, 0, 0, size, size};
  if (resize == Resize::squash) return {0, 0, width, height, 0, 0, size, size};
  const size_t across = fitted(width, longer, size);
  const size_t down = fitted(height, longer, size);
  return {0, 0, width, height, (size - across) / 2, (size - down) / 2, across, down};
}

// Readers of one pixel in each format. They return colours from 0 to 255. Colours of 5 or 6 bits repeat their upper
// bits in the lower ones, so that white is 255.
struct Rgb565 {
  static constexpr size_t bytes = 2;
  static constexpr size_t channels = 3;
  static void read(const uint8_t* pixel, uint32_t* values) {
    const uint32_t red = pixel[0] >> 3;
    const uint32_t green = (pixel[0] & 7U) << 3 | pixel[1] >> 5;
    const uint32_t blue = pixel[1] & 31U;
    values[0] = red << 3 | red >> 2;
    values[1] = green << 2 | green >> 4;
    values[2] = blue << 3 | blue >> 2;
  }
};

struct Rgb888 {
  static constexpr size_t bytes = 3;
  static constexpr size_t channels = 3;
  static void read(const uint8_t* pixel, uint32_t* values) {
    for (size_t c = 0; c < channels; ++c) values[c] = pixel[c];
  }
};

struct Grayscale {
  static constexpr size_t bytes = 1;
  static constexpr size_t channels = 1;
  static void read(const uint8_t* pixel, uint32_t* values) { values[0] = pixel[0]; }
};

// Computes the rows of the input from the top by area averaging. An axis of S source and T target pixels is a line of
// S * T units: a target pixel covers S units, a source pixel T. The length of their overlap is the weight of the source
// pixel in the target pixel.
class FrameRows {
 public:
  // `sums` has room for sums_per_pixel numbers for every pixel of a row.
  FrameRows(const Frame& frame, const Placement& place, size_t size, size_t channels, uint32_t* sums)
      : frame_(frame), place_(place), size_(size), channels_(channels), sums_(sums), left_(place.target_height) {
    memset(sums, 0, sizeof(uint32_t) * sums_per_pixel * size);
  }

  // Writes the next row: `size` pixels of `channels` bytes.
  void next(uint8_t* row) {
    const size_t y = target_row_++;
    const bool is_filled = y >= place_.target_y && y < place_.target_y + place_.target_height;
    if (!is_filled || place_.target_width < size_) memset(row, 0, size_ * channels_);
    if (!is_filled) return;
    switch (frame_.format) {
      case PixelFormat::rgb565:
        return fill<Rgb565>(row + place_.target_x * channels_);
      case PixelFormat::rgb888:
        return fill<Rgb888>(row + place_.target_x * channels_);
      case PixelFormat::grayscale:
        return fill<Grayscale>(row + place_.target_x * channels_);
    }
  }

 private:
  // Reads source rows until the target row is complete. The last one often overlaps the next target row too. Its part
  // there stays in the sums, so that no row is read twice.
  template <typename Format>
  void fill(uint8_t* out) {
    size_t open = place_.source_height - carried_;
    carried_ = 0;
    // the previous source row covers this whole target row too
    if (open == 0) return scan<Format, true>(0, 0, out);
    for (;;) {
      const size_t weight = left_ < open ? left_ : open;
      open -= weight;
      left_ -= weight;
      if (open == 0) {
        carried_ = left_ < place_.source_height ? left_ : place_.source_height;
        scan<Format, true>(weight, carried_, out);
        left_ -= carried_;
      } else {
        scan<Format, false>(weight, 0, out);
      }
      if (left_ == 0) {
        ++source_row_;
        left_ = place_.target_height;
      }
      if (open == 0) return;
    }
  }

  // Adds `weight` times the source row to the sums. If that completes them, writes the means, and starts the next sums
  // with `carry` times the row.
  template <typename Format, bool completes>
  void scan(size_t weight, size_t carry, uint8_t* out) {
    const size_t stride = frame_.stride > 0 ? frame_.stride : frame_.width * Format::bytes;
    // a row without weight may be the one after the last: read another in its place
    const size_t row = weight + carry > 0 ? source_row_ : 0;
    const uint8_t* pixel = frame_.pixels + (place_.source_y + row) * stride + place_.source_x * Format::bytes;
    const uint32_t area = static_cast<uint32_t>(place_.source_width * place_.source_height);
    const size_t target_width = place_.target_width;
    const size_t source_width = place_.source_width;
    uint32_t values[Format::channels] = {};
    size_t left = 0;
    uint32_t* sums = sums_;
    for (size_t x = 0; x < target_width; ++x, sums += Format::channels) {
      uint32_t line[Format::channels] = {};
      for (size_t open = source_width; open > 0;) {
        if (left == 0) {
          Format::read(pixel, values);
          pixel += Format::bytes;
          left = target_width;
        }
        const size_t part = left < open ? left : open;
        for (size_t c = 0; c < Format::channels; ++c) line[c] += static_cast<uint32_t>(part) * values[c];
        open -= part;
        left -= part;
      }
      for (size_t c = 0; c < Format::channels; ++c) sums[c] += static_cast<uint32_t>(weight) * line[c];
      if constexpr (completes) {
        uint32_t means[Format::channels];
        for (size_t c = 0; c < Format::channels; ++c) {
          means[c] = (sums[c] + area / 2) / area;
          sums[c] = static_cast<uint32_t>(carry) * line[c];
        }
        out = put(means, Format::channels, out);
      }
    }
  }

  // Writes one pixel and returns the place of the next. Converts between colour and gray if frame and network differ.
  uint8_t* put(const uint32_t* means, size_t given, uint8_t* out) const {
    if (given == 3 && channels_ == 1) {
      uint32_t gray = 1U << (gray_weight_bits - 1);
      for (size_t c = 0; c < 3; ++c) gray += gray_weights[c] * means[c];
      *out = static_cast<uint8_t>(gray >> gray_weight_bits);
      return out + 1;
    }
    for (size_t c = 0; c < channels_; ++c) *out++ = static_cast<uint8_t>(means[given == 3 ? c : 0]);
    return out;
  }

  Frame frame_;
  Placement place_;
  size_t size_;
  size_t channels_;
  uint32_t* sums_;
  size_t left_;         // units of the source row that are in no sum yet
  size_t carried_ = 0;  // units of the target row that are in the sums
  size_t target_row_ = 0;
  size_t source_row_ = 0;
};

}  // namespace esp32_deploy
