"""One function `predict(images)` for each runtime, so that all runtimes are evaluated in the same way.

Images are (N, H, W, C) float32 in 0..1 for every runtime. Probabilities are float32: (N, classes), or grids
(N, H/cell, W/cell, 1 + classes) from a detector. Each runtime is imported only when it is used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from block.errors import BlockError
from esp32_deploy.pixels import INT8_OFFSET, int8_from_shares
from esp32_deploy.verify import tflm

if TYPE_CHECKING:
    from torch import nn

Predict = Callable[[np.ndarray], np.ndarray]


def torch_predict(network: "nn.Module") -> Predict:
    """Runs a network that outputs probabilities, such as WithSoftmax, on the CPU."""
    import torch

    network = network.cpu().eval()

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(_nchw(images))).numpy()

    return predict


def onnx_predict(path: Path) -> Predict:
    """Runs model.onnx, one image at a time, with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(images: np.ndarray) -> np.ndarray:
        return np.concatenate([session.run(None, {name: image[np.newaxis]})[0] for image in _nchw(images)])

    return predict


def tflite_float32_predict(path: Path) -> Predict:
    """Runs model.tflite, one image at a time, with TensorFlow Lite's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]

    def predict(images: np.ndarray) -> np.ndarray:
        outputs = []
        for image in images:
            interpreter.set_tensor(input_index, image[np.newaxis])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(output_index))
        return np.concatenate(outputs)

    return predict


def tflm_predict(path: Path) -> Predict:
    """Runs the int8 model with TensorFlow Lite Micro's reference kernels. A board computes the same, bit for bit.

    The model's input is pixel - 128, as on the board.
    """
    interpreter = tflm_interpreter(path)
    details = interpreter.get_output_details(0)

    def predict(images: np.ndarray) -> np.ndarray:
        return dequantize(tflm.invoke(interpreter, int8_from_shares(images)), details)

    return predict


def tflm_interpreter(path: Path) -> Any:
    """Loads a model file into TensorFlow Lite Micro's interpreter. Raises BlockError if it refuses the model."""
    with captured_stderr() as stderr:
        try:
            return tflm.load(path)
        except (RuntimeError, ValueError) as error:
            reason = stderr() or str(error)
    raise BlockError(f"TensorFlow Lite Micro cannot run {path}: {reason.strip()}")


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Captures what native code writes to standard error. Yields a function that returns the text so far."""
    with TemporaryFile() as file:

        def text() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def dequantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Converts a tensor's int8, or its uint8 - 128, to float32: (value - zero point) * scale."""
    parameters = details["quantization_parameters"]
    zero_point = int(parameters["zero_points"][0]) - (INT8_OFFSET if details["dtype"] == np.uint8 else 0)
    return (values.astype(np.float32) - zero_point) * np.float32(parameters["scales"][0])


def _nchw(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
