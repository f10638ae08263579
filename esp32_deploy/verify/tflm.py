"""TensorFlow Lite Micro on this machine, in a process of its own: native code that some models bring down.

`python -m esp32_deploy.verify.tflm MODEL INPUTS.npy OUTPUTS.npy` is that process. It writes outputs, and its
allocator's report to standard error.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from esp32_deploy.errors import DeployError

# far more than any supported network needs
ARENA_BYTES = 32 * 1024 * 1024
SECONDS = 600
ARENA_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


class TflmError(DeployError):
    """TensorFlow Lite Micro is missing, or does not run a model."""


@dataclass(frozen=True)
class Interpretation:
    """What it gave, (N, ...) int8, and the smallest arena that serves the model, as its own allocator reports it."""

    outputs: np.ndarray
    arena_bytes: int


def outputs(model: Path, inputs: np.ndarray) -> np.ndarray:
    """What it gives on int8 inputs (N, height, width, channels), (N, ...) int8; raises TflmError."""
    return interpret(model, inputs).outputs


def arena_bytes(model: Path, shape: tuple[int, int, int]) -> int:
    """The smallest arena that serves a model of images (height, width, channels); raises TflmError."""
    return interpret(model, np.zeros((1, *shape), np.int8)).arena_bytes


def interpret(model: Path, inputs: np.ndarray) -> Interpretation:
    """Runs int8 inputs (N, height, width, channels), one after the other; raises TflmError."""
    if find_spec("tflite_micro") is None:
        raise TflmError("The package tflite-micro is missing; it is what outputs are compared with.")
    with TemporaryDirectory() as folder:
        inputs_path, outputs_path = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(inputs_path, inputs)
        command = [sys.executable, "-m", "esp32_deploy.verify.tflm", str(model), str(inputs_path), str(outputs_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode or not outputs_path.exists():
            reason = (
                "it was brought down by the model (a depthwise convolution without a bias does that)"
                if done.returncode < 0
                else done.stderr.strip()[-500:]
            )
            raise TflmError(f"TensorFlow Lite Micro does not run {model}: {reason}.")
        total = ARENA_TOTAL.search(done.stderr)
        if total is None:
            raise TflmError(f"TensorFlow Lite Micro reported its memory in an unknown form: {done.stderr[-200:]!r}.")
        return Interpretation(np.load(outputs_path), int(total[1]))


def load(model: Path) -> Any:
    """The interpreter with a model, in this process; raises RuntimeError or ValueError when it refuses the model."""
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_file(str(model), arena_size=ARENA_BYTES)


def invoke(interpreter: Any, images: np.ndarray) -> np.ndarray:
    """Outputs (N, ...) of a loaded interpreter for inputs (N, height, width, channels) of the model's own type."""
    outputs = []
    for image in images:
        # invoking reuses the input's memory: it must be set again every time
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).copy())
    return np.concatenate(outputs)


def _main(model: str, inputs_path: str, outputs_path: str) -> None:
    interpreter = load(Path(model))
    results = invoke(interpreter, np.load(inputs_path))
    interpreter.print_allocations()
    np.save(outputs_path, results)


if __name__ == "__main__":
    _main(*sys.argv[1:])
