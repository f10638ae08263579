"""Bounding boxes: reads and writes Studio's JSON text, and converts boxes when their photo is resized.

In memory the boxes of an image are an int array (n, 5): class index, x, y, width, height in px of the network's input.
"""

import codecs
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import read_json
from block.errors import BlockError
from esp32_deploy.pixels import placement

# A larger number is not a coordinate in an image, and the int array could not hold it.
FARTHEST_PX = 2**31
COLUMNS = ("label", "x", "y", "w", "h")
# a box is left out if less than this share of its area is in the image
LEAST_VISIBLE_SHARE = 0.3
# A box is left out if a side is shorter. Floating-point scaling can make a side of 1 px this little shorter.
LEAST_SIDE_PX = 1 - 1e-6
# Rounding can move the edge of a box by this much outside 0..1.
SHARE_SLACK = 0.01
# From this EXIF value on, a photo's width and height change places when it is turned upright.
SIDEWAYS = 5


def is_box_file(path: Path) -> bool:
    """True if the file holds JSON text. Its name does not matter, because Studio calls it .npy."""
    with path.open("rb") as file:
        return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")


def read_boxes(path: Path, size: int) -> tuple[np.ndarray, int]:
    """The boxes of each image, (N,) of (n, 5) arrays, and the number of boxes without area inside the image.

    Boxes are cut to the image of `size` x `size` px. Boxes without area inside it are left out, and so are boxes with a
    side under a pixel. Raises BlockError with the row if a box is not valid, or if all boxes are shares of the image.
    """
    samples = read_json(path)
    if isinstance(samples, dict):
        samples = samples.get("samples")
    if not isinstance(samples, list):
        raise BlockError(f"{path} should hold a JSON list of images with their boxes. Export the data again.")
    exact = [_read_row(path, row, sample) for row, sample in enumerate(samples)]
    edges = np.concatenate([np.zeros((0, 4)), *(boxes[:, 1:] for boxes in exact)])
    if are_shares(edges) and (edges % 1).any():
        raise BlockError(
            f"All boxes in {path} lie between 0 and 1. They seem to be shares of the image, but Studio's boxes are in "
            f"px. Multiply x, y, w and h by {size}, or export the data again."
        )
    rows = [_whole_px(boxes) for boxes in exact]
    inside = [_inside(boxes, size) for boxes in rows]
    return as_rows(inside), sum(map(len, rows)) - sum(map(len, inside))


def write_boxes(path: Path, rows: Sequence[np.ndarray]) -> None:
    """Writes the boxes of each image (n, 5) in Studio's format. Sample ids count from 1."""
    samples = [
        {
            "sampleId": number,
            "boundingBoxes": [
                dict(zip(COLUMNS, (int(label) + 1, *map(int, edges)), strict=True)) for label, *edges in boxes
            ],
        }
        for number, boxes in enumerate(rows, start=1)
    ]
    path.write_text(json.dumps(samples), encoding="utf-8")


