// A camera's frame as rows of the network's input: cropped, resized and converted by the integers of pixels.py.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace esp32_deploy {

// rgb565: two bytes a pixel, the upper one first, as cameras give it. rgb888: red, green, blue.
enum class PixelFormat : uint8_t { rgb565, rgb888, grayscale };

// An image in memory. `stride` bytes lead from a row to the next; 0 where rows follow one another without a gap.
struct Frame {
  const uint8_t* pixels;
  size_t width;
  size_t height;
  PixelFormat format;
  size_t stride = 0;
};

// How an image becomes square: squeezed, its centre cut out, or whole on black.
enum class Resize : uint8_t { squash, crop, fit };

// Sums of bytes times areas stay within 32 bits up to this many pixels, and lengths up to this side.
constexpr size_t most_frame_pixels = 16810048;
constexpr size_t most_frame_side = 65535;

// Which rectangle of the frame fills which rectangle of the input, in pixels of each.
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

// One pixel of each format as numbers of 0 to 255; the upper bits of short colours fill the lower, so white is 255.
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

// Gives the rows of the input from the top. An axis of S source and T target pixels is a line of S * T units: a target
// pixel covers S of them, a source pixel T, and the length of their overlap is the weight of one in the other.
class FrameRows {
 public:
  // `sums` has room for three numbers for every pixel of a row.
  FrameRows(const Frame& frame, const Placement& place, size_t size, size_t channels, uint32_t* sums)
      : frame_(frame), place_(place), size_(size), channels_(channels), sums_(sums), left_(place.target_height) {
    memset(sums, 0, sizeof(uint32_t) * 3 * size);
  }

  // The next row: `size` pixels of `channels` bytes.
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
  // Reads source rows until the target row is whole. The last one often reaches into the next target row: its part
  // there is left in the sums, so that no row is read twice.
  template <typename Format>
  void fill(uint8_t* out) {
    size_t open = place_.source_height - carried_;
    carried_ = 0;
    // enlarged so much that the source row before filled this one too
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

  // Adds `weight` times the source row to the sums. If that completes them, gives the means and leaves `carry` times
  // the row for the next ones.
  template <typename Format, bool completes>
  void scan(size_t weight, size_t carry, uint8_t* out) {
    const size_t stride = frame_.stride > 0 ? frame_.stride : frame_.width * Format::bytes;
    // a row that is read for nothing but its sums may be the one after the last
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

  // One pixel, converted between colour and gray where frame and network differ; gives the place of the next.
  uint8_t* put(const uint32_t* means, size_t given, uint8_t* out) const {
    if (given == 3 && channels_ == 1) {
      *out = static_cast<uint8_t>((77 * means[0] + 150 * means[1] + 29 * means[2] + 128) >> 8);
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
  size_t left_;  // units of the source row that no target row has taken
  size_t carried_ = 0;  // units of the target row that are in the sums already
  size_t target_row_ = 0;
  size_t source_row_ = 0;
};

}  // namespace esp32_deploy
