"""What a compiled model is made of, layer by layer, before anything runs: numbers for machines, a table for people."""

from typing import Any

from esp32_deploy.compiler import Compiled
from esp32_deploy.schedule import Schedule, Stage

COLUMNS = ("stage", "layer", "output", "MACs", "weights B", "rows kept", "bytes")


def report(compiled: Compiled, arena_bytes: int | None) -> dict[str, Any]:
    """Everything that `inspect` shows; `arena_bytes` is what TensorFlow Lite Micro would need, where known."""
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
    }


def _layer(compiled: Compiled, number: int, stage: Stage, place: int) -> dict[str, Any]:
    layer, program = stage.layers[place], compiled.schedule.program
    plane = program.planes[layer.target]
    index = next(index for index, candidate in enumerate(program.layers) if candidate is layer)
    operator = compiled.graph.operators[program.operators[index]]
    rows, size = _memory(compiled.schedule, number, stage, place)
    return {
        "stage": number,
        "kind": layer.kind,
        "shape": [plane.height, plane.width, plane.channels],
        "macs": operator.macs,
        "weight_bytes": operator.constant_bytes if layer.macs else 0,
        "rows_kept": rows,
        "bytes": size,
    }


def _memory(schedule: Schedule, number: int, stage: Stage, place: int) -> tuple[int, int]:
    """Rows of the layer's output that stay, and their bytes; rows that only pass through a stage take none."""
    layer = stage.layers[place]
    if layer is stage.head:
        return stage.carried, schedule.chunks[number].place.bytes
    if layer is stage.layers[-1]:
        buffer = schedule.buffers[layer.target]
        return buffer.rows, buffer.place.bytes
    return 0, 0


def table(report: dict[str, Any]) -> str:
    """The report in aligned columns."""
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
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    lines = ["  ".join(_aligned(cells, widths)) for cells in (COLUMNS, *rows)]
    arena = report["tflm_arena_bytes"]
    summary = [
        "",
        f"{report['macs']:,} MACs, {report['constant_bytes']:,} bytes of constants.",
        f"Rows need {report['ram_bytes']:,} bytes of RAM in {len(report['segments'])} piece(s), the largest "
        f"{max(report['segments']):,}.",
        "TensorFlow Lite Micro's arena is not known: tflite-micro is not installed, or does not run the model."
        if arena is None
        else f"TensorFlow Lite Micro needs an arena of {arena:,} bytes.",
    ]
    return "\n".join(line.rstrip() for line in [*lines, *summary])


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _aligned(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if number in (1, 2) else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
