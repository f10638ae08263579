// The machine that compiles. It prints to stdout and counts no instructions.
#include <stdio.h>

#include "target.h"

void write_text(const char* text, size_t length) { fwrite(text, 1, length, stdout); }

uint32_t instructions() { return 0; }

int fail(const char* reason) {
  fprintf(stderr, "%s\n", reason);
  return 1;
}
