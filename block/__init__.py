"""Features in, a trained and measured model for a microcontroller out."""

import os

# Read once, when torch is loaded. Threads that spin while they wait for each other stall training ten times over
# as soon as a container has fewer processors to itself than it sees (2133 against 224 ms a step, two cores, one busy).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# without it CUDA's matrix products may differ from run to run
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
