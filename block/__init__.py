"""Trains an image network and exports models for a microcontroller."""

import os

# torch reads this once, when it is loaded. PASSIVE lets waiting threads sleep instead of spin. Spinning threads slow
# training ten times if other processes use the same cores (2133 ms a step, not 224 ms, with two cores and one busy).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Without this setting, CUDA's matrix products can differ between runs.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
