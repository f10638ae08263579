"""Proof that the compiled model says what TensorFlow Lite Micro says, and what both take."""
