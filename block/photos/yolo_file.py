"""Reads the lines of a YOLO label file: boxes, polygons and poses, each as a class number and a box in shares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# The class number, and the centre, width and height of the box.
BOX_COUNT = 5
LEAST_CORNERS = 3
# Keypoints of three numbers have x, y and a flag that says whether the point is seen.
FLAGGED = 3
# Rounding can move a number this much out of 0..1. Ultralytics accepts as much.
SLACK = 0.01


@dataclass(frozen=True)
class YoloObject:
    """An object of a label file."""

    line: int
    """The number of its line, from 1."""
    number: int
    """The number of its class."""
    edges: tuple[float, float, float, float]
    """Left, top, width and height of its box, in shares of the photo's width and height."""
    count: int
    """How many numbers its line has."""
    may_be_pose: bool
    """True for a polygon whose numbers could also be a box and keypoints inside it."""


def looks_like_yolo(text: str) -> bool:
    """True if the first line that is not blank begins with a whole number, and has four more numbers at least."""
    words = next((line.split() for line in text.splitlines() if line.strip()), [])
    return len(words) >= BOX_COUNT and words[0].isdecimal() and all(map(NUMBER.fullmatch, words))


def read_objects(text: str, keypoint_numbers: int | None) -> list[YoloObject]:
    """The objects in the text of a label file, in its order.

    `keypoint_numbers` is how many numbers the keypoints of a pose have together; None if the set does not say. Raises
    ValueError with the number of the line if a line is not understood.
    """
    objects = []
    for line, words in enumerate(map(str.split, text.splitlines()), start=1):
        if words:
            try:
                objects.append(_object(line, words, keypoint_numbers))
            except ValueError as error:
                raise ValueError(f"line {line}: {error}") from error
    return objects


def _object(line: int, words: Sequence[str], keypoint_numbers: int | None) -> YoloObject:
    wrong = next((word for word in words if not NUMBER.fullmatch(word)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:40]!r} is not a number")
    class_number, *values = map(float, words)
    if not class_number.is_integer() or class_number < 0:
        raise ValueError(f"{words[0]} is not the number of a class")
    count = len(words)
    if count == BOX_COUNT or _is_pose(count, keypoint_numbers):
        _refuse_outside(values[: BOX_COUNT - 1])
        return YoloObject(line, int(class_number), _box(values), count, may_be_pose=False)
    if keypoint_numbers is None and count > 2 * LEAST_CORNERS and count % 2:
        _refuse_outside(values)
        return YoloObject(line, int(class_number), _around(values), count, _may_be_pose(values))
    raise ValueError(_not_understood(count, keypoint_numbers))


def _is_pose(count: int, keypoint_numbers: int | None) -> bool:
    if keypoint_numbers is not None:
        return count == BOX_COUNT + keypoint_numbers
    # a polygon has an odd count
    return count > BOX_COUNT and count % 2 == 0 and (count - BOX_COUNT) % FLAGGED == 0


def _not_understood(count: int, keypoint_numbers: int | None) -> str:
    if count == BOX_COUNT + 1:
        return (
            "it has 6 numbers. A box has 5; a sixth is the confidence of a model's answer, which is not a label, or "
            "the number of a track"
        )
    if keypoint_numbers is not None:
        return f"it has {count} numbers. A box has 5, and by kpt_shape a pose has {BOX_COUNT + keypoint_numbers}"
    return f"it has {count} numbers. A box has 5, and a polygon has an odd count from 7 on"


def _refuse_outside(values: Sequence[float]) -> None:
    wrong = next((value for value in values if not -SLACK <= value <= 1 + SLACK), None)
    if wrong is not None:
        raise ValueError(f"{wrong:g} does not lie between 0 and 1. YOLO's numbers are shares of the photo's sides")


def _box(values: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = values[:4]
    if width < 0 or height < 0:
        raise ValueError("the width or height of its box is below 0")
    return x - width / 2, y - height / 2, width, height


def _around(points: Sequence[float]) -> tuple[float, float, float, float]:
    across, down = points[::2], points[1::2]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def _may_be_pose(values: Sequence[float]) -> bool:
    """True if the first four of the numbers can be a box on the photo, and the others keypoints inside it."""
    x, y, width, height = values[:4]
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    if min(left, top) < -SLACK or max(right, bottom) > 1 + SLACK:
        return False
    rest = values[4:]
    has_flags = len(rest) % FLAGGED == 0 and set(rest[2::FLAGGED]) <= {0, 1, 2}
    readings = [(rest[::2], rest[1::2])]
    if has_flags:
        readings.append((rest[::FLAGGED], rest[1::FLAGGED]))
    # a keypoint that is not seen is written as 0 0
    return any(
        all((a, b) == (0, 0) or (left <= a <= right and top <= b <= bottom) for a, b in zip(*reading, strict=True))
        for reading in readings
    )
