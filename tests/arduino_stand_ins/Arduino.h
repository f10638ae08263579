// The parts of the esp32 core that the sketches use, for the host. No serial monitor is ever connected.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct SerialPort {
  void begin(unsigned long baud);
  void println(const char* text);
  int printf(const char* format, ...) __attribute__((format(printf, 2, 3)));
  explicit operator bool() const { return false; }
};
extern SerialPort Serial;

struct EspClass {
  uint32_t getFreeHeap() { return 100000; }
};
extern EspClass ESP;

constexpr int INPUT_PULLUP = 5;
void pinMode(int pin, int mode);
void delay(uint32_t milliseconds);
bool psramFound();

void setup();
void loop();
