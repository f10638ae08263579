"""An Arduino library around a model: `package` writes the zip that the Arduino IDE takes.

Everything in it follows from the .tflite, deploy.json and the choices made: the same zip, byte for byte.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esp32_deploy import arduino_rules, boards, compiler, emit, recording, servable, tflm
from esp32_deploy import graph as graphs
from esp32_deploy import manifest as manifests
from esp32_deploy.arduino_rules import LibraryError
from esp32_deploy.arithmetic import SoftmaxScaling, softmax_scaling
from esp32_deploy.boards import BOARDS
from esp32_deploy.graph import Graph, Tensor
from esp32_deploy.manifest import COLOUR_CHANNELS, Manifest, Task

Runtime = Literal["stream", "tflm"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
DEFAULT_BOARD = "ai-thinker"
DEFAULT_NAME = "vision_model"
DEFAULT_DECODE: manifests.Decode = "peaks"
# a centre cut out of the frame is neither squeezed nor framed: right enough for images whose making is not known
UNKNOWN_RESIZE = "crop"

# of a manifest's figures, those that say how good the network is
QUALITY_FIGURES = ("accuracy", "loss", "f1", "precision", "recall")

LIBRARY_VERSION = "1.0.0"
AUTHOR = "The ESP32 vision block contributors"
URL = "https://docs.espressif.com/projects/arduino-esp32/en/latest/libraries.html"
TEMPLATES = Path(__file__).parent / "templates" / "library"

MOST_DETECTIONS = 64
SUM_BYTES = 4
"""Of kernels/pixels.h; three for a pixel."""
ARENA_MARGIN = 8
"""One part in so many is added to the arena measured here: kernels differ by processor."""
ARENA_ALIGNMENT_BYTES = 16

# of zip's own calendar: a library made later is not another one
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
ZIP_FILE_MODE = 0o644
UNIX = 3

# how TensorFlow Lite Micro's resolver calls an operator, where it is not the words of its name
RESOLVER_METHODS = {"PADV2": "AddPadV2"}
# of a model's input: pixel p is int8 p - 128, give or take this much
PIXEL_TOLERANCE = 1
# TensorFlow Lite's softmax takes no finer steps between logits
FINEST_LOGITS = 2**-26


@dataclass(frozen=True)
class Package:
    """A library that was written, and what it takes on a board."""

    path: Path
    name: str
    files: int
    zip_bytes: int
    memory_bytes: int
    """What begin() allocates: rows, or the interpreter's arena."""
    frame_bytes: int
    """Of the frame that the Camera sketch asks for without PSRAM."""


def package(
    model: Path,
    out: Path,
    manifest: Manifest | None = None,
    *,
    runtime: Runtime = "stream",
    board: str = DEFAULT_BOARD,
    samples: np.ndarray | None = None,
) -> Package:
    """Writes the Arduino library of an int8 .tflite as the zip `out`.

    `manifest` says what the model does not (labels, how images were made square, threshold, figures); without one,
    deploy.json or labels.txt beside the model. `samples` (N, height, width, channels), float in 0..1, uint8 or int8,
    are what the self-test runs; without them, seeded patterns. At the end of a training run:

        package(outputs.tflite_int8, out_directory / f"{settings.library_name}.zip", samples=validation.features)

    Raises GraphError for a model that cannot be served, ManifestError, SamplesError or LibraryError for what does not
    fit it, and TflmError where TensorFlow Lite Micro, whose outputs the self-test expects, does not run. All but
    TflmError are ValueErrors. `out` is written whole or not at all.
    """
    if board not in BOARDS:
        raise LibraryError(f"Board {board!r} is not known; choose from {', '.join(BOARDS)}.")
    graph = graphs.read(model)
    (servable.check if runtime == "stream" else servable.check_ends)(graph)
    complete = resolved(graph, manifests.beside(model) if manifest is None else manifest)
    name = complete.name or DEFAULT_NAME
    arduino_rules.check_name(name)
    shape = _shape(graph.inputs[0])
    recorded = recording.record(samples, shape)
    measured = tflm.run(model, recorded.images)
    values = _values(graph, complete, name, board) | {"runtime": runtime, "arena_bytes": measured.arena_bytes}
    if runtime == "stream":
        compiled = compiler.compile_file(model, name)
        sources, memory = dict(compiled.source.files), sum(compiled.schedule.segments)
        values |= {"segments": compiled.schedule.segments, "constant_bytes": compiled.source.constant_bytes}
    else:
        memory = _arena_bytes(measured.arena_bytes)
        values |= {"segments": (memory,), "constant_bytes": graph.file_bytes}
        sources = _interpreter_sources(graph, model, values | {"segment_bytes": memory})
    values |= {"memory_bytes": memory, "origin": recorded.origin}
    values |= {"inputs": _as_bytes(recorded.images), "outputs": _as_bytes(measured.outputs)}
    texts = _texts(name, values, sources)
    contents = {path: text.encode() for path, text in texts.items()}
    contents[f"extras/{name}.tflite"] = model.read_bytes()
    arduino_rules.check(name, contents)
    content = _zipped(name, contents)
    temporary = out.with_name(f"{out.name}.part")
    temporary.write_bytes(content)
    temporary.replace(out)
    return Package(out, name, len(contents), len(content), memory, values["small_bytes"])


