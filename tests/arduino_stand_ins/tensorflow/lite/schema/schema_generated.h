// A stand-in for the file format: a model is the file's bytes.
#pragma once

#include <string.h>

#ifndef ARDUINOSTL_M_H
#error "flatbuffers would include utility.h, which the esp32 core does not have"
#endif

namespace tflite {

struct Model {};

inline const Model* GetModel(const void* file) {
  return memcmp(static_cast<const char*>(file) + 4, "TFL3", 4) == 0 ? static_cast<const Model*>(file) : nullptr;
}

}  // namespace tflite
