// Runs the first stages of a network depth first, and the others one after the other on whole planes. Late planes have
// few rows, and a whole plane can lie in memory that earlier stages used. Rows of such planes have no padding.
#pragma once

#include "stream.h"

namespace esp32_deploy {

// A stage that runs by itself. Its network's plane 0 receives the rows of `source`. If the stage's windows need
// padding, the rows are copied to it. Otherwise it is the source itself.
struct Pass {
  Network network;
  Plane source;
  bool is_copied;
};

class PassStream : public Stream {
 public:
  PassStream(const Pass& pass, const State& state) : Stream(pass.network, state), pass_(pass) {}

  void run() {
    start();
    const Stage& stage = *network_.stages;
    for (size_t p = 1; p < network_.plane_count; ++p)
      if (p != stage.target) state_.rows[p] = network_.planes[p].height;
    // Other planes were here before, so the padding is written anew.
    const Plane& plane = network_.planes[0];
    if (pass_.is_copied) memset(at(plane.place), plane.pad, row_bytes(plane) * plane.capacity);
    if (stage.head != nullptr) clear_chunks(stage);
    for (int y = 0; y < plane.height; ++y) {
      if (pass_.is_copied) copy_row(y);
      push_row();
    }
  }

 private:
  void copy_row(int y) {
    const Plane& source = pass_.source;
    const uint8_t* from = row_start(source, y) + source.left;
    Lines<uint8_t> to = input_row();
    for (size_t channel = 0; channel < source.channels; ++channel, from += source.pitch, to.data += to.pitch)
      memcpy(to.data, from, source.width);
  }

  const Pass& pass_;
};

// A network whose last stages are passes.
struct LayeredNetwork {
  const Network& streamed;
  const Pass* passes;
  uint16_t pass_count;
};

// Has the functions of a Stream. `done` counts the passes that have run.
class Layers {
 public:
  Layers(const LayeredNetwork& network, const State& state, uint16_t& done)
      : network_(network), state_(state), done_(done) {}

  // Begins a new image. The passes of the last image overwrote the padding of rows.
  void start() {
    Stream stream(network_.streamed, state_);
    stream.clear();
    stream.start();
    done_ = 0;
  }

  Lines<uint8_t> input_row() { return Stream(network_.streamed, state_).input_row(); }

  void push_row() {
    Stream(network_.streamed, state_).push_row();
    if (state_.rows[0] < network_.streamed.planes[0].height) return;
    for (; !is_finished(); ++done_) PassStream(network_.passes[done_], state_).run();
  }

  bool is_finished() const { return done_ == network_.pass_count; }

  Lines<const uint8_t> output_row(size_t y) {
    return Stream(network_.passes[network_.pass_count - 1].network, state_).output_row(y);
  }

 private:
  LayeredNetwork network_;
  State state_;
  uint16_t& done_;
};

}  // namespace esp32_deploy
