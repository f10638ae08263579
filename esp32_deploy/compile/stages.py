"""Joins layers into stages, and simulates the order in which stages run.

A stage reads rows of one plane, slides a window over them, and runs further layers on the row that the window gives. So
only the planes between stages need memory. One rule sets the order: of the stages whose input rows are complete, the
deepest runs first. This module simulates the rule with row numbers. The largest number of rows that a plane holds at
once is the size of its ring buffer. Nothing is computed twice.

A stage may begin with a head: a 1x1 convolution that widens few channels to many, in front of a depthwise convolution.
The head computes eight channels at a time. The wide plane then keeps kernel - stride rows, instead of kernel rows.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from esp32_deploy.compile.graph import StreamError
from esp32_deploy.compile.lower import Layer, Program, Window

ROWWISE = ("pointwise", "add", "table", "softmax")
IN_PLACE = ("add", "table", "softmax")


@dataclass
class Stage:
    """Layers between two planes: `head` and `window` read rows of `source`, then `steps` run on the resulting row."""

    source: int
    window: Layer | None = None
    head: Layer | None = None
    steps: list[Layer] = field(default_factory=list)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of execution."""
        return [layer for layer in (self.head, self.window, *self.steps) if layer is not None]

    @property
    def target(self) -> int:
        """The plane whose rows the stage completes."""
        return self.layers[-1].target

    @property
    def geometry(self) -> Window:
        """The stage's window. A mean is a window that advances row by row and outputs its row after the last one."""
        if self.window is None:
            return Window()
        if self.window.kind == "mean":
            return Window(self.window.window.kernel)
        return self.window.window

    @property
    def carried(self) -> int:
        """Rows of the window that earlier steps have already processed."""
        if self.head is None and (self.window is None or self.window.kind != "mean"):
            return 0
        return max(self.geometry.kernel[0] - self.geometry.stride[0], 0)

    @property
    def fresh(self) -> int:
        """Rows of the window that are new in a step."""
        return self.geometry.kernel[0] - self.carried

    @property
    def first(self) -> int:
        """Number of the first step. Steps below zero read rows but output none."""
        return -self.carried // self.geometry.stride[0]  # rounded away from zero

    @property
    def kept(self) -> int:
        """Fresh rows of a head that later steps still need."""
        return min(self.fresh, self.carried)

    @property
    def residuals(self) -> list[int]:
        """Planes whose rows are added to the stage's row."""
        return [plane for plane in map(self.residual, range(len(self.steps))) if plane is not None]

    def residual(self, number: int) -> int | None:
        """The plane that ADD step `number` adds to its input from the stage; None for steps of another kind."""
        layer = self.steps[number]
        if layer.kind != "add":
            return None
        place = len(self.layers) - len(self.steps) + number
        given = self.layers[place - 1].target if place else self.source
        first, second = layer.sources
        return second if first == given else first

    def rows_read(self, step: int) -> tuple[int, int]:
        """The rows of the source that a step reads: first, and last + 1. Rows outside the plane are padding."""
        start = step * self.geometry.stride[0] - self.geometry.top + self.carried
        return start, start + self.fresh


def build_stages(program: Program) -> list[Stage]:
    """Joins the layers of a program into stages, in program order."""
    stages: list[Stage] = []
    heads: dict[int, Layer] = {}
    for layer in program.layers:
        if _is_head(program, layer):
            heads[layer.target] = layer
        elif layer.kind not in ROWWISE:
            head = heads.get(layer.sources[0])
            stages.append(Stage(layer.sources[0] if head is None else head.sources[0], layer, head))
        elif (stage := _stage_to_extend(program, layer, stages)) is not None:
            stage.steps.append(layer)
        else:
            stages.append(Stage(layer.sources[0], steps=[layer]))
    return stages


def _is_head(program: Program, layer: Layer) -> bool:
    """Whether a layer is a pointwise one that widens a plane for a single depthwise layer."""
    readers = program.readers(layer.target)
    if layer.kind != "pointwise" or len(readers) != 1 or readers[0].kind != "depthwise":
        return False
    kernel, stride = readers[0].window.kernel[0], readers[0].window.stride[0]
    widens = program.planes[layer.target].channels > program.planes[layer.sources[0]].channels
    # The ring of chunks works if a step computes one row, or all carried rows were computed in the previous step.
    return widens and kernel > stride and (stride == 1 or kernel <= 2 * stride)


