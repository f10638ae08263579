"""Decodes a grid of probabilities into objects with integers only, exactly as `esp32_deploy/kernels/decode.h` does.

Channel 0 of a grid is background. For every runtime, probabilities count in 256ths, the steps of an int8 softmax.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from esp32_deploy.words import SCORE_STEPS, Decode, least_score

MOST_SCORE = SCORE_STEPS - 1
"""The largest output of an int8 softmax, in 256ths. It stands for probability 1."""


@dataclass(frozen=True)
class Detection:
    """One object. Label 0 is the first class, `score` is 0..1, the other fields are in px of the network's input."""

    label: int
    score: float
    x: int
    y: int
    width: int
    height: int
    center_x: int
    center_y: int


class Part(NamedTuple):
    """The part of a cell that belongs to an object, in 256ths."""

    row: int
    column: int
    steps: int


def decode(grid: np.ndarray, threshold: float, cell_px: int, how: Decode) -> list[Detection]:
    """Finds the objects in one image's grid (H, W, classes + 1).

    The object with the highest score comes first. Equal scores are sorted by class, then by row and column of the
    object's first cell. Objects that are still equal stay in the order of their detection.

    fuse:  Each cell that reaches `threshold` is a rectangle. Rectangles of a class that overlap or touch, corners
           included, are merged until no two touch. An object's centre is that of its rectangle, and its score is the
           largest of its cells.
    peaks: The 2x2 window of cells with the largest sum is an object if the sum reaches `threshold`, because training
           spreads an object over the cells around its centre (block/model/detection.py). The sum, at most probability
           1, is subtracted from the cells, from the largest first. Then the search starts again. An object's centre is
           the mean of its cells' centres, weighted by the parts subtracted. Its box holds the cells whose part is at
           least half of the largest part.
    """
    steps = to_steps(grid)
    least = least_score(threshold)
    find = find_fused if how == "fuse" else find_peaks
    return find(steps, least, cell_px)


def to_steps(probabilities: np.ndarray) -> np.ndarray:
    """Converts probabilities to 256ths (int32). They equal the outputs of an int8 softmax + 128."""
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
    """Sums of 2x2 windows of cells. The windows of a grid with one row or one column are narrower."""
    rows = plane[:-1] + plane[1:] if len(plane) > 1 else plane
    return rows[:, :-1] + rows[:, 1:] if rows.shape[1] > 1 else rows


def take_object(plane: np.ndarray, top: int, left: int, score: int) -> list[Part]:
    """Subtracts an object's score from its 2x2 window, from the largest cell first. Returns the part of each cell."""
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
        # a cell's centre lies at half a cell: twice its position is an integer
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
    """Adds a rectangle to those of a class, no two of which touch. It is merged with all that it touches."""
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
