// Runs a network depth first: a stage computes a row as soon as its input rows exist, and the deepest such stage runs
// first. Every plane therefore keeps only the rows that a later step reads.
#pragma once

#include <string.h>

#include "convolution.h"
#include "depthwise.h"
#include "elementwise.h"
#include "pool.h"

// A hook that tests define to see every finished row: the layer's plane, row, first channel, lines, pixels, channels.
#ifndef ESP32_DEPLOY_TAP
#define ESP32_DEPLOY_TAP(plane, row, first, lines, pixels, channels) static_cast<void>(0)
#endif

namespace esp32_deploy {

// An address: a segment of memory, and the offset in it in bytes.
struct Place {
  uint32_t offset;
  uint16_t segment;
};

// A ring buffer of `capacity` rows. A row has one line of `pitch` bytes for every channel. In each line the first
// `left` bytes and those after the width are padding.
struct Plane {
  Place place;
  uint16_t height;
  uint16_t width;
  uint16_t channels;
  uint16_t pitch;
  uint16_t left;
  uint16_t capacity;
  uint8_t pad;
};

// `none`: the stage has no window.
enum class Operation : uint8_t { none, pointwise, depthwise, convolution, pool, mean, copy, add, table, softmax };

// Where an operation writes: the row of the stage's target plane, or one of two scratch rows.
enum class Into : uint8_t { target, first_scratch, second_scratch };

// One operation on whole rows. `parameters` points to the operation's struct, and `plane` is the plane that it
// computes. An addition adds the row of the plane `residual`.
struct Step {
  const void* parameters;
  uint16_t channels;
  uint16_t plane;
  uint16_t residual;
  Operation operation;
  Into into;
};

// The 1x1 convolution before a depthwise convolution. It computes chunks: a few channels of a row at a time. The chunks
// of rows that later windows read are in a ring buffer in the order of their computation. The others follow the ring.
struct Head {
  const Pointwise* parameters;
  Place chunks;
  uint16_t plane;
  uint16_t pitch;
  uint16_t groups;
  uint16_t positions;
  uint16_t kept;
  uint8_t pad;
};

// Channels in a chunk.
constexpr size_t group_channels = 8;
static_assert(group_channels % block_channels == 0, "a chunk holds whole blocks");

// The computation between two planes: a window on rows of `source`, then operations on the resulting row. Each step
// adds `fresh` rows to the window and uses `carried` rows of earlier steps.
struct Stage {
  const Head* head;
  Step window;
  const Step* steps;
  Place sums;
  uint16_t step_count;
  uint16_t source;
  uint16_t target;
  int16_t first;
  uint16_t last;
  uint16_t kernel_rows;
  uint16_t stride_rows;
  uint16_t top;
  uint16_t left;
  uint16_t carried;
  uint16_t fresh;
  uint16_t width;
};

struct Network {
  const Plane* planes;
  const Stage* stages;
  Place patches;
  Place corrections;
  Place scratch[2];
  uint16_t plane_count;
  uint16_t stage_count;
  uint16_t output;
};

// What changes while a network runs.
struct State {
  uint8_t* const* segments;
  uint16_t* rows;           // rows written, for every plane
  int16_t* next;            // the next step, for every stage
  uint16_t* positions;      // the next chunk of the head's ring, for every stage
  const uint8_t** windows;  // the rows of a window: room for two of the largest kernel
  uint16_t window_rows;
};

class Stream {
 public:
  Stream(const Network& network, const State& state) : network_(network), state_(state) {}

  // Fills all padding. Once is enough, because no row overwrites it.
  void clear() {
    for (size_t p = 0; p < network_.plane_count; ++p) {
      const Plane& plane = network_.planes[p];
      memset(at(plane.place), plane.pad, row_bytes(plane) * plane.capacity);
    }
    for (size_t s = 0; s < network_.stage_count; ++s)
      if (network_.stages[s].head != nullptr) clear_chunks(network_.stages[s]);
  }

  // Begins a new image.
  void start() {
    for (size_t p = 0; p < network_.plane_count; ++p) state_.rows[p] = 0;
    for (size_t s = 0; s < network_.stage_count; ++s) {
      const Stage& stage = network_.stages[s];
      state_.next[s] = stage.first;
      state_.positions[s] = 0;
      if (stage.window.operation == Operation::mean) memset(at(stage.sums), 0, sizeof(int32_t) * stage.window.channels);
    }
  }

  // The memory for the next row of the image: one line for every channel.
  Lines<uint8_t> input_row() { return row(0, state_.rows[0]); }

  // Call this when the row is written. It computes every row that is now possible.
  void push_row() {
    ++state_.rows[0];
    size_t stage = network_.stage_count;
    while (stage-- > 0) {
      if (!is_ready(stage)) continue;
      run(stage);
      stage = network_.stage_count;
    }
  }

  bool is_finished() const { return state_.rows[network_.output] == network_.planes[network_.output].height; }

  Lines<const uint8_t> output_row(size_t y) {
    const Lines<uint8_t> lines = row(network_.output, static_cast<int>(y));
    return {lines.data, lines.pitch};
  }

