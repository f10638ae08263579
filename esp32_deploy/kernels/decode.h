// Decodes a grid of probabilities into objects with integers only, exactly as when the model was evaluated.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace esp32_deploy::decode {

// The largest output of an int8 softmax, in 256ths. It stands for probability 1.
constexpr uint32_t most_score = 255;

// One object. Label 0 is the first class, and `score` counts in 256ths. `row` and `column` are those of the first cell;
// they only sort detections. The other fields are in pixels of the network's input.
struct Detection {
  uint16_t label;
  uint16_t score;
  uint16_t row;
  uint16_t column;
  uint16_t x;
  uint16_t y;
  uint16_t width;
  uint16_t height;
  uint16_t center_x;
  uint16_t center_y;
};

inline bool comes_before(const Detection& one, const Detection& other) {
  if (one.score != other.score) return one.score > other.score;
  if (one.label != other.label) return one.label < other.label;
  if (one.row != other.row) return one.row < other.row;
  return one.column < other.column;
}

// The `Most` objects with the highest scores, in order. Equal objects stay in the order of their detection. `left_out`
// counts the objects without room.
template <size_t Most>
struct Detections {
  Detection found[Most];
  size_t count = 0;
  size_t left_out = 0;

  void add(const Detection& detection) {
    if (count == Most) {
      ++left_out;
      if (!comes_before(detection, found[Most - 1])) return;
      --count;
    }
    size_t place = count++;
    for (; place > 0 && comes_before(detection, found[place - 1]); --place) found[place] = found[place - 1];
    found[place] = detection;
  }
};

// The shape of a grid. Channel 0 is background. `least` is the threshold in 256ths.
struct Grid {
  size_t height;
  size_t width;
  size_t channels;
  size_t cell_px;
  uint16_t least;
};

// A rectangle of cells. `bottom` and `right` are exclusive.
struct Rectangle {
  uint16_t top;
  uint16_t left;
  uint16_t bottom;
  uint16_t right;
  uint16_t score;

  bool touches(const Rectangle& other) const {
    return top <= other.bottom && other.top <= bottom && left <= other.right && other.left <= right;
  }

  void take_in(const Rectangle& other) {
    if (other.top < top) top = other.top;
    if (other.left < left) left = other.left;
    if (other.bottom > bottom) bottom = other.bottom;
    if (other.right > right) right = other.right;
    if (other.score > score) score = other.score;
  }
};

// The most rectangles that do not touch: each needs a free row and a free column beside its cells.
constexpr size_t most_rectangles(size_t height, size_t width) { return ((height + 1) / 2) * ((width + 1) / 2); }

// An object whose box is a rectangle of cells.
inline Detection boxed(size_t label, size_t score, const Rectangle& cells, size_t cell_px) {
  const auto px = [cell_px](size_t count) { return static_cast<uint16_t>(count * cell_px); };
  Detection detection{};
  detection.label = static_cast<uint16_t>(label);
  detection.score = static_cast<uint16_t>(score);
  detection.x = px(cells.left);
  detection.y = px(cells.top);
  detection.width = px(static_cast<size_t>(cells.right - cells.left));
  detection.height = px(static_cast<size_t>(cells.bottom - cells.top));
  return detection;
}

// Merges cells that reach the threshold with all others that they touch, corners included, until no two touch.
// `step(row, column, channel)` returns a cell in 256ths. `rectangles` has room for most_rectangles().
template <typename Step, typename Found>
void find_fused(const Grid& grid, const Step& step, Rectangle* rectangles, Found& detections) {
  for (size_t channel = 1; channel < grid.channels; ++channel) {
    size_t count = 0;
    for (size_t row = 0; row < grid.height; ++row)
      for (size_t column = 0; column < grid.width; ++column) {
        const uint16_t score = step(row, column, channel);
        if (score < grid.least) continue;
        Rectangle cells{static_cast<uint16_t>(row), static_cast<uint16_t>(column), static_cast<uint16_t>(row + 1),
                        static_cast<uint16_t>(column + 1), score};
        for (size_t n = 0; n < count;) {
          if (!cells.touches(rectangles[n])) {
            ++n;
            continue;
          }
          cells.take_in(rectangles[n]);
          rectangles[n] = rectangles[--count];
          n = 0;
        }
        rectangles[count++] = cells;
      }
    for (size_t n = 0; n < count; ++n) {
      const Rectangle& cells = rectangles[n];
      Detection detection = boxed(channel - 1, cells.score, cells, grid.cell_px);
      detection.row = cells.top;
      detection.column = cells.left;
      detection.center_x = static_cast<uint16_t>((cells.left + cells.right) * grid.cell_px / 2);
      detection.center_y = static_cast<uint16_t>((cells.top + cells.bottom) * grid.cell_px / 2);
      detections.add(detection);
    }
  }
}

