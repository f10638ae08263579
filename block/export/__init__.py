"""Exports the network to ONNX and TensorFlow Lite, and runs the exported files."""