 protected:
  uint8_t* at(Place place) const { return state_.segments[place.segment] + place.offset; }

  int32_t* corrections(size_t first = 0) const { return reinterpret_cast<int32_t*>(at(network_.corrections)) + first; }

  static size_t row_bytes(const Plane& plane) { return static_cast<size_t>(plane.pitch) * plane.channels; }

  // `y` is negative for rows above the image.
  uint8_t* row_start(const Plane& plane, int y) const {
    const int capacity = plane.capacity;
    return at(plane.place) + row_bytes(plane) * static_cast<size_t>((y + capacity) % capacity);
  }

  Lines<uint8_t> row(size_t number, int y) const {
    const Plane& plane = network_.planes[number];
    return {row_start(plane, y) + plane.left, plane.pitch};
  }

  Lines<const uint8_t> read_row(size_t number, int y) const {
    const Lines<uint8_t> lines = row(number, y);
    return {lines.data, lines.pitch};
  }

  // The first source row that a step adds to the window.
  static int fresh_row(const Stage& stage, int step) { return step * stage.stride_rows - stage.top + stage.carried; }

  bool is_ready(size_t number) const {
    const Stage& stage = network_.stages[number];
    const int step = state_.next[number];
    if (step >= stage.last) return false;
    const int height = network_.planes[stage.source].height;
    const int end = fresh_row(stage, step) + stage.fresh;
    if (state_.rows[stage.source] < (end < height ? end : height)) return false;
    for (size_t s = 0; s < stage.step_count; ++s)
      if (stage.steps[s].operation == Operation::add && state_.rows[stage.steps[s].residual] <= step) return false;
    return true;
  }

  void run(size_t number) {
    const Stage& stage = network_.stages[number];
    const int step = state_.next[number]++;
    Lines<const uint8_t> current = read_row(stage.source, step);
    if (stage.window.operation != Operation::none) {
      const Lines<uint8_t> out = place(stage, stage.window, step);
      if (stage.head != nullptr)
        run_groups(stage, number, step, out);
      else if (stage.window.operation == Operation::mean)
        run_mean(stage, step, out);
      else
        run_window(stage, step, out);
      current = {out.data, out.pitch};
      if (step >= 0) ESP32_DEPLOY_TAP(stage.window.plane, step, 0, current, stage.width, stage.window.channels);
    }
    if (step < 0) return;
    for (size_t s = 0; s < stage.step_count; ++s) current = run_step(stage, stage.steps[s], step, current);
    ++state_.rows[stage.target];
  }

  Lines<uint8_t> place(const Stage& stage, const Step& operation, int step) const {
    if (operation.into == Into::target) return row(stage.target, step < 0 ? 0 : step);
    return {at(network_.scratch[operation.into == Into::second_scratch ? 1 : 0]), stage.width};
  }

  Lines<const uint8_t> run_step(const Stage& stage, const Step& operation, int step, Lines<const uint8_t> in) {
    const Lines<uint8_t> out = place(stage, operation, step);
    const void* const parameters = operation.parameters;
    switch (operation.operation) {
      case Operation::pointwise:
        sum_pixels(in, static_cast<const Pointwise*>(parameters)->inputs, corrections(), stage.width);
        pointwise(*static_cast<const Pointwise*>(parameters), in, out, stage.width, 0, operation.channels,
                  corrections());
        break;
      case Operation::add:
        if constexpr (Uses::add)
          add(*static_cast<const Addition*>(parameters), in, read_row(operation.residual, step), out, stage.width,
              operation.channels);
        break;
      case Operation::table:
        if constexpr (Uses::table)
          look_up(*static_cast<const Table*>(parameters), in, out, stage.width, operation.channels);
        break;
      case Operation::softmax:
        if constexpr (Uses::softmax)
          softmax(*static_cast<const Softmax*>(parameters), in, out, stage.width, operation.channels);
        break;
      default:
        break;
    }
    ESP32_DEPLOY_TAP(operation.plane, step, 0, out, stage.width, operation.channels);
    return {out.data, out.pitch};
  }

  // Runs a window on rows of the source's ring buffer. It first fills rows outside the image with padding.
  void run_window(const Stage& stage, int step, Lines<uint8_t> out) {
    const Plane& plane = network_.planes[stage.source];
    const int top = fresh_row(stage, step);
    int rows_inside = 0;
    for (int y = 0; y < stage.kernel_rows; ++y) {
      uint8_t* const start = row_start(plane, top + y);
      if (top + y < 0 || top + y >= plane.height)
        memset(start, plane.pad, row_bytes(plane));
      else
        ++rows_inside;
      state_.windows[y] = start + plane.left - stage.left;
    }
    const void* const parameters = stage.window.parameters;
    switch (stage.window.operation) {
      case Operation::depthwise:
        depthwise(*static_cast<const Depthwise*>(parameters), state_.windows, plane.pitch, out, stage.width, 0,
                  plane.channels);
        break;
      case Operation::convolution:
        if constexpr (Uses::convolution)
          convolution(*static_cast<const Convolution*>(parameters), state_.windows, plane.pitch, out, stage.width,
                      at(network_.patches), state_.windows + state_.window_rows, corrections());
        break;
      case Operation::pool:
        if constexpr (Uses::pool)
          pool(*static_cast<const Pool*>(parameters), state_.windows, plane.pitch, out, stage.width, plane.channels,
               rows_inside);
        break;
      case Operation::copy:
        for (size_t channel = 0; channel < plane.channels; ++channel)
          memcpy(out.data + channel * out.pitch, state_.windows[0] + channel * plane.pitch, stage.width);
        break;
      default:
        break;
    }
  }