def frame_reader_bytes(shape: tuple[int, int, int]) -> int:
    """What the library's object holds beside the network: a row of sums and a row of the input."""
    _, width, channels = shape
    return width * (3 * SUM_BYTES + channels)


def resolved(graph: Graph, manifest: Manifest) -> Manifest:
    """A manifest that says everything, defaults included; raises LibraryError where it contradicts the model."""
    height, width, channels = _shape(graph.inputs[0])
    if height != width or channels not in COLOUR_CHANNELS.values():
        raise LibraryError(
            f"The model takes images of {width} x {height} px and {channels} channels; a camera's frames become square "
            "and have 1 or 3."
        )
    _check_input(graph.inputs[0])
    rows, columns, outputs = _shape(graph.outputs[0])
    task: Task = "detection" if rows * columns > 1 else "classification"
    if manifest.task not in (None, task):
        raise LibraryError(
            f"The manifest says {manifest.task}, but the model gives {rows} x {columns} cells: is it another model's?"
        )
    if task == "detection" and (width % columns or height // rows != width // columns):
        raise LibraryError(
            f"The model's grid of {columns} x {rows} cells does not divide {width} x {height} px evenly."
        )
    _softmax(graph.outputs[0], task)
    colour = next(name for name, count in COLOUR_CHANNELS.items() if count == channels)
    if manifest.colour not in (None, colour):
        raise LibraryError(f"The manifest says {manifest.colour}, but the model takes {channels} channels.")
    return replace(
        manifest,
        task=task,
        colour=colour,
        labels=_labels(manifest, outputs - (1 if task == "detection" else 0)),
        resize=manifest.resize or UNKNOWN_RESIZE,
        threshold=manifests.THRESHOLDS[task] if manifest.threshold is None else manifest.threshold,
        decode=(manifest.decode or DEFAULT_DECODE) if task == "detection" else None,
    )


def _labels(manifest: Manifest, count: int) -> tuple[str, ...]:
    if manifest.labels is None:
        raise LibraryError(
            f"What the model's {count} outputs mean is not known: put labels.txt (one label a line) or deploy.json "
            "beside the model, or name them with --labels."
        )
    if len(manifest.labels) != count:
        raise LibraryError(
            f"{len(manifest.labels)} labels ({', '.join(manifest.labels)}) for a model of {count} classes: background "
            "is not a label, and every other class needs one."
        )
    return manifest.labels


def _shape(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width, channels; ones in front where a tensor has fewer dimensions."""
    *_, height, width, channels = (1, 1, 1, *tensor.shape[1:])
    return height, width, channels


def _check_input(tensor: Tensor) -> None:
    """That pixel p of 0..255 is int8 p - 128, however the training scaled it: 0..1, -1..1 or 0..255."""
    pixels, scale, zero = np.arange(256), tensor.scales[0], tensor.zero_points[0]
    for scaled in (pixels / 255, pixels / 127.5 - 1, pixels):
        if np.abs(np.rint(scaled / scale) + zero - (pixels - 128)).max() <= PIXEL_TOLERANCE:
            return
    raise LibraryError(
        f"The model's input (scale {scale:.6g}, zero point {zero}) does not take pixels as int8 from -128 to 127: "
        "train it on 0..1 or -1..1, and quantize it with images that reach from black to white."
    )


def _softmax(tensor: Tensor, task: Task) -> SoftmaxScaling | None:
    """What makes probabilities of a classifier's logits; None where the model gives probabilities."""
    scale, zero = tensor.scales[0], tensor.zero_points[0]
    if (scale, zero) == (1 / manifests.SCORE_STEPS, -128):
        return None
    if task == "detection" or scale < FINEST_LOGITS:
        raise LibraryError(
            f"The model's output (scale {scale:.6g}, zero point {zero}) is no probability: export it with a softmax at "
            "its end (int8, scale 1/256, zero point -128)."
        )
    return softmax_scaling(scale, 1.0)


def _values(graph: Graph, manifest: Manifest, name: str, board: str) -> dict[str, Any]:
    """What the templates show, whichever the runtime."""
    input_shape, output_shape = _shape(graph.inputs[0]), _shape(graph.outputs[0])
    assert (
        manifest.labels is not None
        and manifest.task is not None
        and manifest.resize is not None
        and manifest.threshold is not None
    )
    large, small = boards.frame_sizes(input_shape[0], input_shape[2], manifest.resize)
    detects = manifest.task == "detection"
    named = _enumerated(manifest.labels)
    return {
        "name": name,
        "class_name": "Detector" if detects else "Classifier",
        "detects": detects,
        "labels": manifest.labels,
        "least_score": manifests.least_score(manifest.threshold),
        "threshold": manifest.threshold,
        "resize": manifest.resize,
        "decode": manifest.decode,
        "softmax": _softmax(graph.outputs[0], manifest.task),
        "most_detections": MOST_DETECTIONS,
        "input": input_shape,
        "output": output_shape,
        "is_gray": input_shape[2] == 1,
        "file_bytes": graph.file_bytes,
        "macs": graph.macs,
        "figures": _figures(manifest),
        "manifest": json.dumps(replace(manifest, name=name).as_dict(), indent=2, ensure_ascii=False) + "\n",
        "version": LIBRARY_VERSION,
        "author": AUTHOR,
        "url": URL,
        "sentence": f"Finds {named} in camera frames." if detects else f"Tells whether a camera sees {named}.",
        "paragraph": "A neural network for the ESP32-CAM and boards like it, with sketches that try it out.",
        "board": BOARDS[board].macro,
        "board_settings": BOARDS[board].settings,
        "boards": list(BOARDS.values()),
        "large": large,
        "small": small,
        "large_bytes": large.frame_bytes(input_shape[2]),
        "small_bytes": small.frame_bytes(input_shape[2]),
    }


def _figures(manifest: Manifest) -> list[tuple[str, str]]:
    """How good the int8 network is, as far as the manifest says, for people."""
    known = manifest.figures
    measured_on = f" ({known['split']}, {known['images']} images)" if {"split", "images"} <= known.keys() else ""
    return [
        (f"{name} of the int8 network{measured_on}", f"{known[name]:.3f}")
        for name in QUALITY_FIGURES
        if isinstance(known.get(name), int | float)
    ]


def _enumerated(labels: tuple[str, ...], most: int = 8) -> str:
    """Labels in a sentence."""
    shown = list(labels) if len(labels) <= most else [*labels[:most], f"{len(labels) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _texts(name: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, str]:
    """Every text of the library by its path below the top folder."""
    kernels = ["error", "pixels", *(["decode"] if values["detects"] else [])]
    kernels += ["requantize", "softmax"] if values["softmax"] else []
    templates = {
        "library.properties": "library.properties.j2",
        "library.json": "library.json.j2",
        "keywords.txt": "keywords.txt.j2",
        "README.md": "README.md.j2",
        "LICENSE": "LICENSE",
        f"src/{name}.h": "library.h.j2",
        f"src/{name}.cpp": "library.cpp.j2",
        "examples/Camera/Camera.ino": "examples/Camera.ino.j2",
        "examples/Camera/boards.h": "examples/boards.h.j2",
        "examples/SelfTest/SelfTest.ino": "examples/SelfTest.ino.j2",
        "examples/SelfTest/recorded.h": "examples/recorded.h.j2",
    }
    environment = _environment()
    texts = {path: environment.get_template(template).render(values) for path, template in templates.items()}
    texts |= {f"src/{path}": text for path, text in {**sources, **emit.kernel_files(kernels, name)}.items()}
    return texts | {"extras/deploy.json": values["manifest"]}


def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {
        "literal": cpp_literal,
        "json": json.dumps,
        "numbers": emit.wrapped,
        "cell": lambda text: text.replace("|", "\\|"),
    }
    return environment


def cpp_literal(text: str) -> str:
    """A text as a C++ string; what does not print, or means something to the compiler, becomes octal."""
    escaped = "".join(
        character
        if character.isprintable() and character not in '"\\?'
        else "".join(f"\\{byte:03o}" for byte in character.encode())
        for character in text
    )
    return f'"{escaped}"'


def _interpreter_sources(graph: Graph, model: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """The model for the interpreter of the esp32 core, by path in the library's src folder."""
    environment = _environment()
    content = np.frombuffer(model.read_bytes(), np.uint8)
    known = {
        **values,
        "operators": [resolver_method(name) for name in graph.operator_names],
        "model_file": emit.wrapped(content),
    }
    return {
        f"{values['name']}_model.{kind}": environment.get_template(f"tflm_model.{kind}.j2").render(known)
        for kind in ("h", "cpp")
    }


def resolver_method(operator: str) -> str:
    """What adds an operator to TensorFlow Lite Micro's resolver: CONV_2D is AddConv2D."""
    words = operator.split("_")
    # POOL_2D is Pool2D: a word that begins with a digit keeps its capitals
    joined = "".join(word if word[0].isdigit() else word.capitalize() for word in words)
    return RESOLVER_METHODS.get(operator, f"Add{joined}")


def _arena_bytes(measured: int | None) -> int:
    if measured is None:
        raise LibraryError("TensorFlow Lite Micro did not say how much memory the model takes.")
    return math.ceil(measured * (1 + 1 / ARENA_MARGIN) / ARENA_ALIGNMENT_BYTES) * ARENA_ALIGNMENT_BYTES


def _as_bytes(values: np.ndarray) -> list[np.ndarray]:
    """int8 as unsigned bytes, one flat array for each image."""
    return list((values.astype(np.int16) + 128).astype(np.uint8).reshape(len(values), -1))


def _zipped(name: str, files: Mapping[str, bytes]) -> bytes:
    """A zip of one folder, the same for the same files."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(f"{name}/{path}", ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = UNIX
            entry.external_attr = ZIP_FILE_MODE << 16
            archive.writestr(entry, files[path])
    return buffer.getvalue()
