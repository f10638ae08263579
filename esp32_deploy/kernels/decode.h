// Grids of probabilities become objects, by integers alone: what the model was measured with computes the same.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace esp32_deploy {

// The surest that an int8 softmax can be, in 256ths.
constexpr uint32_t most_score = 255;

// One object: `label` 0 is the first class, `score` counts in 256ths, `row` and `column` order equals, the rest is in
// pixels of the network's input.
struct Object {
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

inline bool comes_before(const Object& one, const Object& other) {
  if (one.score != other.score) return one.score > other.score;
  if (one.label != other.label) return one.label < other.label;
  if (one.row != other.row) return one.row < other.row;
  return one.column < other.column;
}

// The surest objects, in order; counts those for which there is no room.
template <size_t Most>
struct Objects {
  Object found[Most];
  size_t count = 0;
  size_t left_out = 0;

  void add(const Object& object) {
    if (count == Most) {
      ++left_out;
      if (!comes_before(object, found[Most - 1])) return;
      --count;
    }
    size_t place = count++;
    for (; place > 0 && comes_before(object, found[place - 1]); --place) found[place] = found[place - 1];
    found[place] = object;
  }
};

// A grid's shape; channel 0 is background. `least` is the threshold in 256ths.
struct Grid {
  size_t height;
  size_t width;
  size_t channels;
  size_t cell_px;
  uint16_t least;
};

// A rectangle of cells, right and bottom exclusive.
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

// Rectangles that do not touch take a row and a column more than their cells: this many have room.
constexpr size_t most_rectangles(size_t height, size_t width) { return ((height + 1) / 2) * ((width + 1) / 2); }

inline Object boxed(size_t label, size_t score, const Rectangle& cells, size_t cell_px) {
  const auto px = [cell_px](size_t count) { return static_cast<uint16_t>(count * cell_px); };
  Object object{};
  object.label = static_cast<uint16_t>(label);
  object.score = static_cast<uint16_t>(score);
  object.x = px(cells.left);
  object.y = px(cells.top);
  object.width = px(static_cast<size_t>(cells.right - cells.left));
  object.height = px(static_cast<size_t>(cells.bottom - cells.top));
  return object;
}

// Cells that reach the threshold join with all that they touch, corners included, until no two touch.
// `step(row, column, channel)` gives a cell in 256ths; `rectangles` has room for most_rectangles().
template <typename Step, typename Found>
void find_fused(const Grid& grid, const Step& step, Rectangle* rectangles, Found& objects) {
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
      Object object = boxed(channel - 1, cells.score, cells, grid.cell_px);
      object.row = cells.top;
      object.column = cells.left;
      object.center_x = static_cast<uint16_t>((cells.left + cells.right) * grid.cell_px / 2);
      object.center_y = static_cast<uint16_t>((cells.top + cells.bottom) * grid.cell_px / 2);
      objects.add(object);
    }
  }
}

// A cell that is the surest of its nine, the first of equals, is an object if the probability around it reaches the
// threshold: the largest sum of two by two cells that hold it, for a centre near the border of cells is shared by them.
// Its centre is the mean of the nine centres, weighted by their scores; its box holds those of the nine that are at
// least half as sure as the peak.
template <typename Step, typename Found>
void find_peaks(const Grid& grid, const Step& step, Found& objects) {
  for (size_t channel = 1; channel < grid.channels; ++channel)
    for (size_t row = 0; row < grid.height; ++row)
      for (size_t column = 0; column < grid.width; ++column) {
        const uint32_t peak = step(row, column, channel);
        if (peak == 0) continue;
        // the nine, 0 outside the grid
        uint32_t nine[3][3] = {};
        bool is_peak = true;
        for (size_t y = 0; y < 3; ++y)
          for (size_t x = 0; x < 3; ++x) {
            if (row + y < 1 || row + y > grid.height || column + x < 1 || column + x > grid.width) continue;
            const uint32_t value = step(row + y - 1, column + x - 1, channel);
            nine[y][x] = value;
            const bool is_earlier = y < 1 || (y == 1 && x < 1);
            if (value > peak || (is_earlier && value == peak)) is_peak = false;
          }
        if (!is_peak) continue;
        uint32_t score = 0;
        for (size_t y = 0; y < 2; ++y)
          for (size_t x = 0; x < 2; ++x) {
            const uint32_t around = nine[y][x] + nine[y][x + 1] + nine[y + 1][x] + nine[y + 1][x + 1];
            if (around > score) score = around;
          }
        if (score > most_score) score = most_score;
        if (score < grid.least) continue;
        Rectangle cells{static_cast<uint16_t>(row), static_cast<uint16_t>(column), static_cast<uint16_t>(row + 1),
                        static_cast<uint16_t>(column + 1), 0};
        uint32_t total = 0;
        uint32_t across = 0;
        uint32_t down = 0;
        for (size_t y = 0; y < 3; ++y)
          for (size_t x = 0; x < 3; ++x) {
            const uint32_t value = nine[y][x];
            if (value == 0) continue;
            const size_t cell_row = row + y - 1;
            const size_t cell_column = column + x - 1;
            // twice the place of a cell's centre is a whole number of cells
            total += value;
            across += value * static_cast<uint32_t>(2 * cell_column + 1);
            down += value * static_cast<uint32_t>(2 * cell_row + 1);
            if (2 * value >= peak)
              cells.take_in({static_cast<uint16_t>(cell_row), static_cast<uint16_t>(cell_column),
                             static_cast<uint16_t>(cell_row + 1), static_cast<uint16_t>(cell_column + 1), 0});
          }
        Object object = boxed(channel - 1, score, cells, grid.cell_px);
        object.row = static_cast<uint16_t>(row);
        object.column = static_cast<uint16_t>(column);
        object.center_x = static_cast<uint16_t>(across * grid.cell_px / (2 * total));
        object.center_y = static_cast<uint16_t>(down * grid.cell_px / (2 * total));
        objects.add(object);
      }
}

}  // namespace esp32_deploy
