// A stand-in for TensorFlow Lite Micro's interpreter. The test defines `stand_in_run`, which computes the outputs.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <tensorflow/lite/schema/schema_generated.h>

enum TfLiteStatus { kTfLiteOk, kTfLiteError };
enum TfLiteType { kTfLiteNoType, kTfLiteFloat32, kTfLiteUInt8 = 3, kTfLiteInt8 = 9 };

// The type of the model's ends.
#ifndef STAND_IN_TYPE
#define STAND_IN_TYPE kTfLiteInt8
#endif

struct TfLiteIntArray {
  int size;
  int data[4];
};

struct TfLiteTensor {
  TfLiteType type;
  union {
    int8_t* int8;
    uint8_t* uint8;
  } data;
  TfLiteIntArray* dims;
};

extern TfLiteIntArray stand_in_input_shape;
extern TfLiteIntArray stand_in_output_shape;
extern const size_t stand_in_arena_bytes;
bool stand_in_run(const int8_t* input, int8_t* output);

namespace tflite {

class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() = default;
  unsigned added = 0;
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& operators, uint8_t* arena, size_t arena_bytes)
      : model_(model), operators_(operators), arena_(arena), arena_bytes_(arena_bytes) {}

  TfLiteStatus AllocateTensors() {
    if (model_ == nullptr || operators_.added == 0 || arena_bytes_ < stand_in_arena_bytes) return kTfLiteError;
    input_ = {STAND_IN_TYPE, {reinterpret_cast<int8_t*>(arena_)}, &stand_in_input_shape};
    // As in the real interpreter, the output may overwrite the input.
    output_ = {STAND_IN_TYPE, {reinterpret_cast<int8_t*>(arena_)}, &stand_in_output_shape};
    return kTfLiteOk;
  }

  TfLiteTensor* input(size_t) { return &input_; }
  TfLiteTensor* output(size_t) { return &output_; }
  TfLiteStatus Invoke() { return stand_in_run(input_.data.int8, output_.data.int8) ? kTfLiteOk : kTfLiteError; }

 private:
  const Model* model_;
  const MicroOpResolver& operators_;
  uint8_t* arena_;
  size_t arena_bytes_;
  TfLiteTensor input_ = {};
  TfLiteTensor output_ = {};
};

}  // namespace tflite
