"""Compiles a .tflite file to C++ in one call: read, fold, check, lower, plan, emit."""

from dataclasses import dataclass
from pathlib import Path

from esp32_deploy.compile import emit, fold, graph, lower, schedule, servable
from esp32_deploy.compile.graph import Graph
from esp32_deploy.compile.schedule import Schedule


@dataclass(frozen=True)
class Compiled:
    """A compiled model: its graph, its schedule and its C++ source."""

    graph: Graph
    """The operators that are compiled. Those that only compute shapes are left out."""
    schedule: Schedule
    source: emit.Source
    name: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        plane = self.schedule.program.planes[0]
        return plane.height, plane.width, plane.channels


def compile_file(path: Path, name: str) -> Compiled:
    """Compiles a .tflite file to C++ in the namespace `name`.

    Raises GraphError for a model that is not supported, and its subclass StreamError for one that only the streaming
    compiler does not support.
    """
    return compile_graph(graph.read(path), name)


def compile_graph(model: Graph, name: str) -> Compiled:
    """Compiles a graph, as `compile_file` does."""
    folded = fold.without_shape_arithmetic(model)
    servable.check(folded)
    plan = schedule.plan(lower.lower(folded))
    source = emit.emit(plan, name, model.file_bytes, f"{name}: the network, run row by row.")
    return Compiled(folded, plan, source, name)
