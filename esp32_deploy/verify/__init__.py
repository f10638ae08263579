"""Compares a compiled model's outputs with TensorFlow Lite Micro's, and measures memory and instructions."""
