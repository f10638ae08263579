"""One `predict(images)` for each runtime, so that one evaluation serves them all.

Images are (N, H, W, C) float32 in 0..1 whatever the runtime wants inside; probabilities come back as float32,
(N, classes). Each runtime is imported when it is asked for.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from block.errors import BlockError
from esp32_deploy.verify import tflm

if TYPE_CHECKING:
    from torch import nn

Predict = Callable[[np.ndarray], np.ndarray]


def torch_predict(network: "nn.Module") -> Predict:
    """Runs a network that gives probabilities, such as WithSoftmax, on the CPU."""
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
    """Runs the int8 model with TensorFlow Lite Micro's reference kernels: what a board computes, bit for bit."""
    interpreter = tflm_interpreter(path)
    image_details, output_details = interpreter.get_input_details(0), interpreter.get_output_details(0)

    def predict(images: np.ndarray) -> np.ndarray:
        return dequantize(tflm.invoke(interpreter, quantize(images, image_details)), output_details)

    return predict


def tflm_interpreter(path: Path) -> Any:
    """TensorFlow Lite Micro's interpreter on a model file; raises BlockError when it refuses the model."""
    with captured_stderr() as stderr:
        try:
            return tflm.load(path)
        except (RuntimeError, ValueError) as error:
            reason = stderr() or str(error)
    raise BlockError(f"TensorFlow Lite Micro cannot run {path}: {reason.strip()}")


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Catches what native code writes to standard error; the value gives the text so far."""
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


def quantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Float32 to the int8 of a tensor: round(value / scale) + zero point, halves to even, clamped."""
    scale, zero_point = _scale_and_zero_point(details)
    return np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)


def dequantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """int8 of a tensor to float32: (value - zero point) * scale."""
    scale, zero_point = _scale_and_zero_point(details)
    return (values.astype(np.float32) - zero_point) * scale


def _scale_and_zero_point(details: dict[str, Any]) -> tuple[np.float32, int]:
    parameters = details["quantization_parameters"]
    return np.float32(parameters["scales"][0]), int(parameters["zero_points"][0])


def _nchw(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
