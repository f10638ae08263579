// rv32imc in an emulator. It prints through picolibc's semihosting, and the register minstret counts instructions.
#include <stdio.h>

#include "target.h"

void write_text(const char* text, size_t length) {
  while (length-- > 0) putchar(*text++);
}

uint32_t instructions() {
  register uint32_t count __asm__("a0");
  // csrr a0, minstret, as a number: its extension in -march would select libraries of another width
  __asm__ volatile(".word 0xb0202573" : "=r"(count));
  return count;
}

int fail(const char* reason) {
  write_text(reason, text_length(reason));
  return 1;
}
