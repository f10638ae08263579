"""A .tflite in, an Arduino library out; imports nothing of the block, torch or TensorFlow."""
