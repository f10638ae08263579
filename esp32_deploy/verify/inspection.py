"""Describes a model layer by layer without running it: as plain values for JSON, or as a table."""

from collections.abc import Sequence
from typing import Any

from esp32_deploy.compile.compiler import Compiled
from esp32_deploy.compile.graph import Graph
from esp32_deploy.compile.schedule import Schedule, Stage

COLUMNS = ("stage", "layer", "output", "MACs", "weights B", "rows kept", "bytes")
TEXT_COLUMNS = ("layer", "operator", "output")
OPERATOR_COLUMNS = ("operator", "output", "MACs", "weights B")


def report(compiled: Compiled, arena_bytes: int | None) -> dict[str, Any]:
    """The report of `inspect` on a model that can be streamed, as plain values for JSON.

    `arena_bytes` is the arena that TensorFlow Lite Micro would need, or None if it is not known.
    """
    schedule, program = compiled.schedule, compiled.schedule.program
    layers = [
        _layer(compiled, number, stage, place)
        for number, stage in enumerate(schedule.stages)
        for place in range(len(stage.layers))
    ]
    image, output = schedule.buffers[0], program.planes[program.output]
    return {
        "input": {"shape": list(compiled.input_shape), "rows_kept": image.rows, "bytes": image.place.bytes},
        "layers": layers,
        "output": {"shape": [output.height, output.width, output.channels]},
        "macs": compiled.graph.macs,
        "constant_bytes": compiled.source.constant_bytes,
        "ram_bytes": schedule.bytes,
        "scratch_bytes": sum(place.bytes for place in (*schedule.scratch, schedule.patches, schedule.corrections)),
        "segments": list(schedule.segments),
        "tflm_arena_bytes": arena_bytes,
        "refusal": None,
    }


def unstreamed_report(graph: Graph, arena_bytes: int | None, refusal: str) -> dict[str, Any]:
    """The report on a model that only an interpreter runs. Fields that only a streamed model has are None."""
    return {
        "input": {"shape": list(graph.inputs[0].shape[1:]), "rows_kept": None, "bytes": None},
        "layers": operator_layers(graph),
        "output": {"shape": list(graph.outputs[0].shape[1:])},
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


def _layer(compiled: Compiled, number: int, stage: Stage, place: int) -> dict[str, Any]:
    layer, program = stage.layers[place], compiled.schedule.program
    plane = program.planes[layer.target]
    operator = compiled.graph.operators[layer.operator]
    rows, size = _memory(compiled.schedule, number, stage, place)
    return {
        "stage": number,
        "kind": layer.kind,
        "shape": [plane.height, plane.width, plane.channels],
        "macs": operator.macs,
        "weight_bytes": operator.constant_bytes if operator.macs else 0,
        "rows_kept": rows,
        "bytes": size,
    }


def _memory(schedule: Schedule, number: int, stage: Stage, place: int) -> tuple[int, int]:
    """Rows of the layer's output that are kept in memory, and their bytes. 0 for rows that stay inside a stage."""
    layer = stage.layers[place]
    if layer is stage.head:
        return stage.carried, schedule.chunks[number].place.bytes
    if layer is stage.layers[-1]:
        buffer = schedule.buffers[layer.target]
        return buffer.rows, buffer.place.bytes
    return 0, 0


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
