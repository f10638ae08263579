"""The tables on the console: what went in, what came out."""

from collections.abc import Mapping
from typing import Any

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
# the largest piece of memory that an ESP32 gives at once, and the PSRAM of the boards that have some
INTERNAL_BYTES, PSRAM_BYTES = 110 * 1024, 4 * 1024**2


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
    describe_costs(costs)
    say()
    describe_next(outputs)


def describe_costs(footprint: Footprint) -> None:
    """What the model takes on a board, streamed and under TensorFlow Lite Micro."""
    costs = footprint.as_dict()
    ram, flash = map(console.size_text, memory_bytes(costs))
    work = f"{footprint.macs / 1e6:.1f} M multiply-accumulates an image"
    say(f"On the board: {work}, {ram} of RAM, {flash} of flash for weights: {board_text(costs)}")
    if footprint.stream:
        arena, model = console.size_text(footprint.tflm_arena_bytes), console.size_text(footprint.model_bytes)
        say(f"  TensorFlow Lite Micro would take an arena of {arena} in one piece, and {model} of flash")


def describe_next(outputs: Outputs) -> None:
    """What lies where, and the commands that one would give next."""
    say(f"Everything lies in {outputs.directory}; metrics.json has all figures. Next:")
    if outputs.report.exists():
        say(f"  see what was learned           open {outputs.report} in a browser")
    model = outputs.tflite_int8
    say(
        f"  draw it on photos of yours     {console.command('-m', 'block', 'predict', model, 'PHOTO', '--out', 'seen')}"
    )
    say(f"  see what it costs, by layer    {console.command('-m', 'esp32_deploy', 'inspect', model)}")


def memory_bytes(costs: Mapping[str, Any]) -> tuple[int, int]:
    """RAM and flash of the model on a board, without code: as streamed rows, or else under TensorFlow Lite Micro."""
    stream = costs["stream"]
    if stream:
        return stream["ram_bytes"], stream["constant_bytes"]
    return costs["tflm_arena_bytes"], costs["model_bytes"]


def board_text(costs: Mapping[str, Any]) -> str:
    """Which memory of an ESP32 the model fits."""
    ram, _ = memory_bytes(costs)
    if ram <= INTERNAL_BYTES:
        return "fits the internal memory of any ESP32, no PSRAM needed"
    if ram <= PSRAM_BYTES:
        return "needs a board with PSRAM"
    return "too large for an ESP32"
