// Runs a generated model on recorded inputs. Prints its outputs, instructions, stack and object size. Every target uses
// this program. The compiler's command line defines HARNESS_NAMESPACE, HARNESS_HEADER, HARNESS_INPUTS and
// HARNESS_COUNT.
#include HARNESS_HEADER

#include "target.h"

namespace model = HARNESS_NAMESPACE;

extern "C" const uint8_t recorded_inputs[];

__asm__(
    ".section .rodata\n"
    ".global recorded_inputs\n"
    ".balign 4\n"
    "recorded_inputs:\n"
    ".incbin \"" HARNESS_INPUTS
    "\"\n"
    ".previous\n");

namespace {

constexpr size_t row_bytes = model::input_width * model::input_channels;
constexpr size_t image_bytes = model::input_height * row_bytes;

void write_number(const char* what, uint32_t value) {
  char digits[11];
  size_t place = sizeof digits;
  digits[--place] = '\n';
  do {
    digits[--place] = static_cast<char>('0' + value % 10U);
    value /= 10U;
  } while (value != 0U);
  write_text(what, text_length(what));
  write_text(digits + place, sizeof digits - place);
}

void write_output(model::Model& network) {
  write_text("output ", 7);
  for (size_t y = 0; y < model::output_height; ++y)
    for (size_t x = 0; x < model::output_width; ++x)
      for (size_t c = 0; c < model::output_channels; ++c) {
        const uint8_t value = network.output(y, x, c);
        const char hex[2] = {"0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]};
        write_text(hex, 2);
      }
  write_text("\n", 1);
}

__attribute__((noinline)) void classify(model::Model& network, const uint8_t* image) {
  network.start();
  for (size_t y = 0; y < model::input_height; ++y) network.push_row(image + y * row_bytes);
}

// The stack is measured by painting: fill memory below it, and look afterwards how much is overwritten.
constexpr size_t painted_bytes = 16384;

__attribute__((noinline)) void paint(uint8_t* end) {
  for (volatile uint8_t* byte = end - painted_bytes; byte < end - 128; ++byte) *byte = 0xA5;
}

__attribute__((noinline)) size_t stack_used(uint8_t* end) {
  const volatile uint8_t* byte = end - painted_bytes;
  while (byte < end && *byte == 0xA5) ++byte;
  return static_cast<size_t>(end - byte);
}

// All segments one after the other. Their sizes are multiples of the alignment, so every segment is aligned.
constexpr size_t segment_alignment = 4;

constexpr size_t all_segment_bytes() {
  size_t bytes = 0;
  for (const size_t segment : model::segment_bytes) bytes += segment;
  return bytes;
}

alignas(segment_alignment) uint8_t memory[all_segment_bytes()];

}  // namespace

int main() {
  uint8_t* segments[model::segment_count];
  size_t offset = 0;
  for (size_t s = 0; s < model::segment_count; ++s) {
    segments[s] = memory + offset;
    offset += model::segment_bytes[s];
  }
  static model::Model network;
  network.begin(segments);
  for (size_t n = 0; n < HARNESS_COUNT; ++n) {
    uint8_t* const end = stack_end();
    paint(end);
    const uint32_t before = instructions();
    classify(network, recorded_inputs + n * image_bytes);
    const uint32_t after = instructions();
    const size_t stack = stack_used(end);
    if (!network.is_finished()) return fail("the model did not finish");
    write_output(network);
    write_number("instructions ", after - before);
    write_number("stack ", stack);
  }
  write_number("object ", sizeof(model::Model));
  return 0;
}
