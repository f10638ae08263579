"""The tables on the console: what went in, what came out."""

from block import console
from block.console import say, warn
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.measure.footprint import Footprint
from block.report.results import FLOAT32, INT8, SplitScores

RUNTIME_NAMES = {
    "torch": "PyTorch, as trained",
    "onnx": "ONNX Runtime",
    "tflite_float32": "TensorFlow Lite float32",
    "tflm_int8": "TensorFlow Lite Micro int8",
}
# what is shown of each runtime, the first is what a model is judged by
CLASS_FIGURES = {"accuracy": "{:.1%}", "loss": "{:.4f}"}
OBJECT_FIGURES = {"f1": "{:.3f}", "precision": "{:.3f}", "recall": "{:.3f}", "ei_f1": "{:.3f}", "count_error": "{:.2f}"}
# more lost accuracy than this in going to int8 is worth a warning
NOTABLE_DROP = 0.01


def describe_data(data: BlockData) -> None:
    """Images, or objects on them, by class and split."""
    detects = data.task == "detection"
    colour = "grayscale" if data.channels == 1 else "RGB"
    say(f"Data: {sum(map(len, data.splits.values()))} images of {data.size}x{data.size} px, {colour}, for {data.task}")
    counts = {split: data.class_counts(split) for split in data.splits}
    rows = [[name, *(str(of_split[name]) for of_split in counts.values())] for name in data.classes]
    if detects:
        rows.append(["images without", *(str(data.background_images(split)) for split in data.splits)])
    totals = ["images" if detects else "all", *(str(len(split)) for split in data.splits.values())]
    console.table([["objects" if detects else "class", *counts], *rows, totals])
    if data.dropped_boxes:
        warn(f"{data.dropped_boxes} boxes have no area inside their image and were left out.")
    for name in data.classes:
        if not counts["train"][name]:
            warn(f"no training image shows {name!r}; the network cannot learn it.")


def describe_results(outputs: Outputs, scores: SplitScores, costs: Footprint) -> None:
    """The table of scores, the memory, and what to do next."""
    for split, by_runtime in scores.items():
        say()
        columns = CLASS_FIGURES if hasattr(by_runtime[INT8], "accuracy") else OBJECT_FIGURES
        rows = [
            [RUNTIME_NAMES[runtime], *(text.format(getattr(value, name)) for name, text in columns.items())]
            for runtime, value in by_runtime.items()
        ]
        head = [f"{split}, {by_runtime[INT8].images} images", *(name.replace("_", " ") for name in columns)]
        console.table([head, *rows])
        main = next(iter(columns))
        drop = getattr(by_runtime[FLOAT32], main) - getattr(by_runtime[INT8], main)
        if drop > NOTABLE_DROP:
            warn(f"int8 loses {drop:.1%} {main} on the {split} images.")
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
