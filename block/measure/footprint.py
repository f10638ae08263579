"""What a model costs a board: multiply-accumulates, flash, and the RAM that TensorFlow Lite Micro needs."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from block.errors import BlockError
from block.export import runtimes
from esp32_deploy import graph

TOTAL_PATTERN = re.compile(r"Arena allocation total (\d+) bytes")


@dataclass(frozen=True)
class Footprint:
    """Costs of an int8 model: bytes of the file, of TensorFlow Lite Micro's arena, and MACs an image."""

    macs: int
    model_bytes: int
    tflm_arena_bytes: int
    operators: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return asdict(self)


def measure(path: Path) -> Footprint:
    """Measures an int8 .tflite; raises BlockError when TensorFlow Lite Micro cannot run it."""
    model = graph.read(path)
    return Footprint(model.macs, model.file_bytes, tflm_arena_bytes(path), model.operator_names)


def tflm_arena_bytes(path: Path) -> int:
    """The smallest arena with which TensorFlow Lite Micro runs the model, as its own allocator reports it."""
    interpreter = runtimes.tflm_interpreter(path)
    image = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(image["shape"], dtype=image["dtype"]), 0)
    interpreter.invoke()
    with runtimes.captured_stderr() as stderr:
        interpreter.print_allocations()
        report = stderr()
    total = TOTAL_PATTERN.search(report)
    if total is None:
        raise BlockError(f"TensorFlow Lite Micro reported its memory for {path} in an unknown form: {report[:200]!r}")
    return int(total[1])
