// A board for sketches on the host. It runs setup() and a few loops, then prints how many frames and pieces of memory
// the sketch used. Environment variables set it up: LOOPS, PSRAM (0 or 1), INTERNAL_BYTES (the largest piece of
// internal RAM), FRAME (a file of pixels), CAMERA ("fails": no start, "blind": no frames).
#include <Arduino.h>
#include <esp_camera.h>
#include <esp_heap_caps.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

namespace {

size_t number(const char* name, size_t otherwise) {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : strtoul(text, nullptr, 10);
}

bool is_set(const char* name, const char* value) {
  const char* text = getenv(name);
  return text != nullptr && strcmp(text, value) == 0;
}

struct Size {
  size_t width;
  size_t height;
};
constexpr Size sizes[] = {{96, 96}, {160, 120}, {176, 144}, {240, 176}, {240, 240}, {320, 240}, {640, 480}};

camera_fb_t frame = {};
std::vector<uint8_t> pixels;
unsigned frames_given = 0;
unsigned frames_returned = 0;
unsigned pieces_internal = 0;
unsigned pieces_psram = 0;

}  // namespace

SerialPort Serial;
EspClass ESP;

void SerialPort::begin(unsigned long baud) { ::printf("baud %lu\n", baud); }
void SerialPort::println(const char* text) { ::printf("%s\n", text); }
int SerialPort::printf(const char* format, ...) {
  va_list values;
  va_start(values, format);
  const int result = vprintf(format, values);
  va_end(values);
  return result;
}

void pinMode(int, int) {}
void delay(uint32_t) {}
bool psramFound() { return number("PSRAM", 0) != 0; }

esp_err_t esp_camera_init(const camera_config_t* config) {
  if (is_set("CAMERA", "fails")) return ESP_FAIL;
  const Size size = sizes[config->frame_size];
  const size_t bytes = size.width * size.height * (config->pixel_format == PIXFORMAT_GRAYSCALE ? 1 : 2);
  printf("camera %zux%zu in %s\n", size.width, size.height,
         config->fb_location == CAMERA_FB_IN_PSRAM ? "PSRAM" : "internal RAM");
  if (config->fb_location == CAMERA_FB_IN_PSRAM && !psramFound()) return ESP_FAIL;
  if (config->fb_location == CAMERA_FB_IN_DRAM && bytes > number("INTERNAL_BYTES", 110000)) return ESP_FAIL;
  pixels.resize(bytes);
  FILE* file = getenv("FRAME") == nullptr ? nullptr : fopen(getenv("FRAME"), "rb");
  if (file != nullptr) {
    if (fread(pixels.data(), 1, bytes, file) != bytes || fgetc(file) != EOF) {
      printf("the frame has another size\n");
      exit(1);
    }
    fclose(file);
  }
  frame = {pixels.data(), bytes, size.width, size.height, config->pixel_format};
  return ESP_OK;
}

camera_fb_t* esp_camera_fb_get() {
  if (is_set("CAMERA", "blind") || frame.buf == nullptr) return nullptr;
  // The real driver would wait for ever, because it has no frame to fill.
  if (frames_given != frames_returned) {
    printf("a frame was not returned\n");
    exit(1);
  }
  ++frames_given;
  return &frame;
}

void esp_camera_fb_return(camera_fb_t* given) {
  if (given != &frame) exit(1);
  ++frames_returned;
}

void* heap_caps_malloc(size_t bytes, uint32_t kinds) {
  const bool is_internal = (kinds & MALLOC_CAP_INTERNAL) != 0;
  if (is_internal ? bytes > number("INTERNAL_BYTES", 110000) : !psramFound()) return nullptr;
  ++(is_internal ? pieces_internal : pieces_psram);
  return malloc(bytes);
}

void heap_caps_free(void* memory) { free(memory); }

int main() {
  setup();
  const size_t loops = number("LOOPS", 1);
  for (size_t n = 0; n < loops; ++n) loop();
  printf("frames %u returned %u\n", frames_given, frames_returned);
  printf("pieces %u internal %u PSRAM\n", pieces_internal, pieces_psram);
  return 0;
}
