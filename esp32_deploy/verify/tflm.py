"""Runs TensorFlow Lite Micro on this machine, in a separate process, because some models crash its native code.

`python -m esp32_deploy.verify.tflm MODEL INPUTS.npy OUTPUTS.npy` is that process. It writes the outputs to a file and
the report of its memory allocator to standard error.

Where the package tflite-micro has no wheel, LiteRT's reference kernels take its place (`litert`).
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
from esp32_deploy.pixels import bytes_from_int8, int8_from_bytes
from esp32_deploy.verify import litert

# Much more than any supported network needs.
ARENA_BYTES = 32 * 1024 * 1024
SECONDS = 600
ARENA_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


class TflmError(DeployError):
    """TensorFlow Lite Micro cannot run the model."""


@dataclass(frozen=True)
class Interpretation:
    """TensorFlow Lite Micro's outputs, (N, ...) int8, and the model's smallest arena as its allocator reports it.

    The arena is None where LiteRT computed the outputs.
    """

    outputs: np.ndarray
    arena_bytes: int | None


def is_installed() -> bool:
    """Whether the package tflite-micro is there."""
    return find_spec("tflite_micro") is not None


def outputs(model: Path, inputs: np.ndarray) -> np.ndarray:
    """Outputs (N, ...) int8 for int8 inputs (N, height, width, channels). Raises TflmError."""
    return interpret(model, inputs).outputs


def arena_bytes(model: Path, shape: tuple[int, int, int]) -> int | None:
    """The smallest arena, in bytes, of a model with input `shape` (height, width, channels). Raises TflmError.

    None means that tflite-micro is not installed.
    """
    if not is_installed():
        return None
    return interpret(model, np.zeros((1, *shape), np.int8)).arena_bytes


def interpret(model: Path, inputs: np.ndarray) -> Interpretation:
    """Runs int8 inputs (N, height, width, channels), one after the other. Raises TflmError."""
    with TemporaryDirectory() as folder:
        inputs_path, outputs_path = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(inputs_path, inputs)
        command = [sys.executable, "-m", "esp32_deploy.verify.tflm", str(model), str(inputs_path), str(outputs_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode or not outputs_path.exists():
            reason = (
                "its process crashed. A depthwise convolution without a bias causes that"
                if done.returncode < 0
                else done.stderr.strip()[-500:]
            )
            raise TflmError(f"TensorFlow Lite Micro cannot run {model}: {reason}.")
        if not is_installed():
            return Interpretation(np.load(outputs_path), None)
        total = ARENA_TOTAL.search(done.stderr)
        if total is None:
            raise TflmError(f"TensorFlow Lite Micro's memory report has an unknown form: {done.stderr[-200:]!r}.")
        return Interpretation(np.load(outputs_path), int(total[1]))


def load(model: Path) -> Any:
    """Loads a model into an interpreter in this process. Raises RuntimeError or ValueError if it refuses the model."""
    if not is_installed():
        return litert.Reference(model)
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_file(str(model), arena_size=ARENA_BYTES)


def invoke(interpreter: Any, images: np.ndarray) -> np.ndarray:
    """Outputs (N, ...) int8 of a loaded interpreter for int8 inputs (N, height, width, channels).

    A model with uint8 ends takes the values + 128, and 128 is subtracted from what it gives.
    """
    takes_bytes = interpreter.get_input_details(0)["dtype"] == np.uint8
    outputs = []
    for image in bytes_from_int8(images) if takes_bytes else images:
        # The input must be set before every run, because invoke() reuses its memory.
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).copy())
    joined = np.concatenate(outputs)
    return int8_from_bytes(joined) if joined.dtype == np.uint8 else joined


def _main(model: str, inputs_path: str, outputs_path: str) -> None:
    interpreter = load(Path(model))
    results = invoke(interpreter, np.load(inputs_path))
    if is_installed():
        interpreter.print_allocations()
    np.save(outputs_path, results)


if __name__ == "__main__":
    _main(*sys.argv[1:])
