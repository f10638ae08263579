"""Turns a .tflite file into an Arduino library. Imports nothing of `block`, torch or TensorFlow."""
