"""A .tflite file to C++ in one call: read, check, lower, plan, emit."""

from dataclasses import dataclass
from pathlib import Path

from esp32_deploy.compile import emit, graph, lower, schedule, servable
from esp32_deploy.compile.graph import Graph
from esp32_deploy.compile.schedule import Schedule


@dataclass(frozen=True)
class Compiled:
    """A model in every form that it passes through."""

    graph: Graph
    schedule: Schedule
    source: emit.Source
    name: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        plane = self.schedule.program.planes[0]
        return plane.height, plane.width, plane.channels


def compile_file(path: Path, name: str) -> Compiled:
    """Compiles a model for the namespace `name`; raises GraphError for what cannot be served, StreamError where that
    is only because it cannot stream.
    """
    return compile_graph(graph.read(path), name)


def compile_graph(model: Graph, name: str) -> Compiled:
    """The same for a model that was read."""
    servable.check(model)
    plan = schedule.plan(lower.lower(model))
    return Compiled(model, plan, emit.emit(plan, name, model.file_bytes, f"A network that streams rows: {name}."), name)
