"""The schedule: which stages run row by row and which layer by layer, the rows that planes keep, and their memory.

The first stages run depth first while the image arrives (`stages.py`). A ring buffer of a few rows can be larger than
its plane where the plane has few rows. So the last stages may run layer by layer: each reads a whole plane and writes a
whole plane, in memory that the stages before it no longer need. The schedule compares every point at which the change
is possible, and takes the one that needs least memory. Either way nothing is computed twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from esp32_deploy.compile.division import Division, distance, phases_of
from esp32_deploy.compile.graph import StreamError
from esp32_deploy.compile.lower import Convolution, Layer, Program
from esp32_deploy.compile.memory import Piece, Place, aligned, lay_out
from esp32_deploy.compile.stages import Stage, build_stages, has_window_rows, scratch_bytes

GROUP_CHANNELS = 8
"""Channels of a head that are computed at a time. kernels/stream.h has the same constant."""
STRIP_PIXELS = 16
"""The most pixels whose windows a convolution gathers at a time. The generated tables pass it to the kernels."""
STRIP_STEP = 4
"""Pixels that a 1x1 convolution computes together. A strip has a multiple of them."""
PATCH_BYTES = 2304
"""Bytes of gathered windows above which a strip gets shorter."""
LAYERS_STACK_BYTES = 64
"""Stack of the code that runs stages layer by layer, as measured on the emulated processors."""


@dataclass(frozen=True)
class Buffer:
    """Rows of a plane in memory: a ring buffer of `rows` rows, or the whole plane.

    A row has one line of `pitch` bytes per channel. `left` is the padding in front of a line, in bytes; `pad` is the
    value of padding.
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
class Workspace:
    """Memory that the stages of a phase use one after the other.

    `corrections` has one 32-bit sum per pixel that a 1x1 convolution reads.
    """

    patches: Place
    corrections: Place
    scratch: tuple[Place, Place]

    @property
    def places(self) -> tuple[Place, ...]:
        """All its pieces."""
        return self.patches, self.corrections, *self.scratch


@dataclass(frozen=True)
class Schedule:
    """Stages and memory layout: all that a board needs apart from the constants."""

    program: Program
    stages: tuple[Stage, ...]
    streamed: int
    """The number of stages that run row by row. The stages after them run layer by layer."""
    buffers: dict[int, Buffer]
    copies: dict[int, Buffer]
    """By stage number: padded rows, copied from a whole plane, for the windows of a stage that runs by itself."""
    chunks: dict[int, Chunks]
    """By stage number."""
    sums: dict[int, Place]
    """The 32-bit sums of a mean, by stage number."""
    workspaces: tuple[Workspace, ...]
    """By phase."""
    segments: tuple[int, ...]
    """Bytes of each segment."""

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self.segments)

    @property
    def needed_bytes(self) -> int:
        """Bytes of all segments, and of the stack that only a schedule with layers needs."""
        return self.bytes + (LAYERS_STACK_BYTES if self.streamed < len(self.stages) else 0)

    @property
    def window_rows(self) -> int:
        """The most rows that a window reads at once. A mean reads one row at a time and does not count."""
        windows = [stage for stage in self.stages if stage.window is None or stage.window.kind != "mean"]
        return max([1, *(stage.geometry.kernel[0] for stage in windows)])

    @property
    def phases(self) -> list[range]:
        """The numbers of the stages that each phase runs."""
        return phases_of(len(self.stages), self.streamed)


def plan(program: Program) -> Schedule:
    """The schedule of a program that needs least memory. Of several such schedules, the one that streams most stages.

    Raises StreamError if no schedule is possible, for example because a piece of memory does not fit in a segment.
    """
    stages = tuple(build_stages(program))
    drafts: list[Draft] = []
    best: Schedule | None = None
    refusal: StreamError | None = None
    for streamed in range(len(stages), 0, -1):
        try:
            drafts.append(draft(Division(program, stages, streamed)))
        except StreamError as error:
            refusal = refusal or error
    for one in sorted(drafts, key=lambda one: one.least_bytes):
        if best is not None and one.least_bytes > best.needed_bytes:
            break
        try:
            found = one.schedule()
        except StreamError as error:
            refusal = refusal or error
            continue
        if best is None or (found.needed_bytes, -found.streamed) < (best.needed_bytes, -best.streamed):
            best = found
    if best is None:
        raise refusal or StreamError("it has no layers.")
    return best


Reserve = Callable[[str, int, int, int], Place]
"""Gives a piece of memory a place: what it is for, its bytes, and the first and last phase that need it."""


@dataclass(frozen=True)
class Draft:
    """A division, its pieces of memory, and the distances between pieces that may overlap."""

    division: Division
    pieces: tuple[Piece, ...]
    distances: dict[tuple[int, int], int]

    @property
    def least_bytes(self) -> int:
        """No layout is smaller: the bytes that phase 0 needs at once."""
        return sum(aligned(piece.bytes) for piece in self.pieces if piece.first == 0)

    def schedule(self) -> Schedule:
        """The schedule with a place for each piece."""
        layout = lay_out(self.pieces, self.distances)
        found = iter(layout.places)
        return _assembled(self.division, lambda *_: next(found), layout.segments)


def draft(division: Division) -> Draft:
    """The pieces of memory of a division. Raises StreamError if the division is not possible."""
    pieces: list[Piece] = []

    def listed(what: str, size: int, first: int, last: int) -> Place:
        pieces.append(Piece(what, size, first, last))
        return Place(0, 0, aligned(size))

    schedule = _assembled(division, listed, ())
    return Draft(division, tuple(pieces), _distances(division, schedule.buffers))


