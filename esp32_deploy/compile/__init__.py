"""Compiles a .tflite file to C++ that streams rows: read, check, lower, plan, emit."""
