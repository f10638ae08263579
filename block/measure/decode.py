"""Grids of probabilities become objects, by integers alone: `esp32_deploy/kernels/decode.h` is its twin on the board.

Channel 0 of a grid is background. Probabilities count in 256ths, the steps of an int8 softmax, whatever the runtime.
"""

from dataclasses import dataclass

import numpy as np

from block.settings import Decode

STEPS = 256
NEIGHBOURS = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]


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


def decode(grid: np.ndarray, threshold: float, cell_px: int, how: Decode) -> list[Detection]:
    """The objects of one image's grid (H, W, classes + 1), the surest first, then by class, row and column.

    fuse:  every cell of at least `threshold` is a rectangle; those of a class that overlap or touch, corners included,
           grow together until none do. The centre is the rectangle's, the score that of its surest cell.
    peaks: a cell that is surer than its eight neighbours (of equals the first) is an object if the probability around
           it reaches `threshold`: the largest sum of two by two cells that hold it, for a centre near the border of
           cells is shared by them. The centre is the mean of the nine cells' centres, weighted by their probability;
           the box is that of those of the nine that are at least half as sure as the peak.
    """
    steps = to_steps(grid)
    least = threshold_step(threshold)
    find = _fused if how == "fuse" else _peaks
    return find(steps, least, cell_px)


def to_steps(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in 256ths (int32), as int8 softmax outputs + 128 have them."""
    return np.minimum(np.rint(probabilities * STEPS), STEPS - 1).astype(np.int32)


def threshold_step(threshold: float) -> int:
    """The least number of 256ths that reaches a threshold; background alone is never an object."""
    return max(1, int(np.ceil(threshold * STEPS)))


def _peaks(steps: np.ndarray, least: int, cell_px: int) -> list[Detection]:
    height, width, _ = steps.shape
    objects = steps[:, :, 1:]
    padded = np.pad(objects, ((1, 1), (1, 1), (0, 0)))

    def beside(down: int, across: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]

    is_peak = objects > 0
    for down, across in NEIGHBOURS:
        # rows are read from the top: of equal neighbours the one read first is the peak
        is_first = (down, across) > (0, 0)
        is_peak &= objects >= beside(down, across) if is_first else objects > beside(down, across)
    around = [
        objects + beside(down, 0) + beside(0, across) + beside(down, across) for down in (-1, 1) for across in (-1, 1)
    ]
    scores = np.minimum(np.maximum.reduce(around), STEPS - 1)
    rows, columns, labels = np.nonzero(is_peak & (scores >= least))
    order = np.lexsort((columns, rows, labels, -scores[rows, columns, labels]))
    return [
        _peak(objects[:, :, label], int(label), int(scores[row, column, label]), int(row), int(column), cell_px)
        for row, column, label in zip(rows[order], columns[order], labels[order], strict=True)
    ]


def _peak(plane: np.ndarray, label: int, score: int, row: int, column: int, cell_px: int) -> Detection:
    top, left = max(0, row - 1), max(0, column - 1)
    nine = plane[top : row + 2, left : column + 2]
    across, down = nine.sum(axis=0), nine.sum(axis=1)
    total = int(nine.sum())
    # twice the position of a cell's centre is a whole number of cells
    center_x = int((across * (2 * (left + np.arange(len(across))) + 1)).sum()) * cell_px // (2 * total)
    center_y = int((down * (2 * (top + np.arange(len(down))) + 1)).sum()) * cell_px // (2 * total)
    rows, columns = np.nonzero(2 * nine >= plane[row, column])
    y, x = top + int(rows.min()), left + int(columns.min())
    box_height, box_width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    return Detection(
        label,
        score / STEPS,
        x * cell_px,
        y * cell_px,
        box_width * cell_px,
        box_height * cell_px,
        center_x,
        center_y,
    )


def _fused(steps: np.ndarray, least: int, cell_px: int) -> list[Detection]:
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
            step / STEPS,
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
