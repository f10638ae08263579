"""Describes a model layer by layer without running it: as plain values for JSON, or as a table."""

from collections.abc import Sequence
from typing import Any

from esp32_deploy.compile.compiler import Compiled
from esp32_deploy.compile.graph import Graph
from esp32_deploy.compile.lower import Layer
from esp32_deploy.compile.memory import Place
from esp32_deploy.compile.schedule import Schedule

COLUMNS = ("stage", "layer", "output", "MACs", "weights B", "rows kept", "bytes")
TEXT_COLUMNS = ("layer", "operator", "output")
OPERATOR_COLUMNS = ("operator", "output", "MACs", "weights B")


def report(compiled: Compiled, arena_bytes: int | None) -> dict[str, Any]:
    """The report of `inspect` on a model that can be streamed, as plain values for JSON.

    `arena_bytes` is the arena that TensorFlow Lite Micro would need, or None if it is not known.
    """
    schedule, program = compiled.schedule, compiled.schedule.program
    image, output = schedule.buffers[0], program.planes[program.output]
    memory = _Memory(schedule.segments)
    image_bytes, scratch_bytes = memory.added_bytes(image.place), 0
    layers: list[dict[str, Any]] = []
    for numbers, workspace in zip(schedule.phases, schedule.workspaces, strict=True):
        for number in numbers:
            stage = schedule.stages[number]
            layers += [_layer(compiled, memory, number, place) for place in range(len(stage.layers))]
        copies = [schedule.copies[number].place for number in numbers if number in schedule.copies]
        scratch_bytes += sum(map(memory.added_bytes, (*copies, *workspace.places)))
    return {
        "input": {"shape": list(compiled.input_shape), "rows_kept": image.rows, "bytes": image_bytes},
        "layers": layers,
        "output": {"shape": [output.height, output.width, output.channels]},
        "streamed_stages": schedule.streamed,
        "macs": compiled.graph.macs,
        "constant_bytes": compiled.source.constant_bytes,
        "ram_bytes": schedule.bytes,
        "scratch_bytes": scratch_bytes,
        "segments": list(schedule.segments),
        "tflm_arena_bytes": arena_bytes,
        "refusal": None,
    }


class _Memory:
    """Counts each byte of memory once, although layers that run one after the other share bytes."""

    def __init__(self, segments: Sequence[int]) -> None:
        self.used = [bytearray(size) for size in segments]

    def added_bytes(self, place: Place) -> int:
        """Bytes of a place that no earlier place has."""
        if place.bytes == 0:
            return 0
        segment = self.used[place.segment]
        added = segment.count(0, place.offset, place.end)
        segment[place.offset : place.end] = b"\1" * place.bytes
        return added


def unstreamed_report(graph: Graph, arena_bytes: int | None, refusal: str) -> dict[str, Any]:
    """The report on a model that only an interpreter runs. Fields that only a streamed model has are None."""
    return {
        "input": {"shape": list(graph.inputs[0].shape[1:]), "rows_kept": None, "bytes": None},
        "layers": operator_layers(graph),
        "output": {"shape": list(graph.outputs[0].shape[1:])},
        "streamed_stages": None,
        "macs": graph.macs,
        "constant_bytes": graph.constant_bytes,
        "ram_bytes": None,
        "scratch_bytes": None,
        "segments": None,
        "tflm_arena_bytes": arena_bytes,
        "refusal": refusal,
    }


def operator_layers(graph: Graph) -> list[dict[str, Any]]:
    """One entry per operator of a graph, with None in the fields of streamed layers."""
    return [
        {
            "stage": None,
            "kind": operator.name.lower(),
            "shape": list(operator.outputs[0].shape[1:]),
            "macs": operator.macs,
            "weight_bytes": operator.constant_bytes if operator.macs else 0,
            "rows_kept": None,
            "bytes": None,
        }
        for operator in graph.operators
    ]


def _layer(compiled: Compiled, memory: _Memory, number: int, place: int) -> dict[str, Any]:
    stage, program = compiled.schedule.stages[number], compiled.schedule.program
    layer = stage.layers[place]
    plane = program.planes[layer.target]
    operator = compiled.graph.operators[layer.operator]
    rows, kept = _kept(compiled.schedule, number, layer)
    return {
        "stage": number,
        "kind": layer.kind,
        "shape": [plane.height, plane.width, plane.channels],
        "macs": operator.macs,
        "weight_bytes": operator.constant_bytes if operator.macs else 0,
        "rows_kept": rows,
        "bytes": 0 if kept is None else memory.added_bytes(kept),
    }


def _kept(schedule: Schedule, number: int, layer: Layer) -> tuple[int, Place | None]:
    """Rows of the layer's output that are kept in memory, and their place. None for rows that stay inside a stage."""
    stage = schedule.stages[number]
    if layer is stage.head:
        return stage.carried, schedule.chunks[number].place
    if layer is stage.layers[-1]:
        buffer = schedule.buffers[layer.target]
        return buffer.rows, buffer.place
    return 0, None


def table(report: dict[str, Any]) -> str:
    """A report as a text table with aligned columns."""
    return _operators(report) if report["refusal"] else _rows(report)


def _rows(report: dict[str, Any]) -> str:
    image = report["input"]
    rows = [("", "input", _shape(image["shape"]), "", "", str(image["rows_kept"]), f"{image['bytes']:,}")]
    rows += [
        (
            *(str(layer["stage"]), layer["kind"], _shape(layer["shape"]), f"{layer['macs']:,}"),
            *(f"{layer['weight_bytes']:,}", str(layer["rows_kept"]), f"{layer['bytes']:,}"),
        )
        for layer in report["layers"]
    ]
    rows.append(("", "scratch", "", "", "", "", f"{report['scratch_bytes']:,}"))
    summary = [
        *_work(report),
        *_order(report),
        f"Rows need {report['ram_bytes']:,} bytes of RAM in {len(report['segments'])} piece(s), the largest "
        f"{max(report['segments']):,}.",
        _arena(report),
    ]
    return _aligned(COLUMNS, rows, summary)


def _operators(report: dict[str, Any]) -> str:
    rows = [("input", _shape(report["input"]["shape"]), "", "")]
    rows += [
        (layer["kind"], _shape(layer["shape"]), f"{layer['macs']:,}", f"{layer['weight_bytes']:,}")
        for layer in report["layers"]
    ]
    return _aligned(OPERATOR_COLUMNS, rows, [*_work(report), report["refusal"], _arena(report)])


def _order(report: dict[str, Any]) -> list[str]:
    streamed, last = report["streamed_stages"], report["layers"][-1]["stage"]
    if streamed > last:
        return []
    return [
        f"Stages before {streamed} run row by row. The others run after them, layer by layer, in memory that earlier "
        "stages used."
    ]


def _work(report: dict[str, Any]) -> list[str]:
    return ["", f"{report['macs']:,} MACs, {report['constant_bytes']:,} bytes of constants."]


def _arena(report: dict[str, Any]) -> str:
    arena = report["tflm_arena_bytes"]
    if arena is None:
        return "TensorFlow Lite Micro's arena is not known. tflite-micro is not installed, or does not run the model."
    return f"TensorFlow Lite Micro needs an arena of {arena:,} bytes."


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _aligned(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], summary: list[str]) -> str:
    """Lines with names aligned left and numbers aligned right, and the summary below."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if name in TEXT_COLUMNS else cell.rjust(width)
            for name, cell, width in zip(head, cells, widths, strict=True)
        )
        for cells in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in [*lines, *summary])
