// A stand-in for the operator resolver. It counts the operators and fails beyond its capacity.
#pragma once

#include <tensorflow/lite/micro/micro_interpreter.h>

namespace tflite {

template <unsigned Most>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return add(); }
  TfLiteStatus AddAveragePool2D() { return add(); }
  TfLiteStatus AddBatchMatMul() { return add(); }
  TfLiteStatus AddConv2D() { return add(); }
  TfLiteStatus AddDepthwiseConv2D() { return add(); }
  TfLiteStatus AddFullyConnected() { return add(); }
  TfLiteStatus AddLogistic() { return add(); }
  TfLiteStatus AddMaxPool2D() { return add(); }
  TfLiteStatus AddMean() { return add(); }
  TfLiteStatus AddPack() { return add(); }
  TfLiteStatus AddPad() { return add(); }
  TfLiteStatus AddQuantize() { return add(); }
  TfLiteStatus AddReshape() { return add(); }
  TfLiteStatus AddShape() { return add(); }
  TfLiteStatus AddSoftmax() { return add(); }
  TfLiteStatus AddStridedSlice() { return add(); }
  TfLiteStatus AddTranspose() { return add(); }

 private:
  TfLiteStatus add() { return ++added <= Most ? kTfLiteOk : kTfLiteError; }
};

}  // namespace tflite
