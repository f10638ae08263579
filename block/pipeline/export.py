"""The export stages of a run: from weights.pt to model.onnx, model.tflite and model_quantized_int8_io.tflite."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from block import console
from block.console import say
from block.pipeline import checkpoint, stopping
from block.pipeline.run import Run

if TYPE_CHECKING:
    from torch import nn

STAGES = ONNX, FLOAT32, INT8 = ("ONNX", "TensorFlow Lite float32", "TensorFlow Lite int8")
# After SIGTERM the TensorFlow Lite files are made only if more time is left. Importing TensorFlow alone takes 5 s.
TFLITE_SECONDS = 20.0


def export_onnx(run: Run, network: "nn.Module", stages: console.Stages) -> None:
    """Writes model.onnx: the trained network with a softmax, its weights rounded to values that int8 can represent."""
    from block.export import convert, rounding
    from block.model.network import WithSoftmax

    data, outputs = run.data, run.outputs
    with stages.run(ONNX) as notes, console.foreign_output_hidden(run.debug):
        images = convert.calibration_images(data.train.features, convert.ROUNDING_IMAGES)
        rounded = rounding.with_int8_weights(network, images)
        convert.to_onnx(WithSoftmax(rounded), data.size, data.channels, outputs.onnx)
        notes.append(console.size_text(outputs.onnx.stat().st_size))


def export_tflite(run: Run, stages: console.Stages) -> None:
    """Converts model.onnx to model.tflite and model_quantized_int8_io.tflite."""
    from block.export import convert

    data, outputs = run.data, run.outputs
    calibration = convert.calibration_images(data.train.features)
    with TemporaryDirectory() as folder:
        saved_model = Path(folder) / "saved_model"
        with stages.run(FLOAT32) as notes, console.foreign_output_hidden(run.debug):
            convert.to_tflite_float32(outputs.onnx, saved_model, outputs.tflite_float32, calibration)
            notes.append(console.size_text(outputs.tflite_float32.stat().st_size))
        with stages.run(INT8) as notes, console.foreign_output_hidden(run.debug):
            convert.to_tflite_int8(saved_model, outputs.tflite_int8, calibration)
            notes.append(console.size_text(outputs.tflite_int8.stat().st_size))


def finish_early(run: Run, stop: stopping.Stop) -> None:
    """Ends a stopped run: exports as many models of the best epoch as time allows, and lists the files."""
    outputs = run.outputs
    say(f"{stop.reason}: keeping the best epoch")
    if not stop.is_ctrl_c:
        _export_in_time(run, stop)
    models = (outputs.weights, outputs.onnx, outputs.tflite_float32, outputs.tflite_int8)
    say(f"Files in {outputs.directory}: {', '.join(path.name for path in models if path.exists())}")
    say(f"To finish the run: {console.command('-m', 'block', 'convert', outputs.directory)}")


def _export_in_time(run: Run, stop: stopping.Stop) -> None:
    outputs, stages = run.outputs, console.Stages(STAGES)
    if not outputs.onnx.exists():
        # choosing the operating point takes longer than `docker stop` waits
        export_onnx(run, checkpoint.load_weights(run)[0], stages)
        say(f"{outputs.onnx.name} is the network as trained, without its operating point")
    if not outputs.tflite_int8.exists() and stop.seconds_left > TFLITE_SECONDS:
        export_tflite(run, stages)
