"""Converts torch to ONNX, SavedModel and TensorFlow Lite (float32, int8). Slow libraries are imported in functions."""

import contextlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from block.errors import BlockError
from block.model.tensorflow_compat import import_tensorflow
from esp32_deploy import pixels
from esp32_deploy.compile import graph
from esp32_deploy.compile.servable import INTERPRETED, STREAMED
from esp32_deploy.files import replacing

if TYPE_CHECKING:
    from torch import nn

ONNX_OPSET = 17
CALIBRATION_IMAGES = 200
ROUNDING_IMAGES = 48
# calibration pixels 0.0 and 1.0 give the input exactly these values; on a board int8 = pixel - 128
INPUT_SCALE, INPUT_ZERO_POINT = 1 / 255, -128
# onnx2tf 1 reads this file; without it, onnx2tf 1 downloads one
ONNX2TF_SAMPLES = (20, 128, 128, 3)
ONNX2TF_SAMPLES_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"


def calibration_images(features: np.ndarray, count: int = CALIBRATION_IMAGES) -> np.ndarray:
    """Images that set the int8 ranges: evenly spaced training images, then a black and a white one.

    `features` (N, H, W, C) are float32 0..1. Returns (at most count + 2, H, W, C).
    """
    rows = np.unique(np.linspace(0, len(features) - 1, min(count, len(features))).round().astype(int))
    black = np.zeros_like(features[:1])
    return np.concatenate([features[rows], black, np.ones_like(black)])


def to_onnx(network: "nn.Module", size: int, channels: int, path: Path) -> None:
    """Writes one ONNX file with its weights. Input: (1, channels, size, size) float32 0..1. Output: probabilities."""
    import onnx
    import onnxsim
    import torch

    network = network.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    example = torch.zeros(1, channels, size, size)
    with replacing(path) as temporary, warnings.catch_warnings():
        # hides the warning about the legacy exporter, which is used because its files are reproducible
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(temporary),
            dynamo=False,
            opset_version=ONNX_OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            external_data=False,
        )
        simplified, is_same = onnxsim.simplify(onnx.load(temporary))
        if not is_same:
            raise BlockError("onnxsim changed the outputs of the network. Please report this with your settings.")
        onnx.save(simplified, temporary)


def to_tflite_float32(onnx_path: Path, saved_model: Path, path: Path, samples: np.ndarray) -> None:
    """Converts model.onnx to a SavedModel folder and a float32 .tflite. `samples` (N, H, W, C) are real images.

    Raises BlockError if onnx2tf fails.
    """
    tf = import_tensorflow()
    import tf_keras

    # Keras numbers layers across the whole process and writes the numbers into the file; this resets them
    tf_keras.backend.clear_session()
    # onnx2tf overwrites its input file and reads its sample images from the working folder
    with _recursion_limit_kept(), tempfile.TemporaryDirectory() as scratch:
        import onnx2tf

        np.save(Path(scratch, ONNX2TF_SAMPLES_FILE), _onnx2tf_samples(samples))
        shutil.copyfile(onnx_path, Path(scratch, "model.onnx"))
        with contextlib.chdir(scratch):
            try:
                network = onnx2tf.convert(
                    input_onnx_file_path="model.onnx",
                    not_use_onnxsim=True,
                    output_signaturedefs=True,
                    # otherwise it writes the network several times, also as float16
                    disable_model_save=True,
                    non_verbose=True,
                    verbosity="error",
                    **_onnx2tf_options(),
                )
            except SystemExit as error:  # onnx2tf exits if it fails
                raise BlockError(f"onnx2tf could not convert {onnx_path}. --debug shows its output.") from error
    (image,) = network.inputs
    archive = tf_keras.export.ExportArchive()
    archive.add_endpoint("serving_default", network.__call__, [tf.TensorSpec(image.shape, image.dtype, image.name)])
    archive.write_out(str(saved_model))
    with replacing(path) as temporary:
        temporary.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())


def to_tflite_int8(saved_model: Path, path: Path, calibration: np.ndarray) -> None:
    """Quantizes a SavedModel to int8 with int8 input and output. `calibration` (N, H, W, C) is float32 0..1.

    Raises BlockError if a board cannot use the result.
    """
    tf = import_tensorflow()

    def representative_images() -> Iterator[list[np.ndarray]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_images
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with replacing(path) as temporary:
        temporary.write_bytes(converter.convert())
        check_for_board(temporary)


def check_for_board(path: Path) -> None:
    """Raises BlockError if a library cannot run an operator of the int8 model, or if its input is not pixel - 128."""
    model = graph.read(path)
    unsupported = sorted(set(model.operator_names) - STREAMED - INTERPRETED)
    if unsupported:
        raise BlockError(
            f"The int8 model contains operators that the board's code does not support: {', '.join(unsupported)}. "
            "Please report this with your settings."
        )
    image = model.inputs[0]
    if not np.allclose(image.scales, INPUT_SCALE, rtol=1e-6) or image.zero_points != (INPUT_ZERO_POINT,):
        raise BlockError(
            f"The int8 model's input has scale {image.scales} and zero point {image.zero_points}. The board needs "
            "1/255 and -128. Check that the calibration images include a black and a white one."
        )


@contextlib.contextmanager
def _recursion_limit_kept() -> Iterator[None]:
    """Restores Python's limit. onnx2tf removes it at its import. Without it, an endless recursion kills the process."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _onnx2tf_options() -> dict[str, Any]:
    """The option that only onnx2tf 2 has: its own converter leaves PAD, RELU and TRANSPOSE in, and int8 fails."""
    return {} if version("onnx2tf").startswith("1.") else {"tflite_backend": "tf_converter"}


def _onnx2tf_samples(samples: np.ndarray) -> np.ndarray:
    count, size, _, _ = ONNX2TF_SAMPLES
    bytes_rgb: np.ndarray = (np.resize(samples, (count, *samples.shape[1:])) * 255).round().astype(np.uint8)
    resized = [np.broadcast_to(pixels.resize(image, size, "squash"), (size, size, 3)) for image in bytes_rgb]
    return np.stack(resized).astype(np.float32) / 255
