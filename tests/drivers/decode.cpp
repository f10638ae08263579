// Reads grids from standard input, one after the other, and writes the detections that decode.h finds.
#include "kernels/decode.h"

#include <stdio.h>

#include <vector>

int main() {
  // height, width, channels, cell in px, threshold in 256ths, 1 for peaks; the grid's bytes follow
  uint32_t numbers[6];
  static fruit::decode::Detections<64> detections;
  while (fread(numbers, sizeof numbers, 1, stdin) == 1) {
    const auto [height, width, channels, cell_px, least, is_peaks] = numbers;
    std::vector<uint8_t> cells(static_cast<size_t>(height) * width * channels);
    if (fread(cells.data(), cells.size(), 1, stdin) != 1) return 1;
    const fruit::decode::Grid grid{height, width, channels, cell_px, static_cast<uint16_t>(least)};
    const auto step = [&](size_t row, size_t column, size_t channel) -> uint16_t {
      return cells.at((row * grid.width + column) * grid.channels + channel);
    };
    std::vector<fruit::decode::Rectangle> rectangles(fruit::decode::most_rectangles(height, width));
    std::vector<uint8_t> plane(static_cast<size_t>(height) * width);
    detections.count = detections.left_out = 0;
    if (is_peaks == 1)
      fruit::decode::find_peaks(grid, step, plane.data(), detections);
    else
      fruit::decode::find_fused(grid, step, rectangles.data(), detections);
    const uint32_t counts[2] = {static_cast<uint32_t>(detections.count), static_cast<uint32_t>(detections.left_out)};
    fwrite(counts, sizeof counts, 1, stdout);
    fwrite(detections.found, sizeof(fruit::decode::Detection), detections.count, stdout);
    fflush(stdout);
  }
  return 0;
}
