// Reads frames from standard input, one after the other, and writes the network's input for each.
#include "kernels/pixels.h"

#include <stdio.h>

#include <vector>

int main() {
  // width, height, format, stride, size, channels, resize; the frame's bytes follow, without a gap after the last row
  uint32_t numbers[7];
  while (fread(numbers, sizeof numbers, 1, stdin) == 1) {
    const auto [width, height, format, stride, size, channels, resize] = numbers;
    const size_t bytes[] = {fruit::Rgb565::bytes, fruit::Rgb888::bytes, fruit::Grayscale::bytes};
    const size_t pixel_bytes = bytes[format];
    const size_t step = stride > 0 ? stride : width * pixel_bytes;
    std::vector<uint8_t> pixels((height - 1) * step + width * pixel_bytes);
    if (fread(pixels.data(), pixels.size(), 1, stdin) != 1) return 1;
    const fruit::Frame frame{pixels.data(), width, height, static_cast<fruit::PixelFormat>(format), stride};
    const fruit::Placement place = fruit::placement(width, height, size, static_cast<fruit::Resize>(resize));
    std::vector<uint32_t> sums(fruit::sums_per_pixel * size);
    std::vector<uint8_t> row(size * channels);
    fruit::FrameRows rows(frame, place, size, channels, sums.data());
    for (size_t y = 0; y < size; ++y) {
      rows.next(row.data());
      fwrite(row.data(), row.size(), 1, stdout);
    }
    fflush(stdout);
  }
  return 0;
}
