"""Divides a program: the first stages run row by row, the others layer by layer on whole planes.

Time is counted in phases. Phase 0 runs all streamed stages. Each later phase runs one stage on whole planes. A division
tells which rows of which plane exist in which phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from esp32_deploy.compile.lower import Program
from esp32_deploy.compile.stages import Stage, has_window_rows, places, simulate_rows


def phases_of(stages: int, streamed: int) -> list[range]:
    return [range(streamed), *(range(number, number + 1) for number in range(streamed, stages))]


@dataclass(frozen=True)
class Division:
    """A program whose first `streamed` stages run row by row, and the others layer by layer."""

    program: Program
    stages: tuple[Stage, ...]
    streamed: int

    @property
    def phases(self) -> list[range]:
        return phases_of(len(self.stages), self.streamed)

    def phase(self, number: int) -> int:
        """The phase that runs a stage."""
        return max(number - self.streamed + 1, 0)

    @cached_property
    def lives(self) -> dict[int, tuple[int, int]]:
        """The first and the last phase that need a plane, for the image and each target of a stage."""
        lives = {0: (0, 0), **{stage.target: (self.phase(n),) * 2 for n, stage in enumerate(self.stages)}}
        for number, stage in enumerate(self.stages):
            for plane in (stage.source, *stage.residuals):
                lives[plane] = (lives[plane][0], max(lives[plane][1], self.phase(number)))
        output = self.program.output
        lives[output] = (lives[output][0], len(self.phases) - 1)
        return lives

    @cached_property
    def rows(self) -> dict[int, int]:
        """Rows that each plane keeps in memory."""
        whole = {plane for plane, (_, last) in self.lives.items() if last > 0}
        streamed = simulate_rows(self.program, self.stages[: self.streamed], whole=whole)
        return {plane: streamed.get(plane, self.program.planes[plane].height) for plane in self.lives}

    @cached_property
    def copied_rows(self) -> dict[int, int]:
        """Rows of its source that a stage keeps as copies, by stage number."""
        found = {}
        for number in filter(self.is_copied, range(len(self.stages))):
            stage = self.stages[number]
            found[number] = simulate_rows(self.program, [stage], pushed=stage.source)[stage.source]
        return found

    def is_copied(self, number: int) -> bool:
        """Whether a stage that runs by itself reads padded copies of rows. Whole planes have no padding."""
        stage = self.stages[number]
        window = stage.geometry
        padding = (window.top, window.bottom, window.left, window.right)
        return number >= self.streamed and has_window_rows(stage) and any(padding)


def distance(division: Division, number: int, plane: int, row_bytes: Mapping[int, int]) -> int:
    """The bytes by which a stage's target must begin before a plane that it reads, so that both may overlap.

    Row y of the target must end before the first row of the plane that is still needed when row y is written.
    `row_bytes` are the bytes of a row in memory, by plane.
    """
    target = division.stages[number].target
    return max(
        (y + 1) * row_bytes[target] - _rows_done(division, number, plane, y) * row_bytes[plane]
        for y in range(division.program.planes[target].height)
    )


def _rows_done(division: Division, number: int, plane: int, step: int) -> int:
    """Rows of a plane that a stage no longer needs when it writes the row of a step."""
    stage, done = division.stages[number], division.program.planes[plane].height
    if plane in stage.residuals:
        done = min(done, step)
    if plane == stage.source:
        if division.is_copied(number):
            done = min(done, stage.rows_read(step)[1])
        elif places(stage)[0] != "target":  # the step reads its rows before it writes
            done = min(done, max(stage.rows_read(step + 1)[0], 0))
        else:
            done = min(done, max(stage.rows_read(step)[0], 0))
    return done
