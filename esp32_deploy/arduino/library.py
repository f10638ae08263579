"""Makes an Arduino library from a model: `package` writes a zip for the Arduino IDE.

The zip depends only on the .tflite, deploy.json and the options: the same inputs give the same bytes.
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

from esp32_deploy import manifest as manifests
from esp32_deploy import meaning
from esp32_deploy.arduino import boards, recording, rules
from esp32_deploy.arduino.boards import BOARDS
from esp32_deploy.arduino.rules import LibraryError
from esp32_deploy.compile import compiler, emit
from esp32_deploy.compile import graph as graphs
from esp32_deploy.compile.compiler import Compiled
from esp32_deploy.compile.ends import check_ends
from esp32_deploy.compile.graph import Graph, GraphError, StreamError
from esp32_deploy.files import replacing
from esp32_deploy.manifest import Manifest
from esp32_deploy.meaning import Meaning
from esp32_deploy.pixels import bytes_from_int8
from esp32_deploy.verify import tflm

Runtime = Literal["stream", "tflm"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
DEFAULT_BOARD = "ai-thinker"
DEFAULT_NAME = "vision_model"

LIBRARY_VERSION = "1.0.0"
AUTHOR = "The ESP32 vision block contributors"
URL = "https://docs.espressif.com/projects/arduino-esp32/en/latest/libraries.html"
TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "library"
USE_TFLM = "Package it with --runtime tflm instead."
# The figures of a manifest that tell how good the network is.
QUALITY_FIGURES = ("accuracy", "loss", "f1", "precision", "recall")

MOST_DETECTIONS = 64
SUM_BYTES = 4
"""Bytes of a sum in kernels/pixels.h, which keeps three sums per pixel."""

# An eighth is added to the arena that was measured on this machine, because kernels differ by processor.
ARENA_MARGIN = 8
ARENA_ALIGNMENT_BYTES = 16

# Methods of TensorFlow Lite Micro's resolver that are not named by the rule in `resolver_method`.
RESOLVER_METHODS = {"BATCH_MATMUL": "AddBatchMatMul", "PADV2": "AddPadV2"}

# The earliest time that a zip can hold. A fixed time makes the zip independent of when it is written.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
ZIP_FILE_MODE = 0o644
UNIX = 3


@dataclass(frozen=True)
class Package:
    """A library that was written, and its memory on a board."""

    path: Path
    name: str
    files: int
    zip_bytes: int
    ram_bytes: int
    """RAM of the network's rows or of the interpreter's arena, and of reading frames. A few hundred bytes of stack are
    not included."""
    frame_bytes: int
    """Bytes of the Camera sketch's frame without PSRAM."""
    refusal: str | None
    """Why the compiler cannot stream the model, if the library uses the interpreter for that reason."""


def package(
    model: Path,
    out: Path,
    manifest: Manifest | None = None,
    *,
    runtime: Runtime | None = None,
    board: str = DEFAULT_BOARD,
    samples: np.ndarray | None = None,
) -> Package:
    """Writes the Arduino library of an int8 .tflite as the zip `out`.

    `manifest` holds what the model does not contain: labels, how images were made square, threshold, figures. Without
    one, deploy.json or labels.txt beside the model is read. `samples` (N, height, width, channels), float in 0..1,
    uint8 or int8, are the images of the self-test. Without them, it uses seeded patterns. `runtime` None streams rows
    if the compiler supports the model, and else uses the interpreter. `out` is written completely or not at all.

    Raises GraphError for a model that is not supported; ManifestError, MeaningError, SamplesError or LibraryError for
    arguments that do not fit the model; TflmError if TensorFlow Lite Micro, whose outputs the self-test expects, does
    not run the model. All are DeployErrors.
    """
    if board not in BOARDS:
        raise LibraryError(f"Board {board!r} is not known. Choose from {', '.join(BOARDS)}.")
    content = model.read_bytes()
    graph = graphs.parse(content, str(model))
    check_ends(graph)
    known = manifests.beside(model) if manifest is None else manifest
    meant = meaning.of(graph, known)
    name = known.name or DEFAULT_NAME
    rules.check_name(name)
    compiled, refusal = _compiled(graph, name, runtime)
    recorded = recording.record(samples, meant.input_shape)
    measured = tflm.interpret(model, recorded.images)
    values = _values(graph, meant, name, board) | {
        "runtime": "tflm" if compiled is None else "stream",
        "arena_bytes": measured.arena_bytes,
        "knows_resize": known.resize is not None,
        "figures": _figures(known),
        "origin": recorded.origin,
        "inputs": _as_bytes(recorded.images),
        "outputs": _as_bytes(measured.outputs),
    }
    if compiled is not None:
        values |= {"segments": compiled.schedule.segments, "constant_bytes": compiled.source.constant_bytes}
        sources: Mapping[str, str] = compiled.source.files
    elif measured.arena_bytes is None:
        raise LibraryError(
            f"The library needs TensorFlow Lite Micro's interpreter. {refusal} Its arena is measured with the "
            "package tflite-micro, which is only made for Linux on x86-64. Make the library there, or with Docker."
        )
    else:
        values |= {"segments": (arena_memory_bytes(measured.arena_bytes),), "constant_bytes": graph.file_bytes}
        sources = _interpreter_sources(graph, content, values)
    values |= {"memory_bytes": sum(values["segments"]), "reader_bytes": frame_reader_bytes(meant.input_shape)}
    texts = _texts(name, values, sources)
    texts["extras/deploy.json"] = _json(replace(meant.completed(known), name=name))
    contents = {path: text.encode() for path, text in texts.items()}
    contents[f"extras/{name}.tflite"] = content
    rules.check(name, contents)
    zipped = _zipped(name, contents)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_bytes(zipped)
    ram_bytes = values["memory_bytes"] + values["reader_bytes"]
    return Package(out, name, len(contents), len(zipped), ram_bytes, values["small_bytes"], refusal)


