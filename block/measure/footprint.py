"""What a model costs a board: multiply-accumulates, flash, and RAM with TensorFlow Lite Micro or with streamed rows."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esp32_deploy import meaning
from esp32_deploy.arduino import boards, library
from esp32_deploy.compile import compiler, graph
from esp32_deploy.compile.graph import StreamError
from esp32_deploy.verify import inspection, tflm

# namespace of code that is compiled only for measuring
NAME = "measured"
# this resize mode has the larger frames; the model does not tell which mode its images had
WIDE_FRAMES = "squash"


@dataclass(frozen=True)
class Layer:
    """One layer of the int8 model, in the order of execution. `shape` (H, W, C) is the shape of its output.

    `rows_kept` is how many rows of its output stay in memory while rows stream, and `kept_bytes` is their size. Both
    are None if the compiler refused the model.
    """

    kind: str
    shape: list[int]
    macs: int
    weight_bytes: int
    rows_kept: int | None
    kept_bytes: int | None


@dataclass(frozen=True)
class Stream:
    """Memory of the model as C++ that streams rows: RAM in all, its segments, the image's rows, scratch, constants."""

    ram_bytes: int
    segments_bytes: list[int]
    input_bytes: int
    scratch_bytes: int
    constant_bytes: int


@dataclass(frozen=True)
class Footprint:
    """Cost of an int8 model: MACs per image, bytes of the file and bytes of TensorFlow Lite Micro's arena.

    The arena is None where tflite-micro is not installed.
    `frame_reader_bytes` is the RAM of the code that reads camera frames. `camera_frame_bytes` is the size of the Camera
    sketch's frame without PSRAM. `stream` is None for a model that only TensorFlow Lite Micro can run.
    """

    macs: int
    model_bytes: int
    tflm_arena_bytes: int | None
    frame_reader_bytes: int
    camera_frame_bytes: int
    operators: list[str]
    stream: Stream | None
    layers: list[Layer]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return asdict(self)


def measure(path: Path) -> Footprint:
    """Measures an int8 .tflite. Raises TflmError if TensorFlow Lite Micro cannot run it."""
    model = graph.read(path)
    try:
        stream, layers = _streamed(path)
    except StreamError:
        stream, layers = None, _layers(inspection.operator_layers(model))
    shape = meaning.image_shape(model.inputs[0])
    _, small_frame = boards.frame_sizes(shape[0], shape[2], WIDE_FRAMES)
    return Footprint(
        macs=model.macs,
        model_bytes=model.file_bytes,
        tflm_arena_bytes=tflm.arena_bytes(path, shape),
        frame_reader_bytes=library.frame_reader_bytes(shape),
        camera_frame_bytes=small_frame.frame_bytes(shape[2]),
        operators=model.operator_names,
        stream=stream,
        layers=layers,
    )


def _streamed(path: Path) -> tuple[Stream, list[Layer]]:
    report = inspection.report(compiler.compile_file(path, NAME), arena_bytes=None)
    stream = Stream(
        ram_bytes=report["ram_bytes"],
        segments_bytes=report["segments"],
        input_bytes=report["input"]["bytes"],
        scratch_bytes=report["scratch_bytes"],
        constant_bytes=report["constant_bytes"],
    )
    return stream, _layers(report["layers"])


def _layers(reported: list[dict[str, Any]]) -> list[Layer]:
    names = ("kind", "shape", "macs", "weight_bytes", "rows_kept", "bytes")
    return [Layer(*(layer[name] for name in names)) for layer in reported]