// Subtracts `score` from the cells of an object, from the largest cell first. `taken` receives the part of each cell.
inline void take_object(uint8_t* const* cells, size_t count, uint32_t score, uint32_t* taken) {
  for (size_t n = 0; n < count; ++n) taken[n] = 0;
  for (uint32_t rest = score; rest > 0;) {
    size_t surest = 0;
    for (size_t n = 1; n < count; ++n)
      if (*cells[n] > *cells[surest]) surest = n;
    const uint32_t part = *cells[surest] < rest ? *cells[surest] : rest;
    taken[surest] += part;
    *cells[surest] = static_cast<uint8_t>(*cells[surest] - part);
    rest -= part;
  }
}

// Finds the 2x2 window of cells with the largest sum. It is an object if the sum reaches the threshold, because
// training spreads an object over the cells around its centre. The sum, at most probability 1, is subtracted from the
// cells, from the largest first. Then the search starts again. An object's centre is the mean of its cells' centres,
// weighted by the parts subtracted. Its box holds the cells whose part is at least half of the largest part. `plane`
// has room for a byte for every cell. Every object costs one pass over the grid of its class.
template <typename Step, typename Found>
void find_peaks(const Grid& grid, const Step& step, uint8_t* plane, Found& detections) {
  const size_t rows = grid.height > 1 ? 2 : 1;
  const size_t columns = grid.width > 1 ? 2 : 1;
  for (size_t channel = 1; channel < grid.channels; ++channel) {
    for (size_t row = 0; row < grid.height; ++row)
      for (size_t column = 0; column < grid.width; ++column)
        plane[row * grid.width + column] = static_cast<uint8_t>(step(row, column, channel));
    for (;;) {
      uint32_t total = 0;
      size_t top = 0;
      size_t left = 0;
      for (size_t row = 0; row + rows <= grid.height; ++row)
        for (size_t column = 0; column + columns <= grid.width; ++column) {
          uint32_t sum = 0;
          for (size_t y = 0; y < rows; ++y)
            for (size_t x = 0; x < columns; ++x) sum += plane[(row + y) * grid.width + column + x];
          if (sum <= total) continue;
          total = sum;
          top = row;
          left = column;
        }
      const uint32_t score = total < most_score ? total : most_score;
      if (score < grid.least) break;
      uint8_t* cells[4] = {};
      for (size_t n = 0; n < rows * columns; ++n)
        cells[n] = &plane[(top + n / columns) * grid.width + left + n % columns];
      uint32_t taken[4] = {};
      take_object(cells, rows * columns, score, taken);
      uint32_t most = 0;
      uint32_t across = 0;
      uint32_t down = 0;
      for (size_t n = 0; n < rows * columns; ++n) {
        // a cell's centre lies at half a cell: twice its position is an integer
        across += taken[n] * static_cast<uint32_t>(2 * (left + n % columns) + 1);
        down += taken[n] * static_cast<uint32_t>(2 * (top + n / columns) + 1);
        if (taken[n] > most) most = taken[n];
      }
      Rectangle box{static_cast<uint16_t>(grid.height), static_cast<uint16_t>(grid.width), 0, 0, 0};
      for (size_t n = 0; n < rows * columns; ++n) {
        if (2 * taken[n] < most) continue;
        const size_t row = top + n / columns;
        const size_t column = left + n % columns;
        box.take_in({static_cast<uint16_t>(row), static_cast<uint16_t>(column), static_cast<uint16_t>(row + 1),
                     static_cast<uint16_t>(column + 1), 0});
      }
      Detection detection = boxed(channel - 1, score, box, grid.cell_px);
      detection.row = static_cast<uint16_t>(top);
      detection.column = static_cast<uint16_t>(left);
      detection.center_x = static_cast<uint16_t>(across * grid.cell_px / (2 * score));
      detection.center_y = static_cast<uint16_t>(down * grid.cell_px / (2 * score));
      detections.add(detection);
    }
  }
}

}  // namespace esp32_deploy::decode
