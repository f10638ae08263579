"""The tables on the console: what went in, what came out."""

from block import console
from block.console import say, warn
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.measure.evaluate import Scores
from block.measure.footprint import Footprint

RUNTIME_NAMES = {
    "torch": "PyTorch, as trained",
    "onnx": "ONNX Runtime",
    "tflite_float32": "TensorFlow Lite float32",
    "tflm_int8": "TensorFlow Lite Micro int8",
}
# more lost accuracy than this in going to int8 is worth a warning
NOTABLE_DROP = 0.01


def describe_data(data: BlockData) -> None:
    """Images by class and split."""
    colour = "grayscale" if data.channels == 1 else "RGB"
    say(f"Data: {sum(map(len, data.splits.values()))} images of {data.size}x{data.size} px, {colour}")
    counts = {split: data.class_counts(split) for split in data.splits}
    rows = [[name, *(str(of_split[name]) for of_split in counts.values())] for name in data.classes]
    console.table([["class", *counts], *rows, ["all", *(str(len(split)) for split in data.splits.values())]])
    for name in data.classes:
        if not counts["train"][name]:
            warn(f"no training image shows {name!r}; the network cannot learn it.")


def describe_results(outputs: Outputs, scores: dict[str, dict[str, Scores]], costs: Footprint) -> None:
    """The table of scores, the memory, and what to do next."""
    for split, by_runtime in scores.items():
        images = next(iter(by_runtime.values())).images
        say()
        rows = [
            [RUNTIME_NAMES[runtime], f"{value.accuracy:.1%}", f"{value.loss:.4f}"]
            for runtime, value in by_runtime.items()
        ]
        console.table([[f"{split}, {images} images", "accuracy", "loss"], *rows])
        drop = by_runtime["torch"].accuracy - by_runtime["tflm_int8"].accuracy
        if drop > NOTABLE_DROP:
            warn(f"int8 loses {drop:.1%} accuracy on the {split} images.")
    say()
    say(
        f"On the board: {costs.macs / 1e6:.1f} M multiply-accumulates an image, model "
        f"{console.size_text(costs.model_bytes)} of flash, TensorFlow Lite Micro arena "
        f"{console.size_text(costs.tflm_arena_bytes)} of RAM"
    )
    say()
    say(f"Everything lies in {outputs.directory}:")
    say(f"  {outputs.tflite_int8.name} is the model for the board, {outputs.metrics.name} has all figures,")
    say(f"  {outputs.predictions.name} what it said about each image.")