def _assembled(division: Division, reserve: Reserve, segments: tuple[int, ...]) -> Schedule:
    """The schedule of a division whose pieces of memory get their places from `reserve`. Buffers come first."""
    program, stages = division.program, division.stages
    buffers = {plane: _buffer(division, plane, reserve) for plane in division.rows}
    copies, chunks, sums, workspaces = {}, {}, {}, []
    for phase, numbers in enumerate(division.phases):
        for number in filter(division.is_copied, numbers):
            copies[number] = _copy(division, number, reserve)
        for number in numbers:
            if stages[number].head is not None:
                chunks[number] = _chunks(program, stages[number], phase, reserve)
        for number in numbers:
            window = stages[number].window
            if window is not None and window.kind == "mean":
                size = 4 * program.planes[stages[number].source].channels
                sums[number] = reserve(f"the sums of {window.name!r}", size, phase, phase)
        workspaces.append(_workspace(program, [stages[number] for number in numbers], phase, reserve))
    return Schedule(program, stages, division.streamed, buffers, copies, chunks, sums, tuple(workspaces), segments)


def _buffer(division: Division, number: int, reserve: Reserve) -> Buffer:
    windows = [stage for stage in division.stages[: division.streamed] if stage.source == number]
    return _padded(division, number, windows, division.rows[number], division.lives[number], reserve)


def _copy(division: Division, number: int, reserve: Reserve) -> Buffer:
    stage, phase = division.stages[number], division.phase(number)
    return _padded(division, stage.source, [stage], division.copied_rows[number], (phase, phase), reserve)


def _padded(
    division: Division, number: int, readers: list[Stage], rows: int, life: tuple[int, int], reserve: Reserve
) -> Buffer:
    """A buffer for rows of a plane, with the padding that the windows of its readers need."""
    plane = division.program.planes[number]
    windows = [stage for stage in readers if has_window_rows(stage)]
    left = max([0, *(stage.geometry.left for stage in windows)])
    right = max([0, *(stage.geometry.right for stage in windows)])
    padded = [stage for stage in windows if any((stage.geometry.left, stage.geometry.right, *_rows_outside(stage)))]
    pads = {stage.window.pad for stage in padded if stage.window is not None}
    if len(pads) > 1:
        raise StreamError(f"{plane.name!r} is padded by a pool and by a convolution with different values.")
    pitch = left + plane.width + right
    place = reserve(f"{rows} rows of {plane.name!r}", rows * pitch * plane.channels, *life)
    return Buffer(left, pitch, rows, pads.pop() if pads else 0, place)


def _rows_outside(stage: Stage) -> tuple[int, int]:
    return stage.geometry.top, stage.geometry.bottom


def _chunks(program: Program, stage: Stage, phase: int, reserve: Reserve) -> Chunks:
    if stage.head is None:
        raise ValueError("only a stage with a head has chunks")
    plane, geometry = program.planes[stage.head.target], stage.geometry
    pitch = geometry.left + plane.width + geometry.right
    groups = -(-plane.channels // GROUP_CHANNELS)
    positions = stage.carried // stage.kept * groups + 1
    chunks = positions * stage.kept + stage.fresh - stage.kept
    name = f"{stage.carried} rows of {plane.name!r}"
    return Chunks(pitch, groups, positions, reserve(name, chunks * pitch * GROUP_CHANNELS, phase, phase))


def _workspace(program: Program, stages: list[Stage], phase: int, reserve: Reserve) -> Workspace:
    patches = reserve("patches", max([0, *(_patch_bytes(program, stage) for stage in stages)]), phase, phase)
    pixels = max(_pixels_summed(program, stage) for stage in stages)
    corrections = reserve("sums of pixels", 4 * pixels, phase, phase)
    first, second = (
        reserve("a scratch row", max([0, *(scratch_bytes(program, stage)[which] for stage in stages)]), phase, phase)
        for which in (0, 1)
    )
    return Workspace(patches, corrections, (first, second))


def strip_pixels(program: Program, layer: Layer) -> int:
    """Pixels whose windows a convolution gathers at a time: at most the width of a row.

    A large window gets fewer pixels, because the memory for them would be larger than that for rows.
    """
    assert isinstance(layer.parameters, Convolution)
    fitting = PATCH_BYTES // layer.parameters.weights[0].size // STRIP_STEP * STRIP_STEP
    return min(STRIP_PIXELS, program.planes[layer.target].width, max(fitting, STRIP_STEP))


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


def _distances(division: Division, buffers: dict[int, Buffer]) -> dict[tuple[int, int], int]:
    """For pieces of memory whose rows a stage may overwrite while it still reads the plane: the least distance.

    Keys are (target, plane read for the last time), as numbers of pieces. Buffers are the first pieces, in their order.
    """
    pieces = {plane: piece for piece, plane in enumerate(buffers)}
    row_bytes = {plane: one.pitch * division.program.planes[plane].channels for plane, one in buffers.items()}
    distances = {}
    for number in range(division.streamed, len(division.stages)):
        stage = division.stages[number]
        for plane in {stage.source, *stage.residuals} - {stage.target}:
            if division.lives[plane][1] == division.phase(number) and plane != division.program.output:
                distances[pieces[stage.target], pieces[plane]] = distance(division, number, plane, row_bytes)
    return distances
