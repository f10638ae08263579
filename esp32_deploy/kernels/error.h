// Errors between a frame and a result, and what to do about each.
#pragma once

#include <stdint.h>

namespace esp32_deploy {

enum class Error : uint8_t {
  none,
  out_of_memory,
  arena_too_small,
  unknown_operator,
  model_mismatch,
  not_begun,
  no_frame,
  frame_too_large,
  inference_failed,
};

inline const char* text(Error error) {
  switch (error) {
    case Error::none:
      return "no error";
    case Error::out_of_memory:
      return "not enough memory: call begin() before the camera and Wi-Fi start, switch PSRAM on, or train a smaller "
             "network";
    case Error::arena_too_small:
      return "the interpreter needs more memory than was measured: make the library again with the stream runtime";
    case Error::unknown_operator:
      return "the core's interpreter lacks an operator: update the esp32 core, or use the stream runtime";
    case Error::model_mismatch:
      return "the model's input or output is not what the library was made for: make the library again";
    case Error::not_begun:
      return "begin() was not called, or failed";
    case Error::no_frame:
      return "there is no frame, or one without pixels";
    case Error::frame_too_large:
      return "the frame has more than 16 million pixels, or a side of more than 65,535";
    case Error::inference_failed:
      return "the interpreter failed";
  }
  return "unknown error";
}

}  // namespace esp32_deploy
