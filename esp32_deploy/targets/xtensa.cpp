// Xtensa lx106 in an emulator, without an operating system. It prints through simulator calls, and the register CCOUNT
// counts instructions.
#include "target.h"

namespace {

// With -icount, the emulator's cycle counter advances once every 25 instructions.
constexpr uint32_t instructions_per_tick = 25;

// The bytes 0x00, 0x51, 0x00 are the instruction SIMCALL.
int simulator_call(int number, int first, const void* second, size_t third) {
  register int a2 __asm__("a2") = number;
  register int a3 __asm__("a3") = first;
  register const void* a4 __asm__("a4") = second;
  register size_t a5 __asm__("a5") = third;
  __asm__ volatile(".byte 0x00, 0x51, 0x00" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
  return a2;
}

}  // namespace

void write_text(const char* text, size_t length) { simulator_call(4, 1, text, length); }

uint32_t instructions() {
  uint32_t ticks;
  __asm__ volatile("rsr %0, ccount" : "=r"(ticks));
  return ticks * instructions_per_tick;
}

int fail(const char* reason) {
  write_text(reason, text_length(reason));
  return 1;
}

int main();

extern "C" {

// Functions that this compiler's library lacks.
uint64_t __umulsidi3(uint32_t a, uint32_t b) {
  const uint32_t low = (a & 0xFFFFU) * (b & 0xFFFFU);
  const uint32_t middle = (a >> 16) * (b & 0xFFFFU) + (low >> 16);
  const uint32_t other = (a & 0xFFFFU) * (b >> 16) + (middle & 0xFFFFU);
  const uint32_t high = (a >> 16) * (b >> 16) + (middle >> 16) + (other >> 16);
  return static_cast<uint64_t>(high) << 32 | (other << 16 | (low & 0xFFFFU));
}

uint64_t __muldi3(uint64_t a, uint64_t b) {
  const uint32_t cross = static_cast<uint32_t>(a >> 32) * static_cast<uint32_t>(b) +
                         static_cast<uint32_t>(a) * static_cast<uint32_t>(b >> 32);
  return __umulsidi3(static_cast<uint32_t>(a), static_cast<uint32_t>(b)) + (static_cast<uint64_t>(cross) << 32);
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor) {
  uint32_t quotient = 0;
  uint32_t rest = 0;
  for (int bit = 31; bit >= 0; --bit) {
    rest = rest << 1 | (dividend >> bit & 1U);
    if (rest >= divisor) {
      rest -= divisor;
      quotient |= 1U << bit;
    }
  }
  return quotient;
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor) { return dividend - __udivsi3(dividend, divisor) * divisor; }

int32_t __divsi3(int32_t dividend, int32_t divisor) {
  const uint32_t size = __udivsi3(static_cast<uint32_t>(dividend < 0 ? -dividend : dividend),
                                  static_cast<uint32_t>(divisor < 0 ? -divisor : divisor));
  return (dividend < 0) != (divisor < 0) ? -static_cast<int32_t>(size) : static_cast<int32_t>(size);
}

int32_t __modsi3(int32_t dividend, int32_t divisor) { return dividend - __divsi3(dividend, divisor) * divisor; }

void* memset(void* to, int value, size_t length) {
  uint8_t* byte = static_cast<uint8_t*>(to);
  while (length > 0 && reinterpret_cast<uintptr_t>(byte) % 4 != 0) {
    *byte++ = static_cast<uint8_t>(value);
    --length;
  }
  const uint32_t word = static_cast<uint8_t>(value) * 0x01010101U;
  for (; length >= 4; length -= 4, byte += 4) *reinterpret_cast<uint32_t*>(byte) = word;
  while (length-- > 0) *byte++ = static_cast<uint8_t>(value);
  return to;
}

void* memcpy(void* to, const void* from, size_t length) {
  uint8_t* target = static_cast<uint8_t*>(to);
  const uint8_t* source = static_cast<const uint8_t*>(from);
  while (length-- > 0) *target++ = *source++;
  return to;
}

[[noreturn]] void begin() {
  const int status = main();
  for (;;) simulator_call(1, status, nullptr, 0);
}

}  // extern "C"

// The processor starts at the vector. The stack grows down from the end of memory.
__asm__(
    ".section .vector, \"ax\"\n"
    ".global vector\n"
    "vector:\n"
    "  j 1f\n"
    "  .balign 4\n"
    "stack_word: .word stack_top\n"
    "begin_word: .word begin\n"
    "1:\n"
    "  l32r a1, stack_word\n"
    "  l32r a0, begin_word\n"
    "  jx a0\n"
    ".previous\n");
