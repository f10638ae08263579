"""Prints the tables of a run on the console: its data, its scores and the costs on a board."""

from collections.abc import Mapping
from typing import Any

from block import console
from block.console import say, warn
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.facts import Calibration, OperatingPoint
from block.measure.footprint import Footprint
from block.report.data_checks import alike_warnings
from block.report.results import SplitScores
from block.words import FLOAT32, INT8, RUNTIME_NAMES
from esp32_deploy.arduino import boards, library
from esp32_deploy.words import FIGURES, Task, colour_of

COLOUR_WORDS = {"rgb": "RGB", "grayscale": "grayscale"}
NOT_MEASURED = "not measured here"
# A larger drop of the main figure from float32 to int8 causes a warning.
NOTABLE_DROP = 0.01
# below this share of the sound F1, Edge Impulse's F1 is worth a warning
STUDIO_SHARE = 0.5


def describe_data(data: BlockData) -> None:
    """Prints the number of images, or of their objects, by class and split. Warns about unusable data."""
    detects = data.task == "detection"
    colour = COLOUR_WORDS[colour_of(data.channels)]
    say(f"Data: {sum(map(len, data.splits.values()))} images of {data.size}x{data.size} px, {colour}, for {data.task}")
    counts = {split: data.class_counts(split) for split in data.splits}
    rows = [[name, *(str(of_split[name]) for of_split in counts.values())] for name in data.classes]
    if detects:
        rows.append(["images without objects", *(str(data.background_images(split)) for split in data.splits)])
    totals = ["images" if detects else "all", *(str(len(split)) for split in data.splits.values())]
    console.table([["objects" if detects else "class", *counts], *rows, totals])
    for text in (*data.warnings, *alike_warnings(counts)):
        warn(text)
    if data.dropped_boxes:
        warn(f"{data.dropped_boxes} boxes were left out, because they are under a pixel or lie outside their image.")
    for name in data.classes:
        if not counts["train"][name]:
            warn(f"no training image shows {name!r}. The network cannot learn this class.")
    if detects and not any(counts["validation"].values()):
        warn(
            "no validation image has a labelled object. The loss alone chooses the best epoch. F1 and threshold mean "
            "nothing. Label objects in some validation images."
        )


def describe_results(
    task: Task,
    library_name: str,
    outputs: Outputs,
    operating: OperatingPoint,
    scores: SplitScores,
    costs: Footprint,
) -> None:
    """Prints the tables of scores, the costs on a board, and the next commands."""
    figures = FIGURES[task]
    main = figures[0]
    for split, by_runtime in scores.items():
        say()
        rows = [
            [RUNTIME_NAMES[runtime], *(figure.text(getattr(value, figure.name)) for figure in figures)]
            for runtime, value in by_runtime.items()
        ]
        head = [f"{split}, {by_runtime[INT8].images} images", *(figure.title for figure in figures)]
        console.table([head, *rows])
        drop = getattr(by_runtime[FLOAT32], main.name) - getattr(by_runtime[INT8], main.name)
        if drop > NOTABLE_DROP:
            warn(f"quantization to int8 lowers {main.title} by {drop:.1%} on the {split} images.")
        if task == "detection" and (warning := studio_warning(by_runtime[INT8].f1, by_runtime[INT8].ei_f1)):
            warn(warning)
    say()
    if operating.calibration:
        describe_calibration(operating.calibration)
    describe_costs(costs)
    say()
    describe_next(library_name, outputs)


def studio_warning(f1: float, ei_f1: float) -> str | None:
    """What to do where Edge Impulse's decoder, with its threshold of 0.5, finds less than half as much."""
    if ei_f1 >= STUDIO_SHARE * f1:
        return None
    return (
        f"Edge Impulse Studio would count an F1 of only {ei_f1:.3f} for this model, because it joins touching cells of "
        "at least 0.5. For a model that runs in Studio, train with --decode fuse."
    )


def describe_calibration(calibration: Calibration) -> None:
    """Prints how honest a classifier's confidence is, before and after its temperature."""
    say(
        f"Confidence: temperature {calibration.temperature:.2f}; expected calibration error "
        f"{calibration.error_before:.1%} before and {calibration.error_after:.1%} after, "
        f"on {calibration.images} validation images"
    )


def describe_costs(footprint: Footprint) -> None:
    """Prints the computation and memory that the model needs on a board."""
    costs = footprint.as_dict()
    ram, flash = ram_text(costs), console.size_text(flash_bytes(costs))
    work = f"{footprint.macs / 1e6:.1f} M multiply-accumulates per image"
    say(f"On the board: {work}, {ram} of RAM, {flash} of flash for weights. The model {board_text(costs)}")
    if footprint.tflm_arena_bytes is None:
        say(f"  TensorFlow Lite Micro's arena: {NOT_MEASURED}, because tflite-micro is only made for Linux on x86-64")
    elif footprint.stream:
        arena, model = console.size_text(footprint.tflm_arena_bytes), console.size_text(footprint.model_bytes)
        say(f"  TensorFlow Lite Micro would need an arena of {arena} in one piece, and {model} of flash")


def describe_next(library_name: str, outputs: Outputs) -> None:
    """Prints where the results are, and the next commands."""
    say(f"All results are in {outputs.directory}. metrics.json has all figures. Next:")
    if outputs.report.exists():
        say(f"  see the results                open {outputs.report} in a browser")
    model = outputs.tflite_int8
    say(
        f"  try it on your own photos      {console.command('-m', 'block', 'predict', model, 'PHOTO', '--out', 'seen')}"
    )
    library = outputs.library(library_name)
    if library.exists():
        say(f"  put it on the board            add {library} in the Arduino IDE: Sketch, Include Library, Add .ZIP")
    say(f"  see the costs of each layer    {console.command('-m', 'esp32_deploy', 'inspect', model)}")


def flash_bytes(costs: Mapping[str, Any]) -> int:
    """Flash of the library for weights in bytes. `costs` is "footprint" of metrics.json."""
    return int(costs["stream"]["constant_bytes"] if costs["stream"] else costs["model_bytes"])


def ram_bytes(costs: Mapping[str, Any]) -> int | None:
    """RAM of the library on a board in bytes, without code, stack and the camera's frame.

    If `costs` has no "stream", the library uses TensorFlow Lite Micro. None means that its arena was not measured.
    """
    pieces = _pieces(costs)
    return sum(pieces) + int(costs["frame_reader_bytes"]) if pieces else None


def ram_text(costs: Mapping[str, Any]) -> str:
    """RAM of the library on a board as text, such as "22 KB"."""
    ram = ram_bytes(costs)
    return NOT_MEASURED if ram is None else console.size_text(ram)


def board_text(costs: Mapping[str, Any]) -> str:
    """Whether the model and the camera's frame fit an ESP32, as the end of a sentence about the model."""
    ram = ram_bytes(costs)
    if ram is None:
        return "needs TensorFlow Lite Micro on the board, whose arena was not measured here"
    if boards.fits_without_psram((*_pieces(costs), costs["camera_frame_bytes"]), costs["frame_reader_bytes"]):
        return "fits the internal memory of any ESP32 and needs no PSRAM"
    return "needs a board with PSRAM" if ram <= boards.PSRAM_BYTES else "is too large for an ESP32"


def _pieces(costs: Mapping[str, Any]) -> list[int]:
    """Sizes in bytes of the memory blocks that the model allocates on a board. Empty if they were not measured."""
    if costs["stream"]:
        return list(costs["stream"]["segments_bytes"])
    arena = costs["tflm_arena_bytes"]
    return [] if arena is None else [library.arena_memory_bytes(arena)]
