"""Grids of probabilities become objects, by integers alone: `esp32_deploy/kernels/decode.h` is its twin on the board.

Channel 0 of a grid is background. Probabilities count in 256ths, the steps of an int8 softmax, whatever the runtime.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from esp32_deploy.words import SCORE_STEPS, Decode, least_score

MOST_SCORE = SCORE_STEPS - 1
"""The largest value of an int8 softmax, in 256ths."""


@dataclass(frozen=True)
class Detection:
    """One object: `label` is a class index (0 is the first class), the rest in px of the network's input."""

    label: int
    score: float
    x: int
    y: int
    width: int
    height: int
    center_x: int
    center_y: int


class Part(NamedTuple):
    """What an object takes of a cell, in 256ths."""

    row: int
    column: int
    steps: int


def decode(grid: np.ndarray, threshold: float, cell_px: int, how: Decode) -> list[Detection]:
    """The objects of one image's grid (H, W, classes + 1), the surest first, then by class, row and column of the first
    of their cells; what is equal in all of these stays as it was found.

    fuse:  every cell of at least `threshold` is a rectangle; those of a class that overlap or touch, corners included,
           grow together until none do. The centre is the rectangle's, the score that of its surest cell.
    peaks: the two by two cells with the most probability are an object if they reach `threshold` together, for training
           shares an object among the cells around its centre (block/model/detection.py). It takes one whole
           probability away with it, from the surest cells first; then the next most probable cells are looked at. The
           centre is the mean of the centres of its cells, weighted by what it takes; the box is that of those of
           which it takes at least half as much as of the surest.
    """
    steps = to_steps(grid)
    least = least_score(threshold)
    find = find_fused if how == "fuse" else find_peaks
    return find(steps, least, cell_px)


def to_steps(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in 256ths (int32), as int8 softmax outputs + 128 have them."""
    return np.minimum(np.rint(probabilities * SCORE_STEPS), MOST_SCORE).astype(np.int32)


def find_peaks(steps: np.ndarray, least: int, cell_px: int) -> list[Detection]:
    found = []
    for label in range(steps.shape[2] - 1):
        plane = steps[:, :, label + 1].copy()
        while True:
            sums = _two_by_two(plane)
            row, column = divmod(int(sums.argmax()), sums.shape[1])
            score = min(int(sums[row, column]), MOST_SCORE)
            if score < least:
                break
            found.append((score, label, row, column, take_object(plane, row, column, score)))
    found.sort(key=lambda one: (-one[0], *one[1:4]))
    return [_peak(score, label, taken, cell_px) for score, label, _, _, taken in found]


def _two_by_two(plane: np.ndarray) -> np.ndarray:
    """Sums of two by two cells; of the one row or column of a grid that has no two."""
    rows = plane[:-1] + plane[1:] if len(plane) > 1 else plane
    return rows[:, :-1] + rows[:, 1:] if rows.shape[1] > 1 else rows


def take_object(plane: np.ndarray, top: int, left: int, score: int) -> list[Part]:
    """What an object takes of two by two cells, which lose it: its score, from the surest first."""
    height, width = plane.shape
    cells = [(row, column) for row in (top, top + 1) for column in (left, left + 1) if row < height and column < width]
    taken, rest = [], score
    for row, column in sorted(cells, key=lambda cell: -plane[cell]):
        steps = min(rest, int(plane[row, column]))
        plane[row, column] -= steps
        rest -= steps
        taken.append(Part(row, column, steps))
    return taken


def _peak(score: int, label: int, taken: list[Part], cell_px: int) -> Detection:
    most = max(part.steps for part in taken)
    box = [part for part in taken if 2 * part.steps >= most]
    rows, columns = sorted(part.row for part in box), sorted(part.column for part in box)
    return Detection(
        label,
        score / SCORE_STEPS,
        columns[0] * cell_px,
        rows[0] * cell_px,
        (columns[-1] - columns[0] + 1) * cell_px,
        (rows[-1] - rows[0] + 1) * cell_px,
        # twice the position of a cell's centre is a whole number of cells
        sum(part.steps * (2 * part.column + 1) for part in taken) * cell_px // (2 * score),
        sum(part.steps * (2 * part.row + 1) for part in taken) * cell_px // (2 * score),
    )


def find_fused(steps: np.ndarray, least: int, cell_px: int) -> list[Detection]:
    found = []
    for label in range(steps.shape[2] - 1):
        plane = steps[:, :, label + 1]
        rectangles: list[tuple[int, int, int, int, int]] = []  # top, left, bottom, right (exclusive), step
        for row, column in zip(*np.nonzero(plane >= least), strict=True):
            _add(rectangles, (int(row), int(column), int(row) + 1, int(column) + 1, int(plane[row, column])))
        found += [(step, label, *rectangle) for *rectangle, step in rectangles]
    found.sort(key=lambda one: (-one[0], *one[1:4]))
    return [
        Detection(
            label,
            step / SCORE_STEPS,
            left * cell_px,
            top * cell_px,
            (right - left) * cell_px,
            (bottom - top) * cell_px,
            (left + right) * cell_px // 2,
            (top + bottom) * cell_px // 2,
        )
        for step, label, top, left, bottom, right in found
    ]


def _add(rectangles: list[tuple[int, int, int, int, int]], new: tuple[int, int, int, int, int]) -> None:
    """Adds a rectangle to those of a class, none of which touch; whatever it touches becomes one with it."""
    while True:
        touched = [one for one in rectangles if _touch(one, new)]
        if not touched:
            rectangles.append(new)
            return
        for one in touched:
            rectangles.remove(one)
        tops, lefts, bottoms, rights, steps = zip(new, *touched, strict=True)
        new = (min(tops), min(lefts), max(bottoms), max(rights), max(steps))


def _touch(one: tuple[int, int, int, int, int], other: tuple[int, int, int, int, int]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