def as_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Converts a list of box arrays to one object array (N,), which can be indexed like class labels."""
    packed = np.empty(len(rows), dtype=object)
    for index, boxes in enumerate(rows):
        packed[index] = boxes
    return packed


def are_shares(edges: np.ndarray) -> bool:
    """True if boxes seem to be shares of the image's sides: all lie within 0..1, and one at least has an area.

    Takes (n, 4) float of x, y, width and height.
    """
    corners = np.concatenate([edges[:, :2], edges[:, :2] + edges[:, 2:]])
    within = (corners >= -SHARE_SLACK).all() and (corners <= 1 + SHARE_SLACK).all()
    return bool(within and (edges[:, 2:] > 0).all(axis=1).any())


def move_boxes(boxes: np.ndarray, width: int, height: int, size: int, mode: str) -> np.ndarray:
    """Converts boxes of a photo of width x height px to the image of `size` px that pixels.resize makes of it.

    Takes (n, 5) float in px of the photo and returns (m, 5) int in px of the image. Boxes are cut to the image and
    rounded to whole px. A box is left out if less than LEAST_VISIBLE_SHARE of its area is in the image. It is left out
    too if it is less than 1 px wide or high, on the photo or, cut, in the image: no box is enlarged to a pixel.
    """
    place = placement(width, height, size, mode)
    scale = np.array([place.target_width / place.source_width, place.target_height / place.source_height])
    source, target = np.array([place.source_x, place.source_y]), np.array([place.target_x, place.target_y])
    room = np.array([place.target_width, place.target_height])
    start = (boxes[:, 1:3] - source) * scale
    stop = (boxes[:, 1:3] + boxes[:, 3:5] - source) * scale
    seen = np.minimum(stop, room) - np.maximum(start, 0)
    shares = (seen.clip(0) / np.where(boxes[:, 3:5] > 0, stop - start, np.inf)).prod(axis=1)
    start = np.rint(start.clip(0, room)).astype(int).clip(0, room - 1)
    stop = np.maximum(np.rint(stop.clip(0, room)).astype(int), start + 1)
    moved = np.concatenate([boxes[:, :1].astype(int), target + start, stop - start], axis=1)
    large_enough = (boxes[:, 3:5] >= LEAST_SIDE_PX).all(axis=1) & (seen >= LEAST_SIDE_PX).all(axis=1)
    return moved[large_enough & (shares >= LEAST_VISIBLE_SHARE)]


def upright_edges(edges: np.ndarray, size: tuple[float, float], orientation: int) -> np.ndarray:
    """Converts boxes (n, 4) of x, y, width, height when a photo of `size` (width, height) is turned upright.

    `orientation` is the photo's EXIF value, 1 to 8 (EXIF 2.3, section 4.6.4).
    """
    x, y, width, height = edges.T
    from_right, from_bottom = size[0] - x - width, size[1] - y - height
    if orientation >= SIDEWAYS:  # x and y change places
        across = from_bottom if orientation in (6, 7) else y
        down = from_right if orientation in (7, 8) else x
        return np.stack([across, down, height, width], axis=1)
    across = from_right if orientation in (2, 3) else x
    down = from_bottom if orientation in (3, 4) else y
    return np.stack([across, down, width, height], axis=1)


def _read_row(path: Path, row: int, sample: Any) -> np.ndarray:
    boxes = sample.get("boundingBoxes") if isinstance(sample, Mapping) else None
    if not isinstance(boxes, list):
        raise BlockError(f'{path} row {row} has no list "boundingBoxes". Export the data again.')
    return np.array(list(_read_each(path, row, boxes)), dtype=float).reshape(-1, len(COLUMNS))


def _whole_px(boxes: np.ndarray) -> np.ndarray:
    """Rounds boxes (n, 5) to int. A side under a pixel becomes 0, so that the box has no area."""
    sides = np.where(boxes[:, 3:] < LEAST_SIDE_PX, 0, boxes[:, 3:])
    return np.rint(np.concatenate([boxes[:, :3], sides], axis=1)).astype(int)


def _read_each(path: Path, row: int, boxes: list[Any]) -> Iterator[list[float]]:
    for box in boxes:
        values = [box.get(name) if isinstance(box, Mapping) else None for name in COLUMNS]
        numbers = [value for value in values if isinstance(value, int | float) and abs(value) < FARTHEST_PX]
        if len(numbers) < len(COLUMNS):
            raise BlockError(
                f"{path} row {row} holds {reprlib.repr(box)}, which is not a box. "
                f"A box needs the numbers {', '.join(COLUMNS)}. Export the data again."
            )
        label, *edges = numbers
        if label != int(label) or label < 1:
            raise BlockError(
                f"{path} row {row} has label {label}. The labels of boxes are whole numbers from 1. "
                "Export the data again."
            )
        yield [int(label) - 1, *edges]


def _inside(boxes: np.ndarray, size: int) -> np.ndarray:
    """Cuts boxes to the image and leaves out boxes without area in it."""
    start = boxes[:, 1:3].clip(0, size)
    stop = (boxes[:, 1:3] + boxes[:, 3:5]).clip(0, size)
    cut = np.concatenate([boxes[:, :1], start, stop - start], axis=1)
    return cut[(stop > start).all(axis=1)]
