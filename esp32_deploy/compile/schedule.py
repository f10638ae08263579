"""The depth-first row schedule: the rows that each layer keeps, the order of execution, and the memory for rows.

Layers are joined into stages. A stage reads rows of one plane, slides a window over them, and runs further layers on
the row that the window gives. So only the planes between stages need memory. One rule sets the order: of the stages
whose input rows are complete, the deepest runs first. This module simulates the rule with row numbers. The largest
number of rows that a plane holds at once is the size of its ring buffer. Nothing is computed twice.

A stage may begin with a head: a 1x1 convolution that widens few channels to many, in front of a depthwise convolution.
The head computes eight channels at a time. The wide plane then keeps kernel - stride rows, instead of kernel rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from esp32_deploy.compile.graph import StreamError
from esp32_deploy.compile.lower import Convolution, Layer, Program, Window

GROUP_CHANNELS = 8
"""Channels of a head that are computed at a time. kernels/stream.h has the same constant."""
STRIP_PIXELS = 16
"""The most pixels whose windows a convolution gathers at a time. The generated tables pass it to the kernels."""

SEGMENT_BYTES = 64 * 1024
"""Largest segment, because the free memory of a board lies in pieces."""
ALIGNMENT_BYTES = 4

ROWWISE = ("pointwise", "add", "table", "softmax")
IN_PLACE = ("add", "table", "softmax")


@dataclass(frozen=True)
class Place:
    """A range of bytes in a memory segment."""

    segment: int
    offset: int
    bytes: int


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


@dataclass(frozen=True)
class Buffer:
    """A plane's ring buffer of `rows` rows. A row has one line of `pitch` bytes per channel.

    `left` is the padding in front of a line, in bytes; `pad` is the value of padding.
    """

    left: int
    pitch: int
    rows: int
    pad: int
    place: Place


@dataclass(frozen=True)
class Chunks:
    """A head's memory: chunks of eight lines, one per channel.

    A ring buffer holds `positions` times `kept` chunks. Chunks for rows that are not kept lie behind it.
    """

    pitch: int
    groups: int
    positions: int
    place: Place


@dataclass(frozen=True)
class Schedule:
    """Stages and memory layout: all that a board needs apart from the constants."""

    program: Program
    stages: tuple[Stage, ...]
    buffers: dict[int, Buffer]
    chunks: dict[int, Chunks]
    """By stage number."""
    sums: dict[int, Place]
    """The 32-bit sums of a mean, by stage number."""
    patches: Place
    corrections: Place
    """One 32-bit sum per pixel that a 1x1 convolution reads."""
    scratch: tuple[Place, Place]
    segments: tuple[int, ...]
    """Bytes of each segment."""

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self.segments)

    @property
    def window_rows(self) -> int:
        """The most rows that a window reads at once. A mean reads one row at a time and does not count."""
        windows = [stage for stage in self.stages if stage.window is None or stage.window.kind != "mean"]
        return max([1, *(stage.geometry.kernel[0] for stage in windows)])


def plan(program: Program) -> Schedule:
    """The schedule of a program. Raises StreamError if a piece of memory does not fit in a segment."""
    stages = build_stages(program)
    rows = simulate_rows(program, stages)
    memory = _Memory()
    buffers = {plane: _buffer(program, stages, plane, count, memory) for plane, count in rows.items()}
    chunks = {number: _chunks(program, stage, memory) for number, stage in enumerate(stages) if stage.head is not None}
    sums = {
        number: memory.place(4 * program.planes[stage.source].channels, f"the sums of {stage.window.name!r}")
        for number, stage in enumerate(stages)
        if stage.window is not None and stage.window.kind == "mean"
    }
    patches = memory.place(max([0, *(_patch_bytes(program, stage) for stage in stages)]), "patches")
    corrections = memory.place(4 * max(_pixels_summed(program, stage) for stage in stages), "sums of pixels")
    scratch = [
        memory.place(max([0, *(scratch_bytes(program, stage)[which] for stage in stages)]), "a scratch row")
        for which in (0, 1)
    ]
    return Schedule(
        program,
        tuple(stages),
        buffers,
        chunks,
        sums,
        patches,
        corrections,
        (scratch[0], scratch[1]),
        tuple(memory.segments),
    )


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


def simulate_rows(program: Program, stages: list[Stage]) -> dict[int, int]:
    """Simulates the schedule. Returns the largest number of rows that each plane between stages holds at once."""
    written = {0: 0, **{stage.target: 0 for stage in stages}}
    steps = [stage.first for stage in stages]
    rows = dict.fromkeys(written, 1)
    heights = {plane: program.planes[plane].height for plane in written}

    def oldest_needed(plane: int) -> int:
        if plane == program.output:
            return 0
        return min([written[plane], *_rows_needed(program, stages, steps, plane)])

    for _ in range(heights[0]):
        written[0] += 1
        rows[0] = max(rows[0], written[0] - oldest_needed(0))
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


def _rows_needed(program: Program, stages: list[Stage], steps: list[int], plane: int) -> Iterator[int]:
    """The oldest row of a plane that is still needed, for each reader."""
    for stage, step in zip(stages, steps, strict=True):
        if step >= program.planes[stage.target].height:
            continue
        if stage.source == plane:
            start = stage.rows_read(step)[0]
            yield start if has_window_rows(stage) else max(start, 0)
        if plane in stage.residuals:
            yield max(step, 0)


def _deepest_ready(program: Program, stages: list[Stage], steps: list[int], written: dict[int, int]) -> int | None:
    for number in reversed(range(len(stages))):
        stage, step = stages[number], steps[number]
        if step >= program.planes[stage.target].height:
            continue
        needed = min(stage.rows_read(step)[1], program.planes[stage.source].height)
        if written[stage.source] >= needed and all(written[plane] > step for plane in stage.residuals):
            return number
    return None


class _Memory:
    """Allocates pieces of memory in segments, first fit."""

    def __init__(self) -> None:
        self.segments: list[int] = []

    def place(self, size: int, what: str) -> Place:
        size = -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if size > SEGMENT_BYTES:
            raise StreamError(
                f"one piece of memory ({what}) would need {size} bytes. At most {SEGMENT_BYTES} are possible. "
                "Train for a smaller image."
            )
        for segment, used in enumerate(self.segments):
            if used + size <= SEGMENT_BYTES:
                self.segments[segment] += size
                return Place(segment, used, size)
        self.segments.append(size)
        return Place(len(self.segments) - 1, 0, size)


def _buffer(program: Program, stages: list[Stage], number: int, rows: int, memory: _Memory) -> Buffer:
    plane = program.planes[number]
    windows = [stage for stage in stages if stage.source == number and has_window_rows(stage)]
    left = max([0, *(stage.geometry.left for stage in windows)])
    right = max([0, *(stage.geometry.right for stage in windows)])
    padded = [stage for stage in windows if any((stage.geometry.left, stage.geometry.right, *_rows_outside(stage)))]
    pads = {stage.window.pad for stage in padded if stage.window is not None}
    if len(pads) > 1:
        raise StreamError(f"{plane.name!r} is padded by a pool and by a convolution with different values.")
    pitch = left + plane.width + right
    place = memory.place(rows * pitch * plane.channels, f"{rows} rows of {plane.name!r}")
    return Buffer(left, pitch, rows, pads.pop() if pads else 0, place)


def _rows_outside(stage: Stage) -> tuple[int, int]:
    return stage.geometry.top, stage.geometry.bottom


def _chunks(program: Program, stage: Stage, memory: _Memory) -> Chunks:
    if stage.head is None:
        raise ValueError("only a stage with a head has chunks")
    plane, geometry = program.planes[stage.head.target], stage.geometry
    pitch = geometry.left + plane.width + geometry.right
    groups = -(-plane.channels // GROUP_CHANNELS)
    positions = stage.carried // stage.kept * groups + 1
    chunks = positions * stage.kept + stage.fresh - stage.kept
    name = f"{stage.carried} rows of {plane.name!r}"
    return Chunks(pitch, groups, positions, memory.place(chunks * pitch * GROUP_CHANNELS, name))


def strip_pixels(program: Program, layer: Layer) -> int:
    """Pixels whose windows a convolution gathers at a time: at most the width of a row."""
    return min(STRIP_PIXELS, program.planes[layer.target].width)


def _patch_bytes(program: Program, stage: Stage) -> int:
    if stage.window is None or not isinstance(stage.window.parameters, Convolution) or stage.head is not None:
        return 0
    if stage.window.kind != "convolution":
        return 0
    weights = stage.window.parameters.weights
    return weights[0].size * strip_pixels(program, stage.window)


def _pixels_summed(program: Program, stage: Stage) -> int:
    """The most pixels whose sums a stage needs at once: those of a head's fresh rows, or of the target's row."""
    head = 0 if stage.head is None else stage.fresh * program.planes[stage.source].width
    return max(head, program.planes[stage.target].width)


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
