"""Imports TensorFlow: quietly, with reproducible kernels, and beside a PyTorch for CUDA."""

import importlib
import os
from importlib.util import find_spec
from types import ModuleType


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow, which takes seconds. Its native libraries read the variables when they are loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # PyTorch for CUDA brings triton. Imported after TensorFlow 2.21, triton 3.7.1 kills the process (signal 11).
    if find_spec("triton"):
        importlib.import_module("triton")
    return importlib.import_module("tensorflow")
