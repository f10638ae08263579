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
      : frame_(frame), place_(place), size_(size), channels_(channels), sums_(sums) {}

  // The next row: `size` pixels of `channels` bytes.
  void next(uint8_t* row) {
    memset(row, 0, size_ * channels_);
    const size_t y = target_row_++;
    if (y < place_.target_y || y >= place_.target_y + place_.target_height) return;
    memset(sums_, 0, sizeof(uint32_t) * place_.target_width * frame_channels());
    for (size_t open = place_.source_height; open > 0;) {
      if (row_left_ == 0) row_left_ = place_.target_height;
      const size_t weight = row_left_ < open ? row_left_ : open;
      add_source_row(static_cast<uint32_t>(weight));
      open -= weight;
      row_left_ -= weight;
      if (row_left_ == 0) ++source_row_;
    }
    store(row + place_.target_x * channels_);
  }

 private:
  size_t frame_channels() const { return frame_.format == PixelFormat::grayscale ? 1 : 3; }

  void add_source_row(uint32_t weight) {
    switch (frame_.format) {
      case PixelFormat::rgb565:
        add<Rgb565>(weight);
        break;
      case PixelFormat::rgb888:
        add<Rgb888>(weight);
        break;
      case PixelFormat::grayscale:
        add<Grayscale>(weight);
        break;
    }
  }

  template <typename Format>
  void add(uint32_t weight) {
    const size_t stride = frame_.stride > 0 ? frame_.stride : frame_.width * Format::bytes;
    const uint8_t* pixel =
        frame_.pixels + (place_.source_y + source_row_) * stride + place_.source_x * Format::bytes;
    uint32_t values[Format::channels] = {};
    size_t left = 0;
    uint32_t* sums = sums_;
    for (size_t x = 0; x < place_.target_width; ++x) {
      uint32_t line[Format::channels] = {};
      for (size_t open = place_.source_width; open > 0;) {
        if (left == 0) {
          Format::read(pixel, values);
          pixel += Format::bytes;
          left = place_.target_width;
        }
        const size_t part = left < open ? left : open;
        for (size_t c = 0; c < Format::channels; ++c) line[c] += static_cast<uint32_t>(part) * values[c];
        open -= part;
        left -= part;
      }
      for (const uint32_t value : line) *sums++ += weight * value;
    }
  }

  // Rounds every mean once, then converts between colour and gray where frame and network differ.
  void store(uint8_t* out) const {
    const uint32_t area = static_cast<uint32_t>(place_.source_width * place_.source_height);
    const auto mean = [area](uint32_t sum) { return (sum + area / 2) / area; };
    const uint32_t* sums = sums_;
    const size_t given = frame_channels();
    for (size_t x = 0; x < place_.target_width; ++x, sums += given, out += channels_) {
      if (given == channels_)
        for (size_t c = 0; c < channels_; ++c) out[c] = static_cast<uint8_t>(mean(sums[c]));
      else if (given == 1)
        memset(out, static_cast<int>(mean(sums[0])), channels_);
      else
        *out = static_cast<uint8_t>((77 * mean(sums[0]) + 150 * mean(sums[1]) + 29 * mean(sums[2]) + 128) >> 8);
    }
  }

  Frame frame_;
  Placement place_;
  size_t size_;
  size_t channels_;
  uint32_t* sums_;
  size_t target_row_ = 0;
  size_t source_row_ = 0;
  size_t row_left_ = 0;  // units of the source row that no target row has taken
};

}  // namespace esp32_deploy
