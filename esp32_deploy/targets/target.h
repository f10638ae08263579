// What the harness needs of its target. The file of every target defines these functions.
#pragma once

#include <stddef.h>
#include <stdint.h>

void write_text(const char* text, size_t length);
uint32_t instructions();  // executed so far; always 0 on targets that cannot count
int fail(const char* reason);

inline size_t text_length(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

// The lowest address of the caller's stack. Functions that it calls use the memory below.
__attribute__((always_inline)) inline uint8_t* stack_end() {
  uint8_t* end;
#if defined(__riscv)
  __asm__ volatile("mv %0, sp" : "=r"(end));
#elif defined(__XTENSA__)
  __asm__ volatile("mov %0, a1" : "=r"(end));
#else
  end = static_cast<uint8_t*>(__builtin_frame_address(0)) - 1024;
#endif
  return end;
}
