"""Writes a schedule as C++ tables for `kernels/stream.h` and `kernels/layers.h`: planes, stages and networks."""

import textwrap
from dataclasses import dataclass

from esp32_deploy.compile.lower import Layer
from esp32_deploy.compile.memory import Place
from esp32_deploy.compile.schedule import Buffer, Schedule
from esp32_deploy.compile.stages import Stage, places

LINE_CHARACTERS = 116


@dataclass(frozen=True)
class PhaseTables:
    """The C++ of a phase. `network` is the initializer of its Network or, after phase 0, of its Pass."""

    suffix: str
    planes: list[str]
    parts: list[str]
    stages: list[str]
    network: str


def tables(schedule: Schedule) -> list[PhaseTables]:
    """The tables of every phase of a schedule."""
    return [_Phase(schedule, phase).table() for phase in range(len(schedule.phases))]


class _Phase:
    """Plane 0 of a phase is the one whose rows arrive: the image, a whole plane, or the copy of its rows."""

    def __init__(self, schedule: Schedule, phase: int) -> None:
        self.schedule = schedule
        self.program = schedule.program
        self.phase = phase
        self.numbers = schedule.phases[phase]
        stages = [schedule.stages[number] for number in self.numbers]
        self.pushed = stages[0].source if phase else 0
        self.copy = schedule.copies.get(self.numbers[0])
        others = {plane for stage in stages for plane in (stage.target, *stage.residuals)} - {self.pushed}
        if self.copy is not None and self.pushed in stages[0].residuals:
            others.add(self.pushed)
        if phase + 1 == len(schedule.phases):
            others.add(self.program.output)
        self.planes = [
            (self.pushed, schedule.buffers[self.pushed] if self.copy is None else self.copy),
            *((plane, schedule.buffers[plane]) for plane in sorted(others)),
        ]
        # A plane that is read twice, as copied rows and as a whole, has its second place here.
        self.places = {plane: place for place, (plane, _) in enumerate(self.planes)}

    def table(self) -> PhaseTables:
        parts: list[str] = []
        suffix = f"_{self.phase}" if self.phase else ""
        stages = [wrapped_code(f"    {self.stage(number, parts)},") for number in self.numbers]
        planes = [wrapped_code(f"    {self.plane(plane, buffer)},") for plane, buffer in self.planes]
        workspace = self.schedule.workspaces[self.phase]
        output = self.program.output if self.program.output in self.places else self.last_target
        network = initializer(
            planes=f"planes{suffix}",
            stages=f"stages{suffix}",
            patches=_place(workspace.patches),
            corrections=_place(workspace.corrections),
            scratch=f"{{{', '.join(map(_place, workspace.scratch))}}}",
            plane_count=len(planes),
            stage_count=len(stages),
            output=self.places[output],
        )
        if self.phase:
            source = self.plane(self.pushed, self.schedule.buffers[self.pushed])
            network = initializer(network=network, source=source, is_copied=self.copy is not None)
        return PhaseTables(suffix, planes, parts, stages, network)

    @property
    def last_target(self) -> int:
        return self.schedule.stages[self.numbers[-1]].target

    def plane(self, number: int, buffer: Buffer) -> str:
        plane = self.program.planes[number]
        return initializer(
            place=_place(buffer.place),
            height=plane.height,
            width=plane.width,
            channels=plane.channels,
            pitch=buffer.pitch,
            left=buffer.left,
            capacity=buffer.rows,
            pad=buffer.pad,
        )

    def stage(self, number: int, parts: list[str]) -> str:
        stage = self.schedule.stages[number]
        row_layers = ([stage.window] if stage.window is not None else []) + stage.steps
        into = {layer.number: where for layer, where in zip(row_layers, places(stage), strict=True)}
        head = "nullptr"
        if stage.head is not None:
            head = f"&head_{number}"
            parts.append(wrapped_code(f"constexpr Head head_{number} = {self.head(number, stage)};"))
        steps = "nullptr"
        if stage.steps:
            steps = f"steps_{number}"
            rows = [
                wrapped_code(f"    {self.step(step, into[step.number], stage.residual(place))},")
                for place, step in enumerate(stage.steps)
            ]
            parts.append("\n".join([f"constexpr Step steps_{number}[] = {{", *rows, "};"]))
        window = NO_STEP
        if stage.window is not None:
            window = self.step(stage.window, into[stage.window.number], None)
        target, geometry = self.program.planes[stage.target], stage.geometry
        return initializer(
            head=head,
            window=window,
            steps=steps,
            sums=_place(self.schedule.sums.get(number, Place(0, 0, 0))),
            step_count=len(stage.steps),
            source=self.places[stage.source] if self.copy is None else 0,
            target=self.places[stage.target],
            first=stage.first,
            last=target.height,
            kernel_rows=geometry.kernel[0],
            stride_rows=geometry.stride[0],
            top=geometry.top,
            left=geometry.left,
            carried=stage.carried,
            fresh=stage.fresh,
            width=target.width,
        )

    def step(self, layer: Layer, into: str, residual: int | None) -> str:
        operation = "pool" if layer.kind.endswith("_pool") else layer.kind
        return initializer(
            parameters="nullptr" if operation == "copy" else f"&layer_{layer.number}",
            channels=self.program.planes[layer.target].channels,
            plane=layer.target,
            residual=0 if residual is None else self.places[residual],
            operation=f"Operation::{operation}",
            into=f"Into::{into}",
        )

    def head(self, number: int, stage: Stage) -> str:
        assert stage.head is not None
        chunks = self.schedule.chunks[number]
        return initializer(
            parameters=f"&layer_{stage.head.number}",
            chunks=_place(chunks.place),
            plane=stage.head.target,
            pitch=chunks.pitch,
            groups=chunks.groups,
            positions=chunks.positions,
            kept=stage.kept,
            pad=self.program.planes[stage.head.target].zero,
        )


def _place(place: Place) -> str:
    return initializer(offset=place.offset, segment=place.segment)


def initializer(**fields: object) -> str:
    """A C++ initializer with named fields. They must be in the order of their declaration, or C++ does not compile."""
    return f"{{{', '.join(f'.{name} = {_literal(value)}' for name, value in fields.items())}}}"


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


NO_STEP = initializer(
    parameters="nullptr", channels=0, plane=0, residual=0, operation="Operation::none", into="Into::target"
)
"""The step that stands for the window of a stage without one."""


def wrapped_code(code: str) -> str:
    """C++ code broken between tokens into lines of at most LINE_CHARACTERS. Later lines are indented by four more."""
    indent = " " * (len(code) - len(code.lstrip()) + 4)
    lines = textwrap.wrap(
        code, LINE_CHARACTERS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)
