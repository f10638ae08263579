"""Grids of probabilities become objects, by integers alone: `esp32_deploy/kernels/decode.h` is its twin on the board.

Channel 0 of a grid is background. Probabilities count in 256ths, the steps of an int8 softmax, whatever the runtime.
"""

from dataclasses import dataclass

import numpy as np

from block.settings import Decode

STEPS = 256
# a certain object's: an int8 softmax ends here
WHOLE = STEPS - 1


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
    peaks: the two by two cells with the most probability are an object if they reach `threshold` together, for training
           shares an object among the cells around its centre (block/model/detection.py). It takes one whole
           probability away with it, from the surest cells first; then the next most probable cells are looked at. The
           centre is the mean of the centres of its cells, weighted by what it takes; the box is that of those of
           which it takes at least half as much as of the surest.
    """
    steps = to_steps(grid)
    least = threshold_step(threshold)
    find = _fused if how == "fuse" else _peaks
    return find(steps, least, cell_px)


def to_steps(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in 256ths (int32), as int8 softmax outputs + 128 have them."""
    return np.minimum(np.rint(probabilities * STEPS), WHOLE).astype(np.int32)


def threshold_step(threshold: float) -> int:
    """The least number of 256ths that reaches a threshold; background alone is never an object."""
    return max(1, int(np.ceil(threshold * STEPS)))


def _peaks(steps: np.ndarray, least: int, cell_px: int) -> list[Detection]:
    found = []
    for label in range(steps.shape[2] - 1):
        plane = steps[:, :, label + 1].copy()
        while True:
            sums = _two_by_two(plane)
            row, column = divmod(int(sums.argmax()), sums.shape[1])
            score = min(int(sums[row, column]), WHOLE)
            if score < least:
                break
            taken = _take(plane[row : row + 2, column : column + 2])
            found.append((score, label, row, column, taken))
    found.sort(key=lambda one: (-one[0], *one[1:4]))
    return [_peak(*one, cell_px) for one in found]


def _two_by_two(plane: np.ndarray) -> np.ndarray:
    """Sums of two by two cells; of the one row or column of a grid that has no two."""
    rows = plane[:-1] + plane[1:] if len(plane) > 1 else plane
    return rows[:, :-1] + rows[:, 1:] if rows.shape[1] > 1 else rows


def _take(cells: np.ndarray) -> np.ndarray:
    """What an object takes of its cells, which lose it: all, or one whole probability from the surest first."""
    taken, left = np.zeros_like(cells), WHOLE
    for place in np.argsort(-cells, axis=None, kind="stable"):
        taken.flat[place] = min(left, int(cells.flat[place]))
        left -= int(taken.flat[place])
    cells -= taken
    return taken


def _peak(score: int, label: int, top: int, left: int, taken: np.ndarray, cell_px: int) -> Detection:
    across, down = taken.sum(axis=0), taken.sum(axis=1)
    total = int(taken.sum())
    # twice the position of a cell's centre is a whole number of cells
    center_x = int((across * (2 * (left + np.arange(len(across))) + 1)).sum()) * cell_px // (2 * total)
    center_y = int((down * (2 * (top + np.arange(len(down))) + 1)).sum()) * cell_px // (2 * total)
    rows, columns = np.nonzero(2 * taken >= taken.max())
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