def _compiled(graph: Graph, name: str, runtime: Runtime | None) -> tuple[Compiled | None, str | None]:
    """The compiled model, or None and the reason. Raises GraphError if `runtime` is "stream" but impossible."""
    if runtime == "tflm":
        return None, None
    try:
        return compiler.compile_graph(graph, name), None
    except StreamError as error:
        if runtime == "stream":
            raise GraphError(f"{error} {USE_TFLM}") from error
        return None, str(error)


def frame_reader_bytes(shape: tuple[int, int, int]) -> int:
    """Bytes that the library's object holds to read frames: a row of sums and a row of the input."""
    _, width, channels = shape
    return width * (3 * SUM_BYTES + channels)


def _values(graph: Graph, meant: Meaning, name: str, board: str) -> dict[str, Any]:
    """The template values that do not depend on the runtime."""
    size, _, channels = meant.input_shape
    large, small = boards.frame_sizes(size, channels, meant.resize)
    detects = meant.task == "detection"
    named = _enumerated(meant.labels)
    return {
        "name": name,
        "class_name": "Detector" if detects else "Classifier",
        "detects": detects,
        "labels": meant.labels,
        "least_score": meant.least_score,
        "threshold": meant.threshold,
        "resize": meant.resize,
        "decode": meant.decode,
        "cell_px": meant.cell_px,
        "single_zero": meant.single_zero,
        "takes_uint8": graph.inputs[0].type == "UINT8",
        "gives_uint8": graph.outputs[0].type == "UINT8",
        "softmax": emit.softmax_parameters(meant.softmax) if meant.softmax else None,
        "most_detections": MOST_DETECTIONS,
        "input": meant.input_shape,
        "output": meant.output_shape,
        "is_gray": channels == 1,
        "file_bytes": graph.file_bytes,
        "macs": graph.macs,
        "version": LIBRARY_VERSION,
        "author": AUTHOR,
        "url": URL,
        "sentence": f"Finds {named} in camera frames." if detects else f"Recognises {named} in camera frames.",
        "paragraph": "A neural network for the ESP32-CAM and similar boards, with example sketches.",
        "board": BOARDS[board].macro,
        "board_settings": BOARDS[board].settings,
        "boards": list(BOARDS.values()),
        "large": large,
        "small": small,
        "large_bytes": large.frame_bytes(channels),
        "small_bytes": small.frame_bytes(channels),
    }


def _figures(manifest: Manifest) -> list[tuple[str, str]]:
    """The manifest's accuracy figures of the int8 network, as pairs of name and text."""
    known = manifest.figures
    measured_on = f" ({known['split']}, {known['images']} images)" if {"split", "images"} <= known.keys() else ""
    return [
        (f"{name} of the int8 network{measured_on}", f"{known[name]:.3f}")
        for name in QUALITY_FIGURES
        if isinstance(known.get(name), int | float)
    ]


def _enumerated(labels: tuple[str, ...], most: int = 8) -> str:
    """The labels as a list for a sentence, at most `most` of them by name."""
    shown = list(labels) if len(labels) <= most else [*labels[:most], f"{len(labels) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _texts(name: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, str]:
    """All text files of the library, by their path in the library's folder."""
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
    return texts


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
    """A text as a C++ string literal. Quotes, backslashes, question marks and unprintable characters become octal."""
    escaped = "".join(
        character
        if character.isprintable() and character not in '"\\?'
        else "".join(f"\\{byte:03o}" for byte in character.encode())
        for character in text
    )
    return f'"{escaped}"'


def _interpreter_sources(graph: Graph, model_file: bytes, values: Mapping[str, Any]) -> dict[str, str]:
    """Source files that run the model on the esp32 core's interpreter, by their path in the library's src folder."""
    known = {
        **values,
        "operators": [resolver_method(name) for name in graph.operator_names],
        "model_file": emit.wrapped(np.frombuffer(model_file, np.uint8)),
    }
    return {
        f"{values['name']}_model.{kind}": _environment().get_template(f"tflm_model.{kind}.j2").render(known)
        for kind in ("h", "cpp")
    }


def resolver_method(operator: str) -> str:
    """The method of TensorFlow Lite Micro's resolver that adds an operator: AddConv2D for CONV_2D."""
    words = operator.split("_")
    # POOL_2D becomes Pool2D: a word that begins with a digit keeps its capitals.
    joined = "".join(word if word[0].isdigit() else word.capitalize() for word in words)
    return RESOLVER_METHODS.get(operator, f"Add{joined}")


def arena_memory_bytes(arena_bytes: int) -> int:
    """Bytes that a board reserves for an arena of `arena_bytes` measured on this machine."""
    return math.ceil(arena_bytes * (1 + 1 / ARENA_MARGIN) / ARENA_ALIGNMENT_BYTES) * ARENA_ALIGNMENT_BYTES


def _json(manifest: Manifest) -> str:
    return json.dumps(manifest.as_dict(), indent=2, ensure_ascii=False) + "\n"


def _as_bytes(values: np.ndarray) -> list[np.ndarray]:
    """int8 values as unsigned bytes (value + 128), one flat array per image."""
    return list(bytes_from_int8(values).reshape(len(values), -1))


def _zipped(name: str, files: Mapping[str, bytes]) -> bytes:
    """A zip with one folder `name`. The same files give the same bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(f"{name}/{path}", ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = UNIX
            entry.external_attr = ZIP_FILE_MODE << 16
            archive.writestr(entry, files[path])
    return buffer.getvalue()