def _stage_to_extend(program: Program, layer: Layer, stages: list[Stage]) -> Stage | None:
    """The stage that a row-wise layer can join, or None: the layer must be the only reader of the stage's row.

    If two stages are possible, the later one is taken, because the rows of the other wait for it.
    """
    for stage in reversed(stages):
        if stage.target in layer.sources:
            is_private = len(program.readers(stage.target)) == 1 and stage.target != program.output
            return stage if is_private and layer.sources.count(stage.target) == 1 else None
    return None


def simulate_rows(
    program: Program, stages: Sequence[Stage], pushed: int = 0, whole: Collection[int] = ()
) -> dict[int, int]:
    """Simulates the schedule while the rows of the plane `pushed` arrive one by one.

    Returns the largest number of rows that this plane and each target of a stage hold at once. Planes in `whole` keep
    all their rows for later. Planes that no stage computes are complete from the start.
    """
    written = {pushed: 0, **{stage.target: 0 for stage in stages}}
    rows = dict.fromkeys(written, 1)
    heights = {plane: program.planes[plane].height for plane in written}
    complete = {plane for stage in stages for plane in stage.residuals if plane not in written}
    written |= {plane: program.planes[plane].height for plane in complete}
    steps = [stage.first for stage in stages]

    def oldest_needed(plane: int) -> int:
        if plane == program.output or plane in whole:
            return 0
        return min([written[plane], *_rows_needed(program, stages, steps, plane)])

    for _ in range(heights[pushed]):
        written[pushed] += 1
        rows[pushed] = max(rows[pushed], written[pushed] - oldest_needed(pushed))
        while (number := _deepest_ready(program, stages, steps, written)) is not None:
            stage = stages[number]
            start, end = stage.rows_read(steps[number])
            if has_window_rows(stage):
                rows[stage.source] = max(
                    rows[stage.source], max(end, written[stage.source]) - min(start, oldest_needed(stage.source))
                )
            if steps[number] >= 0:
                written[stage.target] += 1
                rows[stage.target] = max(rows[stage.target], written[stage.target] - oldest_needed(stage.target))
            steps[number] += 1
    if any(written[plane] != height for plane, height in heights.items()):
        raise StreamError("its stages wait for each other's rows.")
    return rows


def has_window_rows(stage: Stage) -> bool:
    """Whether the window reads the source's ring buffer directly, including its padding."""
    return stage.window is not None and stage.head is None and stage.window.kind != "mean"


def _rows_needed(program: Program, stages: Sequence[Stage], steps: list[int], plane: int) -> Iterator[int]:
    """The oldest row of a plane that is still needed, for each reader."""
    for stage, step in zip(stages, steps, strict=True):
        if step >= program.planes[stage.target].height:
            continue
        if stage.source == plane:
            start = stage.rows_read(step)[0]
            yield start if has_window_rows(stage) else max(start, 0)
        if plane in stage.residuals:
            yield max(step, 0)


def _deepest_ready(program: Program, stages: Sequence[Stage], steps: list[int], written: dict[int, int]) -> int | None:
    for number in reversed(range(len(stages))):
        stage, step = stages[number], steps[number]
        if step >= program.planes[stage.target].height:
            continue
        needed = min(stage.rows_read(step)[1], program.planes[stage.source].height)
        if written[stage.source] >= needed and all(written[plane] > step for plane in stage.residuals):
            return number
    return None


def places(stage: Stage) -> list[str]:
    """Where the window and each step write their row: target, first_scratch or second_scratch.

    The last layer writes to the target. So does a layer that is followed only by operations in place.
    """
    row_layers = ([stage.window] if stage.window is not None else []) + stage.steps
    result: list[str] = []
    for number, layer in enumerate(row_layers):
        if all(later.kind in IN_PLACE for later in row_layers[number + 1 :]):
            result.append("target")
        elif result and layer.kind in IN_PLACE:
            result.append(result[-1])
        else:
            result.append("second_scratch" if result and result[-1] == "first_scratch" else "first_scratch")
    return result


def scratch_bytes(program: Program, stage: Stage) -> tuple[int, int]:
    """Bytes of the first and second scratch row that a stage needs."""
    row_layers = ([stage.window] if stage.window is not None else []) + stage.steps
    needed = {"target": 0, "first_scratch": 0, "second_scratch": 0}
    for layer, where in zip(row_layers, places(stage), strict=True):
        plane = program.planes[layer.target]
        needed[where] = max(needed[where], plane.width * plane.channels)
    return needed["first_scratch"], needed["second_scratch"]