  void run_mean(const Stage& stage, int step, Lines<uint8_t> out) {
    const Plane& plane = network_.planes[stage.source];
    int32_t* const sums = reinterpret_cast<int32_t*>(at(stage.sums));
    accumulate(read_row(stage.source, fresh_row(stage, step)), sums, plane.width, plane.channels);
    if (step < 0) return;
    finish_mean(*static_cast<const Mean*>(stage.window.parameters), sums, out, plane.channels);
  }

  static size_t chunk_bytes(const Head& head) { return group_channels * head.pitch; }

  void clear_chunks(const Stage& stage) {
    const Head& head = *stage.head;
    const size_t chunks = static_cast<size_t>(head.positions) * head.kept + stage.fresh - head.kept;
    memset(at(head.chunks), head.pad, chunk_bytes(head) * chunks);
  }

  // Runs the head and the depthwise convolution for a few channels at a time, so that memory holds only the expanded
  // rows that later windows read.
  void run_groups(const Stage& stage, size_t number, int step, Lines<uint8_t> out) {
    const Head& head = *stage.head;
    const Depthwise& window = *static_cast<const Depthwise*>(stage.window.parameters);
    size_t position = state_.positions[number];
    for (int f = 0; f < stage.fresh; ++f) sum_fresh_row(stage, step, f);
    for (size_t group = 0; group < head.groups; ++group) {
      const size_t first = group * group_channels;
      const size_t left = head.parameters->outputs - first;
      const size_t count = left < group_channels ? left : group_channels;
      for (int f = 0; f < stage.fresh; ++f) expand(stage, step, f, fresh_chunk(stage, position, f), first, count);
      if (step >= 0) {
        for (int y = 0; y < stage.kernel_rows; ++y) state_.windows[y] = window_chunk(stage, position, y);
        depthwise(window, state_.windows, head.pitch, {out.data + first * window.multiplier * out.pitch, out.pitch},
                  stage.width, first, count);
      }
      position = position + 1 == head.positions ? 0 : position + 1;
    }
    state_.positions[number] = static_cast<uint16_t>(position);
  }

  void sum_fresh_row(const Stage& stage, int step, int f) {
    const Plane& plane = network_.planes[stage.source];
    const int y = fresh_row(stage, step) + f;
    if (y < 0 || y >= plane.height) return;
    sum_pixels(read_row(stage.source, y), plane.channels, corrections(static_cast<size_t>(f) * plane.width),
               plane.width);
  }

  void expand(const Stage& stage, int step, int f, uint8_t* chunk, size_t first, size_t count) {
    const Head& head = *stage.head;
    const Plane& plane = network_.planes[stage.source];
    const int y = fresh_row(stage, step) + f;
    if (y < 0 || y >= plane.height) {
      memset(chunk, head.pad, chunk_bytes(head));
      return;
    }
    const Lines<uint8_t> out{chunk + stage.left, head.pitch};
    pointwise(*head.parameters, read_row(stage.source, y), out, plane.width, first, count,
              corrections(static_cast<size_t>(f) * plane.width));
    ESP32_DEPLOY_TAP(head.plane, y, first, out, plane.width, count);
  }

  // The chunk of fresh row `f`. It is in the ring if later steps read it.
  uint8_t* fresh_chunk(const Stage& stage, size_t position, int f) const {
    const Head& head = *stage.head;
    const int passing = stage.fresh - head.kept;
    const size_t chunk = f < passing ? static_cast<size_t>(head.positions) * head.kept + static_cast<size_t>(f)
                                     : position * head.kept + static_cast<size_t>(f - passing);
    return at(head.chunks) + chunk * chunk_bytes(head);
  }

  // The chunk of row `y` of the window, which this step or an earlier one computed.
  const uint8_t* window_chunk(const Stage& stage, size_t position, int y) const {
    if (y >= stage.carried) return fresh_chunk(stage, position, y - stage.carried);
    const Head& head = *stage.head;
    const int age = (stage.carried - y + head.kept - 1) / head.kept;
    const size_t back = static_cast<size_t>(age) * head.groups;
    const size_t then = position >= back ? position - back : position + head.positions - back;
    const size_t row = static_cast<size_t>(y - stage.carried + age * head.kept);
    return at(head.chunks) + (then * head.kept + row) * chunk_bytes(head);
  }

  Network network_;
  State state_;
};

}  // namespace esp32_deploy
